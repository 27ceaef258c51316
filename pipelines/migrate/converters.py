"""Converters: which change of bytes Connect makes with each, and that the bridge makes none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.migrate.settings import Draft, Kind, Settings
from pipelines.migrate.table import Row, boolean, differs, same

_PARTS = ("key", "value", "header")

_ENCODED = (
    "AvroConverter",
    "ProtobufConverter",
    "JsonSchemaConverter",
    "AWSKafkaAvroConverter",
    "CloudEventsConverter",
)
_NUMBERS = (
    "ShortConverter",
    "IntegerConverter",
    "LongConverter",
    "FloatConverter",
    "DoubleConverter",
    "BooleanConverter",
)

_AS_BYTES = same("the bytes are carried as they are, here too")

_SINK_VALUE: Mapping[str, Row] = {
    "ByteArrayConverter": _AS_BYTES,
    "StringConverter": differs(
        "Connect reads the value as text and writes it again as UTF-8: the same bytes where they "
        "are valid UTF-8, changed where not; the bridge changes none"
    ),
    "JsonConverter": differs(
        "Connect parses the value: the message's data is a Java object as text ({a=1}), or, with a "
        "schema, the field that messageBodyName names, the others being attributes; the bridge's "
        "data is the record's JSON, byte for byte"
    ),
    **dict.fromkeys(
        _ENCODED,
        differs(
            "Connect decodes the value: its fields become attributes, and the one that "
            "messageBodyName names the data; the bridge's data is the record's bytes, a schema "
            "registry's prefix included"
        ),
    ),
    **dict.fromkeys(_NUMBERS, same("its bytes are the same after it")),
}
_SINK_KEY: Mapping[str, Row] = {
    "ByteArrayConverter": differs(
        "the connector's attribute `key` (and its ordering key) is the name of a Java object "
        "([B@1f2e3d), another one each time; the bridge's is the key, if it is UTF-8 of at most "
        "1,024 bytes"
    ),
    "StringConverter": differs(
        "the attribute `key` is the key's text, here too, if it is UTF-8 of at most 1,024 bytes; "
        "what is not is left out and counted: the connector replaces what is no UTF-8, and its "
        "task dies of what is longer"
    ),
}
_SINK_HEADER: Mapping[str, Row] = {
    "StringConverter": _AS_BYTES,
    "ByteArrayConverter": differs(
        "the connector's attributes are names of Java objects ([B@1f2e3d); the bridge's are the "
        "headers' text"
    ),
    "SimpleHeaderConverter": differs(
        "Connect guesses a header's type and writes it again (007 becomes 7); the bridge's "
        "attribute is the header's text, unchanged"
    ),
}
_SOURCE_VALUE: Mapping[str, Row] = {
    "ByteArrayConverter": differs(
        "the data's bytes, here too; but a message with attributes is a structure to the connector "
        "without kafka.record.headers=true, which this converter refuses: its task dies, or drops "
        "the message with errors.tolerance=all; the bridge carries it"
    ),
    "StringConverter": differs(
        "Connect writes the name of a Java object ([B@1f2e3d) in place of the data; the bridge "
        "writes the data"
    ),
    "JsonConverter": differs(
        "Connect writes JSON that has the data in base64; the bridge writes the data, as it is: "
        "readers have to change"
    ),
    **dict.fromkeys(
        _ENCODED,
        differs(
            "Connect encodes the data anew, behind a schema registry's prefix; the bridge writes "
            "the data, as it is: readers have to change"
        ),
    ),
}
_SOURCE_KEY: Mapping[str, Row] = {
    "StringConverter": same("the key is the attribute's text in UTF-8, here too"),
    "ByteArrayConverter": differs(
        "it refuses the connector's keys, which are texts; the bridge's key is the text in UTF-8"
    ),
    "JsonConverter": differs(
        "Connect writes the key in quotation marks, or in an object with its schema; the bridge's "
        "key is the text in UTF-8, and keys may go to other partitions"
    ),
}
_SOURCE_HEADER: Mapping[str, Row] = {
    "SimpleHeaderConverter": _AS_BYTES,
    "StringConverter": _AS_BYTES,
    "JsonConverter": differs(
        "Connect writes a header in quotation marks; the bridge's is the attribute's text"
    ),
    "ByteArrayConverter": differs(
        "it refuses the connector's headers, which are texts; the bridge's are the text in UTF-8"
    ),
}
_TABLES: Mapping[tuple[bool, str], Mapping[str, Row]] = {
    (True, "key"): _SINK_KEY,
    (True, "value"): _SINK_VALUE,
    (True, "header"): _SINK_HEADER,
    (False, "key"): _SOURCE_KEY,
    (False, "value"): _SOURCE_VALUE,
    (False, "header"): _SOURCE_HEADER,
}
_OTHER = differs("a change of bytes that the bridge does not make: it carries them as they are")


def take_converters(draft: Draft, workers: Sequence[Settings]) -> None:
    """Takes the converters of the connector, and those of workers, which hold where it has none."""
    for part in _PARTS:
        name = f"{part}.converter"
        holders = [each for each in (draft.own, *reversed(workers)) if name in each]
        table = _TABLES[draft.is_sink, part]
        if holders:
            _take(draft, holders[0], name, table)
        elif part == "header" and draft.is_sink and boolean(draft.own, "headers.publish"):
            default = "SimpleHeaderConverter"
            draft.say(Kind.DIFFERS, table[default].text, f"{name} (not set: {default})")
        elif part != "header":
            draft.say(
                Kind.DIFFERS,
                "not in these files; the bridge carries bytes as ByteArrayConverter does: see what "
                "the worker has, and give its file too",
                name,
            )
        for settings in (draft.own, *workers):
            _take_rest(draft, settings, name, settings in holders[:1])


def _take(draft: Draft, settings: Settings, name: str, table: Mapping[str, Row]) -> None:
    kind = settings.peek(name).rpartition(".")[2]
    row = table.get(kind, _OTHER)
    if table is _SOURCE_VALUE and boolean(draft.own, "kafka.record.headers"):
        row = _AS_BYTES if kind == "ByteArrayConverter" else row
    draft.note(row.kind, row.text, settings, name)


def _take_rest(draft: Draft, settings: Settings, name: str, holds: bool) -> None:
    """A converter that another one takes the place of, and the settings of a converter."""
    if name in settings and not holds:
        draft.note(Kind.SAME, f"{draft.name} sets its own", settings, name)
    more = [each for each in settings.left() if each.startswith(f"{name}.")]
    if more:
        draft.note_names(Kind.LACKS, "it is of a converter, and none is run", settings, *more)
