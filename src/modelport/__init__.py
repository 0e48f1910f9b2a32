"""Modelport runs models written for other platforms unchanged, behind those platforms' own APIs."""

from __future__ import annotations

__version__ = "0.1.0"
