"""A line through points."""

from __future__ import annotations
