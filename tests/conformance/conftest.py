"""One suite for every runner. Where Prism's program is missing its tests, and those of the job
server that it is too, do not run: the last lines of the output say so.

Each test fills a cell of the matrix in docs/runners.md (`tests/helpers/matrix.py`).
"""

from __future__ import annotations

import contextlib
import uuid

import pytest
from ends import Kafka, PubSub
from passages import PASSAGES
from proxied import proxied_stack
from runners import PRISM, RUNNERS, WITHOUT_PRISM, opened


@pytest.fixture(scope="module")
def servers():
    with proxied_stack(emulator_heap="1g") as running:
        yield running


@pytest.fixture(scope="module")
def kafka(servers):
    ends = Kafka(servers.stack.bootstrap_servers)
    yield ends
    ends.close()


@pytest.fixture(scope="module")
def pubsub(servers):
    ends = PubSub()
    yield ends
    ends.close()


@pytest.fixture(scope="module")
def runners(servers, tmp_path_factory):
    """Gives a runner by its name; all of them end with the module."""
    with contextlib.ExitStack() as running:
        known = {}

        def get(name: str):
            if name != "in-process" and not PRISM:
                pytest.skip(WITHOUT_PRISM)  # and the last line says so
            if name not in known:
                folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
                known[name] = running.enter_context(opened(name, folder, servers.env(proxied=True)))
            return known[name]

        yield get


@pytest.fixture(scope="module", params=RUNNERS)
def runner(request, runners):
    return runners(request.param)


@pytest.fixture(scope="module")
def prism(runners):
    return runners("Prism")


@pytest.fixture(scope="module")
def job_server(runners):
    return runners("external workers")


@contextlib.contextmanager
def opening(direction: str, servers, kafka, pubsub):
    """Opens passages, each with a topic and a subscription of its own."""
    with contextlib.ExitStack() as passages:

        def open_(name: str):
            unique = f"t-{name}-{uuid.uuid4().hex[:8]}"
            passage = PASSAGES[direction](servers, kafka, pubsub, unique)
            passages.callback(passage.destination.heal)
            return passage

        yield open_


@pytest.fixture(scope="module", params=PASSAGES)
def open_passage(request, servers, kafka, pubsub):
    with opening(request.param, servers, kafka, pubsub) as open_:
        yield open_


@pytest.fixture(scope="module")
def kafka_passage(servers, kafka, pubsub):
    with opening("kafka_to_ps", servers, kafka, pubsub) as open_:
        yield open_


def pytest_unconfigure(config: pytest.Config) -> None:
    """Comes after the summary, so that nothing hides what was not run."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if not_run := [report for report in skipped if WITHOUT_PRISM in str(report.longrepr)]:
        line = f"NOT RUN: {len(not_run)} tests of Prism and of external workers: {WITHOUT_PRISM}"
        reporter.write_line(line, red=True, bold=True)
