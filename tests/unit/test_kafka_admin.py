"""Administration where a partition has no leader for a while."""

from __future__ import annotations

import pytest
from kafka import IsolationLevel, errors
from kafka.structs import OffsetAndTimestamp

from transforms.errors import PreflightError
from transforms.kafka.kafka_python.admin import KafkaPythonAdmin


class Leaderless:
    """kafka-python's admin, whose cluster elects a leader when it was asked `times`."""

    def __init__(self, times: int) -> None:
        self.times = times

    def list_partition_offsets(self, asked, _isolation, _timeout_ms):
        self.times -= 1
        if self.times >= 0:
            raise errors.UnknownBrokerIdError(-1)
        return {part: OffsetAndTimestamp(7, -1, None) for part in asked}


@pytest.mark.parametrize("times", [2, 1_000])
def test_offsets_are_asked_for_until_there_is_a_leader(times):
    admin = object.__new__(KafkaPythonAdmin)
    admin._admin, admin._servers, admin._timeout_s = Leaderless(times), "x:1", 0.5
    admin._isolation = IsolationLevel.READ_COMMITTED
    if times == 2:
        assert admin.end_offsets([("t", 0)]) == {("t", 0): 7}
    else:
        with pytest.raises(PreflightError, match=r"read offsets of t/0 on x:1: .*no leader"):
            admin.end_offsets([("t", 0)])
