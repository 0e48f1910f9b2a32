"""Modelport runs models written for other platforms unchanged, behind those platforms' own APIs."""

__version__ = "0.1.0"
