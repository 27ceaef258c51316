"""Payloads decoded for people: every form, and those that are made to do harm."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import math
import pickle
import struct
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import fastavro
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from schema_server import Registry, schema_registry

from pipelines.alerts import alert
from transforms.avro.container import MAX_BYTES
from transforms.decode import DecodeError, Decoder
from transforms.errors import SourceError, UnavailableError, UsageError
from transforms.schema_registry import SchemaRegistry

POINT = {
    "type": "record",
    "name": "Point",
    "namespace": "sky",
    "fields": [{"name": "ra", "type": "double"}, {"name": "name", "type": ["null", "string"]}],
}
VEGA = {"ra": 279.23473479, "name": "Vega"}


def container(schema: Any, *data: Any, codec: str = "null") -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, schema, data, codec=codec)
    return file.getvalue()


def raw(schema: Any, datum: Any) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(schema), datum)
    return file.getvalue()


def forged(schema: Any, content: bytes, count: int = 1, codec: str = "null") -> bytes:
    """A container whose block says what the test wants it to."""
    empty = container(schema, codec="null").replace(
        b"\x08null", bytes([2 * len(codec)]) + codec.encode()
    )
    return empty + raw("long", count) + raw("bytes", content) + empty[-16:]


def wire(schema_id: int, datum: bytes) -> bytes:
    return b"\0" + struct.pack(">I", schema_id) + datum


@pytest.fixture
def registry() -> Iterator[Registry]:
    with schema_registry() as running:
        yield running


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "bzip2", "xz"])
def test_a_container_is_decoded_whatever_its_codec(codec: str) -> None:
    assert Decoder().decode(container(POINT, VEGA, codec=codec)) == VEGA


def test_a_zstandard_container_is_decoded_its_frames_size_said_or_not() -> None:
    datum = raw(POINT, VEGA)
    for said in (True, False):
        block = zstandard.ZstdCompressor(write_content_size=said).compress(datum)
        assert Decoder().decode(forged(POINT, block, codec="zstandard")) == VEGA


def test_a_container_of_several_is_a_list_and_one_of_none_is_empty() -> None:
    assert Decoder().decode(container(POINT, VEGA, VEGA, codec="deflate")) == [VEGA, VEGA]
    assert Decoder().decode(container(POINT)) == []


def test_an_alert_is_as_fastavro_reads_it_but_for_the_cutouts() -> None:
    packet = alert(7)
    expected: Any = next(fastavro.reader(io.BytesIO(packet)))
    sizes = {name: len(expected[name]["stampData"]) for name in expected if "cutout" in name}
    found = Decoder(largest_bytes=256).decode(packet)
    assert {name: found[name]["stampData"] for name in sizes} == {
        name: f"<{size:,} bytes>" for name, size in sizes.items()
    }
    assert found["candidate"]["ra"] == expected["candidate"]["ra"]
    assert found["candidate"]["magpsf"] == pytest.approx(expected["candidate"]["magpsf"], rel=1e-7)
    whole = Decoder().decode(packet)
    stamp = whole["cutoutScience"]["stampData"]
    assert base64.b64decode(stamp) == expected["cutoutScience"]["stampData"]


@pytest.mark.parametrize(
    ("schema", "datum", "shown"),
    [
        ("float", 18.3, 18.3),
        ("float", struct.unpack("<f", b"\xff\xff\x7f\x7f")[0], 3.4028235e38),
        ("double", math.nan, "NaN"),
        ("float", -math.inf, "-Infinity"),
        ("bytes", b"\0\xff", "AP8="),
        ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, "b", "b"),
        ({"type": "map", "values": "boolean"}, {"x": True}, {"x": True}),
        ({"type": "long", "logicalType": "timestamp-millis"}, -1, "1969-12-31T23:59:59.999Z"),
        ({"type": "long", "logicalType": "timestamp-micros"}, 0, "1970-01-01T00:00:00.000000Z"),
        ({"type": "long", "logicalType": "timestamp-millis"}, 2**62, 2**62),
        ({"type": "int", "logicalType": "date"}, 20_000, "2024-10-04"),
        ({"type": "int", "logicalType": "time-millis"}, 86_400_000, 86_400_000),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3},
            Decimal("-12.050"),
            "-12.050",
        ),
        ({"type": "string", "logicalType": "uuid"}, "no uuid", "no uuid"),
    ],
)
def test_what_json_does_not_know_is_text(schema: Any, datum: Any, shown: Any) -> None:
    if isinstance(schema, dict) and schema.get("logicalType") != "decimal":
        plain = {**schema, "logicalType": "none"}
    else:
        plain = schema
    data = forged(schema, raw(plain, datum))
    assert Decoder().decode(data) == shown


@pytest.mark.parametrize("text", ['{"a": [1, null, 2.5]}', "12", '"\\ud800"', "[]"])
def test_json_is_given_as_it_is_parsed(text: str) -> None:
    assert Decoder().decode(text.encode()) == json.loads(text)
    assert Decoder().decode(b"NaN") == "NaN"


def test_a_registrys_schema_is_fetched_once(registry: Registry) -> None:
    registry.add(17, POINT)
    decoder = Decoder(SchemaRegistry(registry.url))
    for _ in range(3):
        assert decoder.decode(wire(17, raw(POINT, VEGA))) == VEGA
    assert pickle.loads(pickle.dumps(decoder)).decode(wire(17, raw(POINT, VEGA))) == VEGA
    assert registry.asked == ["/schemas/ids/17"]


def test_references_are_followed_each_once(registry: Registry) -> None:
    pair = {
        "type": "record",
        "name": "sky.Pair",
        "fields": [{"name": "a", "type": "sky.Point"}, {"name": "b", "type": "sky.Line"}],
    }
    line = {"type": "record", "name": "sky.Line", "fields": [{"name": "to", "type": "sky.Point"}]}
    point = {"name": "point", "subject": "sky/point", "version": 2}
    registry.answers["/subjects/sky%2Fpoint/versions/2"] = {"schema": json.dumps(POINT)}
    registry.answers["/subjects/line/versions/1"] = {
        "schema": json.dumps(line),
        "references": [point],
    }
    to_line = {"name": "line", "subject": "line", "version": 1}
    registry.add(1, pair, references=[to_line, point])
    datum = raw(POINT, VEGA) * 2
    assert Decoder(SchemaRegistry(registry.url)).decode(wire(1, datum)) == {
        "a": VEGA,
        "b": {"to": VEGA},
    }
    assert len(registry.asked) == 3


def test_a_json_schemas_payload_is_json_and_protobuf_is_said(registry: Registry) -> None:
    registry.add(1, {}, schemaType="JSON")
    registry.add(2, {}, schemaType="PROTOBUF")
    decoder = Decoder(SchemaRegistry(registry.url))
    assert decoder.decode(wire(1, b'{"a": 1}')) == {"a": 1}
    with pytest.raises(DecodeError, match="schema 2 is a protobuf schema, which is not decoded"):
        decoder.decode(wire(2, b"x"))


def test_an_unknown_schema_is_said_and_not_asked_for_each_time(registry: Registry) -> None:
    decoder = Decoder(SchemaRegistry(registry.url))
    for _ in range(3):
        with pytest.raises(DecodeError, match="schema 9 is not in the registry http://127"):
            decoder.decode(wire(9, b"x"))
    assert len(registry.asked) == 1


def test_user_and_password_are_sent_and_never_said(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY", "alice:top:secret")
    registry.add(1, "string")
    login = SchemaRegistry(registry.url, "env:REGISTRY")
    assert Decoder(login).decode(wire(1, raw("string", "x"))) == "x"
    assert registry.authorization == "Basic " + base64.b64encode(b"alice:top:secret").decode()
    registry.answers["/schemas/ids/2"] = 401
    with pytest.raises(SourceError, match="does not let in whom env:REGISTRY names") as refused:
        Decoder(login).decode(wire(2, b"x"))
    assert "secret" not in f"{refused.value} {login!r} {pickle.dumps(login)!r}"
    with pytest.raises(UsageError, match="by reference") as literal:
        SchemaRegistry("https://alice:secret@registry")
    assert "secret@" not in str(literal.value)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (500, UnavailableError, "answers 500"),
        (403, SourceError, "wants a user and a password"),
        (302, SourceError, "is it the address of a registry"),
        (b"<html>", SourceError, "is it the address of a registry"),
        (b"[" * 100_000, SourceError, "is it the address of a registry"),
        ({"schema": 5}, SourceError, "is it the address of a registry"),
    ],
)
def test_what_is_wrong_with_a_registry_is_one_line(
    registry: Registry, answer: Any, error: type[SourceError], words: str
) -> None:
    registry.answers["/schemas/ids/1"] = answer
    with pytest.raises(error, match=words) as raised:
        Decoder(SchemaRegistry(registry.url)).decode(wire(1, b"x"))
    assert registry.url in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_registry_that_is_away_is_no_fault_of_the_payload() -> None:
    with pytest.raises(UnavailableError, match="no answer"):
        Decoder(SchemaRegistry("http://127.0.0.1:1")).decode(wire(1, b"x"))
    with pytest.raises(DecodeError, match="schema 1, and no schema registry is given"):
        Decoder().decode(wire(1, b"x"))


NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "next", "type": ["null", "Node"]}],
}


def doubled(times: int) -> Any:
    """A record of 2 ** times records that take no bytes."""
    schema: Any = {"type": "record", "name": "R0", "fields": []}
    for number in range(times):
        fields = [{"name": "a", "type": schema}, {"name": "b", "type": f"R{number}"}]
        schema = {"type": "record", "name": f"R{number + 1}", "fields": fields}
    return schema


def nested(depth: int) -> bytes:
    schema = b'"array","items":{"type":' * depth + b'"null"' + b"}" * depth
    return container("null").replace(b'\x0c"null"', raw("bytes", b'{"type":' + schema + b"}"))


ZEROS = zlib.compressobj(9, zlib.DEFLATED, -15)
BOMB = ZEROS.compress(bytes(MAX_BYTES + 1)) + ZEROS.flush()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (forged(NODE, b"\x02" * 1_000_000 + b"\0"), "nested more than 100"),
        (forged({"type": "array", "items": "null"}, raw("long", 2**60) + b"\0"), "values"),
        (forged(doubled(40), b""), "values"),
        (forged("null", b"", count=2**60), "data in a block"),
        (forged("bytes", BOMB, codec="deflate"), "more than 64,000,000 bytes"),
        (forged("bytes", b"\xff\xff\xff\xff\x7f", codec="snappy"), "snappy block is damaged"),
        (
            forged("bytes", zstandard.compress(bytes(MAX_BYTES + 1)), codec="zstandard"),
            "more than 64,000,000 bytes",
        ),
        (forged("bytes", b"", codec="\x1b[2J"), "its codec is"),
        (forged("bytes", raw("long", 2**62)), "cut off"),
        (forged("bytes", raw("long", -5)), "cut off"),
        (forged("long", b"\xff" * 30), "no number"),
        (forged(["null", "int"], raw("long", -1)), "branch -1 of 2"),
        (forged("string", b"\x02\xff"), "not UTF-8"),
        (forged("int", b"\x02\x02"), "1 bytes are left over"),
        (container(POINT, VEGA)[:-20], "cut off"),
        (container(POINT, VEGA)[:-1] + b"?", "does not end"),
        (container(POINT)[:30], "header is damaged"),
        (b"Obj\x01", "header is damaged"),
        (nested(500), "schema cannot be understood"),
        (nested(50_000), "schema cannot be understood"),
        (container("null").replace(b'"null"', b'"nulx"'), "schema cannot be understood"),
        (b"[" * 1_000_000, "neither Avro nor JSON"),
        (b"[" * 500 + b"]" * 500, "nested more than 100"),
        (b"9" * 5_000, "neither Avro nor JSON"),
        (b"\xff\xfe", "neither Avro nor JSON"),
        (b"", "neither Avro nor JSON"),
        (b"\0\0\0\0", "neither Avro nor JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "payload",  # which has random bytes
)
def test_a_payload_made_to_do_harm_is_refused(payload: bytes, words: str) -> None:
    with pytest.raises(DecodeError, match=words) as refused:
        Decoder().decode(payload)
    assert len(str(refused.value)) < 400


PRIMITIVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("double", st.floats(allow_nan=False, allow_infinity=False)),
    ("string", st.text("a\u00e9\u2028\U0001d11e", max_size=5)),
]


NUMBERS = itertools.count()


@st.composite
def typed(draw: st.DrawFn, depth: int = 3) -> tuple[Any, Any]:
    """A schema and a datum of it."""
    kind = draw(st.sampled_from(["primitive", "array", "map", "record", "union"][: depth * 5 or 1]))
    if kind == "primitive":
        schema, data = draw(st.sampled_from(PRIMITIVES))
        return schema, draw(data)
    if kind == "record":
        parts = draw(st.lists(typed(depth - 1), max_size=4))
        names = [f"f{number}" for number in range(len(parts))]
        fields = [{"name": n, "type": part[0]} for n, part in zip(names, parts, strict=True)]
        record = f"R{next(NUMBERS)}"
        datum = {n: part[1] for n, part in zip(names, parts, strict=True)}
        return {"type": "record", "name": record, "fields": fields}, datum
    schema, datum = draw(typed(depth - 1))
    count = draw(st.integers(0, 3))
    if kind == "array":
        return {"type": "array", "items": schema}, [datum] * count
    if kind == "map":
        return {"type": "map", "values": schema}, {f"k{n}": datum for n in range(count)}
    return (
        (["null", schema], datum)
        if schema not in ("null", ["null"]) and not isinstance(schema, list)
        else (schema, datum)
    )


@settings(max_examples=200)
@given(typed())
def test_whatever_fastavro_writes_is_read_as_fastavro_reads_it(case: tuple[Any, Any]) -> None:
    schema, datum = case
    written = container(schema, datum, codec="deflate")
    assert Decoder().decode(written) == next(fastavro.reader(io.BytesIO(written)))


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 1_000), st.binary(max_size=4))
def test_nothing_but_a_decode_error_comes_of_garbage(
    garbage: bytes, place: int, bites: bytes
) -> None:
    good = container(POINT, VEGA, codec="null")
    place %= len(good)
    for payload in (
        garbage,
        b"Obj\x01" + garbage,
        good[:place] + bites + good[place + len(bites) :],
    ):
        with contextlib.suppress(DecodeError):
            json.dumps(Decoder().decode(payload), allow_nan=False)
