"""Pure values, standard library only, imported on both sides of the process border."""
