"""The beginning of a run that outlives its Kerberos tickets; test_ticket_renewal.py has its end."""

from __future__ import annotations

from ends import until


def test_both_bridges_log_in_with_tickets_of_a_minute(long_run, secure):
    until(lambda: secure.kdc.logins(long_run.renewed), "a log-in with the keytab")
    until(lambda: secure.kdc.service_tickets(long_run.cached), "a log-in with the ticket cache")
    assert all(bridge.process.poll() is None for bridge in long_run.bridges)
