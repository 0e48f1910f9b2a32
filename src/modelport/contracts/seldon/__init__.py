"""Seldon Core v1: component classes of the Python wrapper."""
