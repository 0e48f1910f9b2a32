"""What protobuf libraries and gRPC's reflection want to know of messages and services, made from their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from modelport.core.protobuf import Field, Schema

FILES = {
    "google.protobuf.Any": "google/protobuf/any.proto",
    "google.protobuf.Empty": "google/protobuf/empty.proto",
    "google.protobuf.ListValue": "google/protobuf/struct.proto",
    "google.protobuf.Struct": "google/protobuf/struct.proto",
    "google.protobuf.Value": "google/protobuf/struct.proto",
}
"""Where messages are that a table uses and does not have."""

_TYPES = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "fixed64": 6, "fixed32": 7, "bool": 8, "string": 9,
    "bytes": 12, "view": 12, "uint32": 13, "sfixed32": 15, "sfixed64": 16, "sint32": 17, "sint64": 18,
}  # fmt: skip
_MESSAGE, _ENUM = 11, 14
_OPTIONAL, _REPEATED = 1, 3

_DESCRIPTORS = Schema(
    "google.protobuf",
    {
        "File": {
            1: "string name", 2: "string package", 3: "repeated string dependency", 4: "repeated Message message_type",
            5: "repeated Enum enum_type", 6: "repeated Service service", 12: "string syntax",
        },
        "Message": {
            1: "string name", 2: "repeated MessageField field", 3: "repeated Message nested_type",
            4: "repeated Enum enum_type", 7: "MessageOptions options", 8: "repeated Oneof oneof_decl",
        },
        "MessageField": {
            1: "string name", 3: "int32 number", 4: "int32 label", 5: "int32 type", 6: "string type_name",
            9: "int32 oneof_index oneof index", 10: "string json_name",
        },
        "MessageOptions": {7: "bool map_entry"},
        "Oneof": {1: "string name"},
        "Enum": {1: "string name", 2: "repeated EnumValue value"},
        "EnumValue": {1: "string name", 2: "int32 number oneof there"},
        "Service": {1: "string name", 2: "repeated Method method"},
        "Method": {
            1: "string name", 2: "string input_type", 3: "string output_type", 5: "bool client_streaming",
            6: "bool server_streaming",
        },
    },
)  # fmt: skip
"""The part of ``descriptor.proto`` that is needed; a oneof of one field has the effect of an optional one."""


class Method(NamedTuple):
    """One method of a service; a message without a dot in its name is of the same package."""

    request: str
    response: str
    is_stream: bool = False
    """Of both: any number of messages goes in, any number comes out."""


Services = Mapping[str, Mapping[str, Method]]
"""Methods by name, by service."""


class ProtoFile(NamedTuple):
    """A ``.proto`` file called ``name`` with all of the schema's messages.

    ``elsewhere`` says in which files messages are that are neither the schema's nor google.protobuf's.
    """

    name: str
    schema: Schema
    services: Services = MappingProxyType({})
    elsewhere: Mapping[str, str] = MappingProxyType({})

    def descriptor(self) -> bytes:
        """A serialised ``FileDescriptorProto``. Raises ``KeyError`` for a message of which nothing says where it is."""
        return _File(self).describe()

    @property
    def imports(self) -> list[str]:
        """The files that it needs."""
        described = _File(self)
        described.describe()
        return list(described.imports)

    @property
    def symbols(self) -> list[str]:
        """The full names of what it defines: messages, enums, services, methods."""
        methods = [f"{service}.{method}" for service, held in self.services.items() for method in held]
        names = [*self.schema.messages, *self.schema.enums, *self.services, *methods]
        return [f"{self.schema.package}.{name}" for name in names]

    @property
    def service_names(self) -> list[str]:
        return [f"{self.schema.package}.{service}" for service in self.services]


class _File:
    def __init__(self, file: ProtoFile) -> None:
        self.imports: dict[str, None] = {}
        self._file = file
        self._schema = file.schema

    def describe(self) -> bytes:
        tops = [name for name in self._schema.messages if "." not in name]
        described: dict[str, Any] = {
            "name": self._file.name,
            "package": self._schema.package,
            "message_type": [self._message(name) for name in tops],
            "enum_type": self._enums_of(""),
            "service": [
                {"name": name, "method": [self._method(*item) for item in methods.items()]}
                for name, methods in self._file.services.items()
            ],
            "syntax": "proto3",
        }
        described["dependency"] = list(self.imports)
        return _DESCRIPTORS.encode("File", described)

    def _message(self, name: str) -> dict[str, Any]:
        fields = self._schema.messages[name]
        oneofs = list(dict.fromkeys(field.oneof for field in fields if field.oneof))
        inner = [other for other in self._schema.messages if other.rpartition(".")[0] == name]
        return {
            "name": name.rpartition(".")[2],
            "field": [self._field(name, field, oneofs) for field in fields],
            "nested_type": [self._message(other) for other in inner]
            + [self._entry(field) for field in fields if field.label == "map"],
            "enum_type": self._enums_of(name),
            "oneof_decl": [{"name": oneof} for oneof in oneofs],
        }

    def _enums_of(self, message: str) -> list[dict[str, Any]]:
        """The enums that are defined within a message; those of the file for ""."""
        return [
            {"name": name.rpartition(".")[2], "value": [{"name": word, "number": at} for at, word in values.items()]}
            for name, values in self._schema.enums.items()
            if name.rpartition(".")[0] == message
        ]

    def _field(self, message: str, field: Field, oneofs: Sequence[str]) -> dict[str, Any]:
        if field.label == "map":
            shape = {"type": _MESSAGE, "type_name": f".{self._schema.package}.{message}.{_entry_name(field)}"}
        else:
            shape = self._type(field.type)
        label = _REPEATED if field.label else _OPTIONAL
        index = {"oneof_index": oneofs.index(field.oneof)} if field.oneof else {}
        return {
            "name": field.name,
            "number": field.number,
            "label": label,
            "json_name": _camel(field.name),
            **shape,
            **index,
        }

    def _entry(self, field: Field) -> dict[str, Any]:
        parts = (("key", 1, field.key), ("value", 2, field.type))
        return {
            "name": _entry_name(field),
            "field": [
                {"name": name, "number": number, "label": _OPTIONAL, "json_name": name, **self._type(kind)}
                for name, number, kind in parts
            ],
            "options": {"map_entry": True},
        }

    def _type(self, kind: str) -> dict[str, Any]:
        if kind in _TYPES:
            return {"type": _TYPES[kind]}
        if kind in self._schema.enums:
            return {"type": _ENUM, "type_name": f".{self._schema.package}.{kind}"}
        return {"type": _MESSAGE, "type_name": self._named(kind)}

    def _named(self, message: str) -> str:
        if message in self._schema.messages:
            return f".{self._schema.package}.{message}"
        self.imports[self._file.elsewhere.get(message) or FILES[message]] = None
        return f".{message}"

    def _method(self, name: str, method: Method) -> dict[str, Any]:
        return {
            "name": name,
            "input_type": self._named(method.request),
            "output_type": self._named(method.response),
            "client_streaming": method.is_stream,
            "server_streaming": method.is_stream,
        }


def _entry_name(field: Field) -> str:
    """What the message is called that a map's entries are."""
    return "".join(part[:1].upper() + part[1:] for part in field.name.split("_")) + "Entry"


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in more)


_PACKAGE = "google.protobuf"
KNOWN = [
    ProtoFile("google/protobuf/any.proto", Schema(_PACKAGE, {"Any": {1: "string type_url", 2: "bytes value"}})),
    ProtoFile("google/protobuf/empty.proto", Schema(_PACKAGE, {"Empty": {}})),
    ProtoFile(
        "google/protobuf/struct.proto",
        Schema(
            _PACKAGE,
            {
                "Struct": {1: "map<string, Value> fields"},
                "Value": {
                    1: "NullValue null_value oneof kind",
                    2: "double number_value oneof kind",
                    3: "string string_value oneof kind",
                    4: "bool bool_value oneof kind",
                    5: "Struct struct_value oneof kind",
                    6: "ListValue list_value oneof kind",
                },
                "ListValue": {1: "repeated Value values"},
            },
            {"NullValue": {0: "NULL_VALUE"}},
        ),
    ),
]
"""The files that others may need."""
