"""The model server's API of DataRobot DRUM."""
