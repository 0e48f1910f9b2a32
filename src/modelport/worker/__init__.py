"""The child process: standard library, core, contracts and codecs only; it runs in the user's environment."""
