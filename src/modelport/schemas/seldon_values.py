"""Values that JSON does not know, in the form that the platform's messages have them: that of Flask's JSON."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

from modelport.core import jsontext


def plain(value: Any) -> Any:
    """Its JSON-able form; arrays keep what is not finite. Raises ``TypeError`` for what has none."""
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        return tolist()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.date) and type(value).__name__ != "NaTType":
        return _http_date(value)
    return jsontext.loads(jsontext.dumps(value))


def _http_date(value: datetime.date) -> str:
    """As HTTP's headers have it; a time without a zone is in UTC."""
    from email.utils import format_datetime

    moment = value if isinstance(value, datetime.datetime) else datetime.datetime.combine(value, datetime.time())
    utc = datetime.timezone.utc
    return format_datetime(moment.replace(tzinfo=utc) if moment.tzinfo is None else moment.astimezone(utc), usegmt=True)
