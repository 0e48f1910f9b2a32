"""Calls to the other endpoints of the same service."""

from __future__ import annotations

from typing import Any

_caller: dict[str, Any] = {}


def get_self_client() -> Any:
    """A client for this service with the caller's key; only inside ``predict`` or a function."""
    try:
        from dataikuapi import APINodeClient  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise RuntimeError(
            "get_self_client() needs the package dataiku-api-client in the environment of this endpoint"
        ) from None
    if not _caller:
        raise RuntimeError("get_self_client() works only while a request is being answered")
    return APINodeClient(_caller["uri"], _caller["service"], _caller["key"])
