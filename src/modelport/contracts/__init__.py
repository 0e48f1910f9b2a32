"""How code written for each platform is found, loaded and called."""
