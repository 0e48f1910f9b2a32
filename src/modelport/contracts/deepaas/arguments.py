"""What a model says of its arguments, and what a request makes of that.

Values are checked and converted by the marshmallow of the model's environment, whatever its version; where they are
looked for is decided here.
"""

from __future__ import annotations

import copy
from typing import Any

from modelport.core.payload import Args, Upload
from modelport.errors import InvalidArguments, LoadError

PLACES = ("query", "form", "json")
"""Where an argument may come from that names no place, in this order."""
LOCATIONS = {
    "query": "query",
    "querystring": "query",
    "form": "form",
    "files": "form",
    "json": "json",
    "headers": "headers",
    "cookies": "cookies",
    "path": "path",
    "match_info": "path",
}
ACCEPT = "accept"
"""The argument that chooses the media type of the answer."""
ANY = "*/*"


class Arguments:
    """Of ``predict`` or of ``train``: ``fields`` maps names to marshmallow fields, ``choices`` lists the media types
    between which the argument ``accept`` chooses."""

    def __init__(self, fields: Any, function: str) -> None:
        self.fields: dict[str, Any] = _checked(fields, function)
        self.choices = _open_choices(self.fields.get(ACCEPT))
        self._schema = schema_of(self.fields, unknown="exclude")

    def read(self, given: Args) -> dict[str, Any]:
        """The values by name, files as ``Upload``. Raises ``InvalidArguments`` with every fault."""
        from marshmallow import ValidationError

        found = {}
        for name, field in self.fields.items():
            key = key_of(name, field)
            if given.places is None:
                value = _direct(field, given.values.get(name, given.values.get(key, _ABSENT)))
            else:
                value = _looked_up(field, key, given.places)
            if value is not _ABSENT:
                found[key] = value
        try:
            values: dict[str, Any] = self._schema.load(found)
        except ValidationError as fault:
            messages: Any = fault.messages
            raise InvalidArguments(messages if isinstance(messages, dict) else {"_schema": messages}) from None
        return values


def schema_of(fields: dict[str, Any], unknown: Any = "raise") -> Any:
    """A marshmallow schema that has these fields."""
    import marshmallow

    return marshmallow.Schema.from_dict(fields)(unknown=unknown)


def key_of(name: str, field: Any) -> str:
    """What an argument is called in requests."""
    return field.data_key or name


def location_of(field: Any) -> str | None:
    """The only place where an argument may come from; None where it may come from several."""
    said = field.metadata.get("location")
    return LOCATIONS.get(said, said) if said is not None else None


def is_file(field: Any) -> bool:
    """Whether the model says that it wants a file."""
    return bool(field.metadata.get("type") == "file")


def is_list(field: Any) -> bool:
    """Whether it takes several values, each sent by itself."""
    from marshmallow.fields import List

    return isinstance(field, List) and not hasattr(field, "delimiter")


_ABSENT: Any = object()


def _checked(fields: Any, function: str) -> dict[str, Any]:
    from marshmallow.fields import Field

    if not isinstance(fields, dict):
        raise LoadError(f"{function} returned {type(fields).__name__}", hint="it must return a dict of fields")
    for name, field in fields.items():
        if not isinstance(field, Field):
            raise LoadError(
                f"{function}: {name!r} is {type(field).__name__}, and no field",
                hint="from webargs import fields; then fields.Str(), fields.Int() and so on",
            )
    return {str(name): field for name, field in fields.items()}


def _open_choices(field: Any) -> list[str]:
    """Makes the first choice of ``accept`` its default, and lets ``*/*`` pass; the choices."""
    from marshmallow.validate import OneOf

    of = next((validator for validator in field.validators if isinstance(validator, OneOf)), None) if field else None
    if of is None:
        return []
    choices = [str(choice) for choice in of.choices if choice != ANY]
    wide = copy.copy(of)  # its message still lists what there is to choose
    wide.choices = [*choices, ANY]
    field.validators = [wide if validator is of else validator for validator in field.validators]
    field.required = False
    setattr(field, "load_default" if hasattr(field, "load_default") else "missing", choices[0])
    return [*choices, ANY]


def _direct(field: Any, value: Any) -> Any:
    """A value that came by name alone, from another platform's protocol."""
    if is_file(field) and isinstance(value, (bytes, bytearray, memoryview, str)):
        return Upload("", None, value.encode() if isinstance(value, str) else value)
    return _listed(field, value)


def _looked_up(field: Any, key: str, places: dict[str, dict[str, Any]]) -> Any:
    location = location_of(field)
    for place in PLACES if location is None else (location,):
        values = places.get(place, {})
        name = key.lower() if place == "headers" else key
        if name not in values:
            continue
        value = values[name]
        if place == "json":
            return _listed(field, value)
        return value if is_list(field) else value[0]
    return _ABSENT


def _listed(field: Any, value: Any) -> Any:
    """One value for a list is a list of one."""
    if value is _ABSENT or value is None or isinstance(value, (list, tuple)) or not is_list(field):
        return value
    return [value]
