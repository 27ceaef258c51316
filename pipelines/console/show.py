"""What is seen of a message: some lines for people, or one JSON object for programs."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from pipelines.console.payload import in_one_line, lines_of, text_of, time_of
from pipelines.printable import printable
from transforms.decode import DecodeError, Decoder
from transforms.errors import SourceError
from transforms.records import KafkaRecord, PubsubRecord

Record = KafkaRecord | PubsubRecord

_INDENT = "  "
_HINT = "; --decode shows it"


# -- for programs ----------------------------------------------------------------------------------


def to_json(record: Record, decoder: Decoder | None) -> str:
    """One line: all of a message; with a decoder `decoded`, or `not_decoded` and why."""
    if isinstance(record, KafkaRecord):
        content: dict[str, Any] = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "timestamp": _time(record.timestamp_ms),
            "timestamp_type": record.timestamp_type.name,
            "key_base64": _base64(record.key),
            "headers": [
                {"name": name, "value_base64": _base64(value)} for name, value in record.headers
            ],
            "value_base64": _base64(record.value),
        }
        payload = record.value
    else:
        content = {
            "message_id": record.message_id,
            "publish_time_ms": record.publish_time_ms,
            "publish_time": _time(record.publish_time_ms),
            "ordering_key": record.ordering_key,
            "attributes": dict(record.attributes),
            "data_base64": _base64(record.data),
        }
        payload = record.data
    if decoder is not None and payload:
        try:
            content["decoded"] = decoder.decode(payload)
        except (DecodeError, SourceError) as error:
            content["not_decoded"] = str(error)
    return json.dumps(content)


def _time(timestamp_ms: int | None) -> str | None:
    return None if timestamp_ms is None else time_of(timestamp_ms)


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


# -- for people ------------------------------------------------------------------------------------


class Screen:
    """Prints messages for people: in colour and wrapped on a terminal, else plainly.

    Args:
      decoder: shows payloads decoded, where they can be.
    """

    def __init__(self, decoder: Decoder | None, file: TextIO | None = None) -> None:
        self._decoder = decoder
        self._file = file or sys.stdout
        self._on_terminal = self._file.isatty()
        self._console = Console(
            file=self._file,
            color_system="auto" if self._on_terminal else None,
            highlight=False,
        )
        self._highlighter = JSONHighlighter()

    def show(self, record: Record) -> None:
        """Prints one message, and an empty line."""
        with self._console.capture() as captured:
            for number, text in enumerate(self._lines(record)):
                self._print(text, _INDENT if number else "")
        self._file.write(f"{captured.get()}\n")
        self._file.flush()

    def _print(self, text: Text, indent: str) -> None:
        lines: list[Text] = [text]
        if self._on_terminal:
            width = max(20, self._console.width - len(indent))
            lines = list(text.wrap(self._console, width))
        for line in lines:
            line.rstrip()
            self._console.print(Text(indent) + line, soft_wrap=True)

    def _lines(self, record: Record) -> Iterator[Text]:
        if isinstance(record, KafkaRecord):
            payload = record.value
            yield _head(record.name, record.timestamp_ms, payload)
            if record.key is not None:
                yield _labelled("key", in_one_line(record.key))
            for name, value in record.headers:
                yield _labelled(f"header {in_one_line(name)}", in_one_line(value))
        else:
            payload = record.data
            yield _head(record.name, record.publish_time_ms, payload)
            if record.ordering_key:
                yield _labelled("ordering key", in_one_line(record.ordering_key))
            for name, text in record.attributes.items():
                yield _labelled(f"attribute {in_one_line(name)}", in_one_line(text))
        yield from self._payload(payload)

    def _payload(self, payload: bytes | None) -> Iterator[Text]:
        if self._decoder is not None and payload:
            try:
                decoded = self._decoder.decode(payload)
            except (DecodeError, SourceError) as error:
                if text_of(payload) is None:
                    yield Text(f"not decoded: {printable(str(error))}", "yellow")
            else:
                yield from self._pretty(decoded)
                return
        for line in lines_of(payload, "" if self._decoder else _HINT):
            yield Text(line)

    def _pretty(self, decoded: Any) -> Iterator[Text]:
        for line in json.dumps(decoded, indent=2, ensure_ascii=False).split("\n"):
            text = Text(printable(line))
            if self._on_terminal:
                self._highlighter.highlight(text)
            yield text


def _head(name: str, timestamp_ms: int | None, payload: bytes | None) -> Text:
    size = "null" if payload is None else f"{len(payload):,} B"
    return Text.assemble((printable(name), "bold cyan"), f"  {time_of(timestamp_ms)}  {size}")


def _labelled(label: str, content: str) -> Text:
    return Text.assemble((f"{label}: ", "dim"), content)
