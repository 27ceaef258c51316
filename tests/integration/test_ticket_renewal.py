"""The end of a run that has outlived its Kerberos tickets; test_kerberos.py has its beginning."""

from __future__ import annotations

import time

import pytest
from ends import until

RUN_S = 180


@pytest.mark.timeout(RUN_S + 120)
def test_tickets_of_60_s_are_renewed_in_a_run_of_3_minutes(long_run, secure):
    until(lambda: time.monotonic() > long_run.began_s + RUN_S, "3 minutes", RUN_S + 30)
    reports = long_run.finish()
    assert secure.kdc.logins(long_run.renewed) >= 3
    assert secure.kdc.renewals(long_run.cached) >= 2
    assert sorted({int(message.data) for message in long_run.messages}) == [*range(long_run.sent)]
    assert long_run.sent > RUN_S
    for report in reports:
        assert report["delivered"] == report["read"] >= long_run.sent
        assert report["degraded_seconds"] == 0
