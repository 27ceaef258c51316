"""Avro's logical types as text: what a stored number or bytes mean. Pure.

Source: https://avro.apache.org/docs/1.12.0/specification/#logical-types
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

_EPOCH = datetime(1970, 1, 1)
_LONGEST_DECIMAL_BYTES = 1_000
_LARGEST_SCALE = 10_000


def _since_epoch(units_a_second: int, zone: str) -> Callable[[int, Any], str]:
    digits = len(str(units_a_second)) - 1

    def text(stored: int, _: Any) -> str:
        seconds, units = divmod(stored, units_a_second)
        moment = _EPOCH + timedelta(seconds=seconds)
        return f"{moment.isoformat()}.{units:0{digits}}{zone}"

    return text


def _of_day(units_a_second: int) -> Callable[[int, Any], str]:
    digits = len(str(units_a_second)) - 1

    def text(stored: int, _: Any) -> str:
        seconds, units = divmod(stored, units_a_second)
        if not 0 <= seconds < 86_400:
            raise ValueError("not within a day")
        return f"{(_EPOCH + timedelta(seconds=seconds)).time().isoformat()}.{units:0{digits}}"

    return text


def _date(stored: int, _: Any) -> str:
    return (date(1970, 1, 1) + timedelta(days=stored)).isoformat()


def _decimal(stored: bytes, schema: Mapping[str, Any]) -> str:
    scale = schema.get("scale", 0)
    if len(stored) > _LONGEST_DECIMAL_BYTES or not 0 <= scale <= _LARGEST_SCALE:
        raise ValueError("no decimal that anybody writes")
    number = Decimal(int.from_bytes(stored, "big", signed=True))
    return format(number.scaleb(-scale, Context(prec=3 * _LONGEST_DECIMAL_BYTES)), "f")


def _uuid(stored: bytes, _: Any) -> str:
    return str(uuid.UUID(bytes=stored))


LOGICAL: Mapping[tuple[str, str], Callable[[Any, Any], str]] = {
    ("int", "date"): _date,
    ("int", "time-millis"): _of_day(1_000),
    ("long", "time-micros"): _of_day(1_000_000),
    ("long", "timestamp-millis"): _since_epoch(1_000, "Z"),
    ("long", "timestamp-micros"): _since_epoch(1_000_000, "Z"),
    ("long", "timestamp-nanos"): _since_epoch(1_000_000_000, "Z"),
    ("long", "local-timestamp-millis"): _since_epoch(1_000, ""),
    ("long", "local-timestamp-micros"): _since_epoch(1_000_000, ""),
    ("long", "local-timestamp-nanos"): _since_epoch(1_000_000_000, ""),
    ("bytes", "decimal"): _decimal,
    ("fixed", "decimal"): _decimal,
    ("fixed", "uuid"): _uuid,
}
"""By type and logical type; raises ValueError or OverflowError where it means nothing."""
