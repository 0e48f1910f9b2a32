"""The API of DataRobot's Portable Prediction Server."""
