"""The release whose names and behaviour are offered here."""

from __future__ import annotations

__version__ = "1.17.1"
