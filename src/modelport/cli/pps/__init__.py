"""``modelport pps``: takes the place of DataRobot's Portable Prediction Server, configured by the same variables."""
