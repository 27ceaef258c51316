"""Keeps the memory of a process that runs for months flat, where its C library is glibc.

By default glibc keeps an arena of memory for each thread, and gives back little of what is freed:
without this the bridge grew by 2% in 15 minutes and held no more than before (`make soak`).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8
"""Source: <malloc.h> of glibc."""

_ARENAS = 2

_ALLOCATIONS = 20_000
"""Objects that are made and kept before Python looks for cycles among the youngest: of a poll of
500 messages it would do so three times by default, and each time find none."""


def use_few_arenas() -> None:
    """For all threads of this process together. To be called before there are any, which would keep
    arenas of their own: 340 MB at messages of 74 kB to Kafka, instead of 360 to 460."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def look_for_fewer_cycles() -> None:
    """Has Python's collector pass over all that is loaded by now, which stays: it is 170,000
    objects of Beam's, which took a third of the CPU of a message."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)


def trim() -> None:
    """Gives what is freed back to the system."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
