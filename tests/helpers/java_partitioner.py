"""Where Java's producer puts a key: `toPositive(murmur2(key)) % partitions`, seed 0x9747b28c.

Written from the algorithm's definition (Austin Appleby's MurmurHash2), independently of the clients
under test; checked in the contract suite against values that Java's client prints.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """The 32-bit hash, unsigned."""
    h = (0x9747B28C ^ len(data)) & _MASK
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = h * _M & _MASK ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key that is not null."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
