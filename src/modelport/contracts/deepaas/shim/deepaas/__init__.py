"""Stand-in for the platform's package: the names that models and their tests import."""

from __future__ import annotations

__version__ = "2.6.0"
"""The release whose names these are."""
