"""The second version of it, which is the current one."""

from __future__ import annotations
