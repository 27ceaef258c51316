"""Decompression of an Avro container's blocks, up to a limit."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable

_CRC_BYTES = 4


def inflated(codec: str, block: bytes, limit_bytes: int) -> bytes:
    """The content of a block.

    Raises:
      ValueError: the codec is not known, the block is damaged, or there is more in it than
        `limit_bytes`.
    """
    inflate = _CODECS.get(codec)
    if inflate is None:
        raise ValueError(f"its codec is {codec[:40]!r}; known are {', '.join(_CODECS)}")
    try:
        content = inflate(block, limit_bytes + 1)
    except Exception as error:  # each library raises its own
        raise ValueError(f"a {codec} block is damaged: {error}"[:200]) from error
    if len(content) > limit_bytes:
        raise ValueError(f"more than {limit_bytes:,} bytes when decompressed")
    return content


def _stored(block: bytes, _: int) -> bytes:
    return block


def _deflate(block: bytes, most: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(block, most)


def _bzip2(block: bytes, most: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(block, most)


def _xz(block: bytes, most: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=4 * most).decompress(block, most)


def _zstandard(block: bytes, most: int) -> bytes:
    import zstandard

    reader = zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(
        block, read_across_frames=True
    )
    return reader.read(most)


def _snappy(block: bytes, most: int) -> bytes:
    import cramjam

    size = shift = 0
    for byte in block[:5]:  # it begins with the size of its content
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size >= most:
        raise ValueError(f"{size:,} bytes when decompressed")
    content = bytes(cramjam.snappy.decompress_raw(block[:-_CRC_BYTES]))
    if zlib.crc32(content) != int.from_bytes(block[-_CRC_BYTES:], "big"):
        raise ValueError("its checksum is wrong")
    return content


_CODECS: dict[str, Callable[[bytes, int], bytes]] = {
    "null": _stored,
    "deflate": _deflate,
    "zstandard": _zstandard,
    "snappy": _snappy,
    "bzip2": _bzip2,
    "xz": _xz,
}
