"""What models of the platform are made with."""

from __future__ import annotations
