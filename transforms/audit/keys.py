"""Keys of 64 bits: which of those that the source has come again, how often. 29 bytes a key."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

_BATCH = 1 << 17


class Found(NamedTuple):
    """Some of the source's keys, as arrays of one length.

    Attributes:
      key: ascending.
      index: when the key was added, from 0.
      copy: of equal keys, which one this is, from 0.
      copies: how many equal keys the source has.
      times: how often the key was found.
      dead: whether it was given up.
    """

    key: Any
    index: Any
    copy: Any
    copies: Any
    times: Any
    dead: Any


class Keys:
    """The source adds keys; after `seal`, they are looked up, in batches.

    Attributes:
      others: look-ups of keys that the source does not have; complete after `found`.
    """

    def __init__(self) -> None:
        self._added = array("Q")
        self._keys: Any = np.empty(0, np.uint64)
        self._order: Any = np.empty(0, np.int64)
        self._times: Any = np.empty(0, np.uint32)
        self._dead: Any = np.empty(0, bool)
        self._last: Any = None
        self._wanted, self._deliveries, self._given_up = array("Q"), array("Q"), array("Q")
        self.others = 0

    def __len__(self) -> int:
        return len(self._added) or len(self._keys)

    def add(self, key: int) -> None:
        self._added.append(key)

    def seal(self, keep: Any = None) -> None:
        """The source is complete; sorts its keys, in place.

        Args:
          keep: by index, whether the key stays; those that stay keep their index.
        """
        self._keys = np.frombuffer(self._added, np.uint64) if self._added else self._keys
        if keep is None:
            self._order = np.argsort(self._keys)
            self._keys.sort()
        else:
            kept = np.flatnonzero(keep)
            order = np.argsort(self._keys[kept])
            self._order = kept[order]
            self._keys = self._keys[self._order]
        self._added = array("Q")
        self._times = np.zeros(len(self._keys), np.uint32)
        self._dead = np.zeros(len(self._keys), bool)

    def deliver(self, key: int, delivery: int = 0) -> None:
        """Looks a key up.

        Args:
          delivery: names the delivery; the same one again does not count. 0 where none is repeated.
        """
        self._wanted.append(key)
        self._deliveries.append(delivery)
        if len(self._wanted) >= _BATCH:
            self._look_up()

    def give_up(self, key: int) -> None:
        self._given_up.append(key)
        if len(self._given_up) >= _BATCH:
            self._look_up()

    def _look_up(self) -> None:
        at, here = self._first(self._wanted)
        self.others += len(at) - int(here.sum())
        at = at[here]
        deliveries = np.frombuffer(self._deliveries, np.uint64)[here] if len(at) else at
        if len(at) and deliveries.any():
            at = self._new_deliveries(at, deliveries)
        positions, n = np.unique(at, return_counts=True)
        self._times[positions] += n.astype(np.uint32)
        at, here = self._first(self._given_up)
        self._dead[at[here]] = True
        self._wanted, self._deliveries, self._given_up = array("Q"), array("Q"), array("Q")

    def _first(self, wanted: array[int]) -> tuple[Any, Any]:
        """Where the first equal key is; and whether there is one."""
        if not wanted or not len(self._keys):
            return np.empty(len(wanted), np.int64), np.zeros(len(wanted), bool)
        looked_up = np.frombuffer(wanted, np.uint64)
        at = np.searchsorted(self._keys, looked_up)
        at[at == len(self._keys)] = 0
        return at, self._keys[at] == looked_up

    def _new_deliveries(self, at: Any, deliveries: Any) -> Any:
        """The positions, without those whose delivery is the last one that they had."""
        if self._last is None:
            self._last = np.zeros(len(self._keys), np.uint64)
        pairs = np.unique(np.stack([at.astype(np.uint64), deliveries], axis=1), axis=0)
        at, deliveries = pairs[:, 0].astype(np.int64), pairs[:, 1]
        new = self._last[at] != deliveries
        self._last[at] = deliveries
        return at[new]

    def found(self) -> Iterator[Found]:
        """What became of all keys, some at a time."""
        self._look_up()
        begin = 0
        while begin < len(self._keys):
            end = min(begin + _BATCH, len(self._keys))
            end = int(np.searchsorted(self._keys, self._keys[end - 1], "right"))
            keys = self._keys[begin:end]
            starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
            sizes = np.diff(starts, append=len(keys))
            first = np.repeat(starts, sizes)
            yield Found(
                keys,
                self._order[begin:end],
                np.arange(len(keys)) - first,
                np.repeat(sizes, sizes),
                self._times[begin:end][first],
                self._dead[begin:end][first],
            )
            begin = end
