"""Code folders of DataRobot DRUM, and plain model files."""
