"""The key a client presents: as the user name of Basic, or as Bearer."""

from __future__ import annotations

import base64
import binascii


def credential(header: bytes | None) -> str | None:
    """The key in an ``Authorization`` header, or None when there is none to be read."""
    if header is None:
        return None
    scheme, _, value = header.decode("latin-1").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() != "basic":
        return None
    try:
        user = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user.partition(":")[0]
