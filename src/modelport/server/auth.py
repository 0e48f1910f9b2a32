"""The key a client presents: as the user name of Basic, or as Bearer. Who may use the administrative routes."""

from __future__ import annotations

import base64
import binascii
import hmac

from modelport.config import Settings
from modelport.dataplane import configured, hashed
from modelport.errors import Forbidden, Unauthorized


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


class AdminDoor:
    """Lets through to the administrative routes who may use them, if the settings open them at all."""

    def __init__(self, settings: Settings) -> None:
        self._is_open = settings.repository
        self._key = configured(settings.admin_key) if settings.admin_key else None

    def check(self, authorization: bytes | None, is_web_page: bool) -> None:
        """Raises ``Forbidden`` or ``Unauthorized``."""
        if not self._is_open:
            raise Forbidden("the repository routes are switched off", hint="--repository switches them on")
        if self._key is None:
            if is_web_page:
                raise Forbidden("web pages may not use these routes", hint="set --admin-key")
            return
        key = credential(authorization)
        if key is None:
            raise Unauthorized("this needs the admin key")
        if not hmac.compare_digest(hashed(key), self._key):
            raise Forbidden("this is not the admin key")
