"""Sample alerts: Avro packets like those of the Zwicky Transient Facility, made up from numbers.

One alert is an Avro object container file with its schema inside: a candidate, up to 30 previous
detections, and three cutouts of 80 x 80 pixels as gzip'ed FITS images; about 70 kB.
"""

from __future__ import annotations

import functools
import gzip
import io
import random
import struct
from collections.abc import Mapping
from typing import Any

import fastavro

SCHEMA_VERSION = "4.02"

_FIRST_CANDID = 2_600_000_000_000_000_000
_SIDE_PIXELS = 80
_BLOCK_BYTES = 2880  # FITS files are made of such blocks
_NOISE_IMAGES = 64
_MAX_PREVIOUS = 30

_CANDIDATE_FIELDS: Mapping[str, Any] = {
    # name: Avro type. Those that may be null are unknown for some detections.
    "jd": "double",
    "fid": "int",
    "pid": "long",
    "diffmaglim": ["null", "float"],
    "programid": "int",
    "candid": "long",
    "isdiffpos": "string",
    "nid": ["null", "int"],
    "rcid": ["null", "int"],
    "field": ["null", "int"],
    "xpos": ["null", "float"],
    "ypos": ["null", "float"],
    "ra": "double",
    "dec": "double",
    "magpsf": "float",
    "sigmapsf": "float",
    "chipsf": ["null", "float"],
    "magap": ["null", "float"],
    "sigmagap": ["null", "float"],
    "distnr": ["null", "float"],
    "magnr": ["null", "float"],
    "sky": ["null", "float"],
    "fwhm": ["null", "float"],
    "classtar": ["null", "float"],
    "rb": ["null", "float"],
    "drb": ["null", "float"],
    "ssnamenr": ["null", "string"],
    "sgscore1": ["null", "float"],
    "distpsnr1": ["null", "float"],
    "ndethist": "int",
    "ncovhist": "int",
    "scorr": ["null", "double"],
}


def alert(number: int, seed: int = 0) -> bytes:
    """Alert `number`, from 0 on, of the series `seed`; the same whenever it is asked for."""
    draw = random.Random(f"{seed}/{number}")
    candid = _FIRST_CANDID + number
    jd, ra, dec = 2_461_000.5 + number / 10_000_000, draw.uniform(0, 360), draw.uniform(-30, 90)
    previous = [
        _candidate(draw, candid - 1 - night, jd - 2.0 * (night + 1), ra, dec)
        for night in range(draw.randint(0, _MAX_PREVIOUS))
    ]
    packet: dict[str, Any] = {
        "schemavsn": SCHEMA_VERSION,
        "publisher": "sample alerts of pubsub-kafka-bridge",
        "objectId": f"SAMPLE{number:09d}",
        "candid": candid,
        "candidate": _candidate(draw, candid, jd, ra, dec),
        "prv_candidates": previous or None,
    }
    for kind in ("Science", "Template", "Difference"):
        name = f"candid{candid}_{kind.lower()}.fits.gz"
        packet[f"cutout{kind}"] = {"fileName": name, "stampData": _stamp(draw, seed, name)}
    file = io.BytesIO()
    fastavro.writer(file, _schema(), [packet], codec="null", sync_marker=draw.randbytes(16))
    return file.getvalue()


def number_of(packet: bytes) -> int | None:
    """The number of the alert that a packet was, if that can still be read in it."""
    try:
        record: Any = next(fastavro.reader(io.BytesIO(packet)))
        return int(record["candid"]) - _FIRST_CANDID
    except Exception:  # fastavro raises what it stumbles over: any of a dozen
        return None


def _candidate(
    draw: random.Random, candid: int, jd: float, ra: float, dec: float
) -> dict[str, Any]:
    """One detection; every field that is not set here is a float between 0 and 30."""
    values = {name: draw.uniform(0, 30) for name in _CANDIDATE_FIELDS}
    return values | {
        "jd": jd,
        "fid": draw.randint(1, 3),
        "pid": candid // 1000,
        "programid": 1,
        "candid": candid,
        "isdiffpos": draw.choice("tf"),
        "nid": int(jd) - 2_457_754,
        "rcid": draw.randrange(64),
        "field": draw.randrange(245, 880),
        "ra": ra + draw.gauss(0, 1e-5),
        "dec": dec + draw.gauss(0, 1e-5),
        "rb": draw.random(),
        "drb": draw.random() if draw.random() < 0.95 else None,
        "ssnamenr": None,
        "ndethist": draw.randrange(1, 500),
        "ncovhist": draw.randrange(500, 5000),
    }


def _stamp(draw: random.Random, seed: int, name: str) -> bytes:
    """A gzip'ed FITS image: its own header, and one of a few noise images, made only once."""
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                  -32",
        "NAXIS   =                    2",
        f"NAXIS1  = {_SIDE_PIXELS:20d}",
        f"NAXIS2  = {_SIDE_PIXELS:20d}",
        f"FILENAME= '{name}'",
        "END",
    ]
    header = "".join(card.ljust(80) for card in cards).ljust(_BLOCK_BYTES).encode()
    # gzip files may be joined: header and pixels decompress as one
    return gzip.compress(header, mtime=0) + _noise(seed, draw.randrange(_NOISE_IMAGES))


@functools.cache
def _noise(seed: int, number: int) -> bytes:
    draw = random.Random(f"{seed}/noise/{number}")
    pixels = (draw.gauss(200, 15) for _ in range(_SIDE_PIXELS**2))
    data = struct.pack(f">{_SIDE_PIXELS**2}f", *pixels)
    return gzip.compress(data.ljust(-len(data) // _BLOCK_BYTES * -_BLOCK_BYTES, b"\0"), mtime=0)


@functools.cache
def _schema() -> Any:
    candidate = [{"name": name, "type": kind} for name, kind in _CANDIDATE_FIELDS.items()]
    cutout = [{"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}]
    return fastavro.parse_schema(
        {
            "type": "record",
            "name": "alert",
            "namespace": "sample",
            "fields": [
                {"name": "schemavsn", "type": "string"},
                {"name": "publisher", "type": "string"},
                {"name": "objectId", "type": "string"},
                {"name": "candid", "type": "long"},
                {
                    "name": "candidate",
                    "type": {"type": "record", "name": "candidate", "fields": candidate},
                },
                {
                    "name": "prv_candidates",
                    "type": ["null", {"type": "array", "items": "sample.candidate"}],
                },
                {
                    "name": "cutoutScience",
                    "type": ["null", {"type": "record", "name": "cutout", "fields": cutout}],
                },
                {"name": "cutoutTemplate", "type": ["null", "sample.cutout"]},
                {"name": "cutoutDifference", "type": ["null", "sample.cutout"]},
            ],
        }
    )
