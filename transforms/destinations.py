"""Destinations that are templates over the source: `projects/P/topics/{kafka.topic}`. Pure.

    {kafka.topic}        the Kafka record's topic
    {kafka.partition}    its partition
    {attribute:NAME}     the message's attribute; of a Kafka record the last header of that name
    {pubsub.topic}       the last part of the name of the topic that the subscription belongs to

A field stands in the topic's own name only, never in its project. What it stands for is whatever
the message says: a value may have no character but those of a topic's name, and the name that comes
of it has to keep to the rules of Kafka or Pub/Sub.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from transforms import limits, topic_names
from transforms.errors import UnmappableError
from transforms.records import Headers, KafkaRecord, PubsubRecord
from transforms.topic_names import System

Kind = Literal["kafka.topic", "kafka.partition", "pubsub.topic", "attribute"]

_PREFIX = re.compile(rf"projects/{topic_names.PROJECT}/topics/")
_FIELD = re.compile(r"\{([^{}]*)\}")
_KAFKAS_OWN = "__"
_EXAMPLE = "xxx"
"""Stands for a value, where nothing but the rest of a name is checked."""


class Field(NamedTuple):
    """A part of a template that each message fills in."""

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        return f"{{{self.kind}:{self.name}}}" if self.name else f"{{{self.kind}}}"


@dataclass(frozen=True)
class Template:
    """A topic's name, with fields in it or without; small and picklable.

    Attributes:
      text: as it was given.
      prefix: what stands before the topic's own name: `projects/P/topics/`, or nothing.
      fixed: the texts before, between and behind the fields, one more than there are fields.
      reserved: topics that no message may name, since they are for something else.
    """

    text: str
    system: System
    prefix: str
    fixed: tuple[str, ...]
    fields: tuple[Field, ...] = ()
    reserved: frozenset[str] = frozenset()

    def name_for(self, record: KafkaRecord | PubsubRecord) -> str:
        """The destination of a message, as it was read.

        Raises:
          UnmappableError: a field is missing, or what comes of it is no topic's name.
        """
        try:
            return _name(self, tuple([_value(field, record) for field in self.fields]))
        except ValueError as error:
            raise UnmappableError(
                f"map {record.name}: --{self.system}_topic={self.text}: {error}"
            ) from None

    def with_value(self, kind: Kind, value: str) -> Template:
        """The same template, with one kind of field filled in for all messages.

        Raises:
          ValueError: a topic's name cannot have this value in it.
        """
        fixed, fields = [self.fixed[0]], []
        for field, text in zip(self.fields, self.fixed[1:], strict=True):
            if field.kind == kind:
                fixed[-1] += _checked(self.system, field, value) + text
            else:
                fields.append(field)
                fixed.append(text)
        return replace(self, fixed=tuple(fixed), fields=tuple(fields))

    def without(self, reserved: Collection[str]) -> Template:
        """The same template, which names none of these topics."""
        return replace(self, reserved=self.reserved | frozenset(reserved))


def parse(system: System, text: str) -> Template:
    """A template, or a plain name, of a topic to write to.

    Raises:
      ValueError: it has fields that do not exist, or could not become a topic's name.
    """
    prefix = ""
    if system == "pubsub":
        match = _PREFIX.match(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not projects/PROJECT/topics/NAME"
                + ("; fields may stand in NAME alone" if "{" in text else "")
            )
        prefix = match[0]
    name = text.removeprefix(prefix)
    pieces = _FIELD.split(name)
    fixed, fields = tuple(pieces[::2]), tuple(map(_field, pieces[1::2]))
    if any(brace in part for part in fixed for brace in "{}"):
        raise ValueError(f"{text!r} has a brace that belongs to no field; write {{attribute:NAME}}")
    try:
        topic_names.check(system, _EXAMPLE.join(fixed))
    except ValueError as error:
        if not fields:
            raise
        raise ValueError(f"{text!r} can become no topic's name: {error}") from None
    return Template(text, system, prefix, fixed, fields)


def is_template(text: str) -> bool:
    """Whether a text is meant as one: braces are in no name of a topic."""
    return "{" in text or "}" in text


def _field(text: str) -> Field:
    kind, colon, name = text.partition(":")
    for known in get_args(Kind):
        if kind == known and (known == "attribute") == bool(colon):
            break
    else:
        raise ValueError(
            f"'{{{text}}}' is no field; use {{kafka.topic}}, {{kafka.partition}}, {{pubsub.topic}} "
            "or {attribute:NAME}"
        )
    if colon and not 0 < len(name.encode()) <= limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES:
        raise ValueError(
            f"'{{{kind}:...}}': the name is {len(name.encode())} bytes; it has 1 to "
            f"{limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES}"
        )
    return Field(known, name)


# -- one message -----------------------------------------------------------------------------------


def _value(field: Field, record: KafkaRecord | PubsubRecord) -> str | bytes | None:
    """What a message has for a field; None for nothing."""
    if isinstance(record, PubsubRecord):
        return record.attributes.get(field.name) if field.kind == "attribute" else None
    if field.kind == "attribute":
        return _header(record.headers, field.name)
    if field.kind == "kafka.topic":
        return record.topic
    if field.kind == "kafka.partition" and record.partition is not None:
        return str(record.partition)
    return None


def _header(headers: Headers, wanted: str) -> bytes | None:
    for name, value in reversed(headers):
        if name == wanted:
            return value
    return None


@lru_cache(maxsize=4096)
def _name(template: Template, values: tuple[str | bytes | None, ...]) -> str:
    """A template with values in it. What it refuses is not kept: a value may be of any size.

    Raises:
      ValueError: says which field, or what of the name.
    """
    name = template.fixed[0]
    for field, value, text in zip(template.fields, values, template.fixed[1:], strict=True):
        name += _checked(template.system, field, value) + text
    rule = topic_names.RULES[template.system]
    if not rule.allows(name):
        raise ValueError(f"what comes of it is not {rule.what}; {rule.words}")
    if template.system == "kafka" and name.startswith(_KAFKAS_OWN) and template.fields:
        raise ValueError(f"what comes of it begins with {_KAFKAS_OWN}, as Kafka's own topics do")
    full_name = template.prefix + name
    if full_name in template.reserved:
        raise ValueError(f"what comes of it is {full_name}, which is for something else")
    return full_name


def _checked(system: System, field: Field, value: str | bytes | None) -> str:
    """A value that may stand in a topic's name.

    Raises:
      ValueError: it may not; the text does not tell it.
    """
    if not value:
        raise ValueError(f"{field} is {'missing' if value is None else 'empty'}")
    if isinstance(value, bytes):
        try:
            value = value.decode("ascii")
        except UnicodeDecodeError:
            value = "\0"  # in no topic's name
    if not topic_names.RULES[system].characters.fullmatch(value):
        raise ValueError(f"{field} has characters that are in no topic's name")
    return value
