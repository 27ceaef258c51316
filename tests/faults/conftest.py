"""The fault suite: its own servers behind proxies, both directions, and one table at the end.

    pytest tests/faults                    short form, both directions side by side, a few rounds
    pytest tests/faults --faults=full      each direction by itself, 20 rounds, three brokers

Every test sends payloads that can be told one by one (`verifiable`), brings about one kind of
fault, shows that the fault had an effect, and accounts for every message: lost and changed are
always 0.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ends import Kafka, PubSub
from fault_table import PROPERTY, Row, Table, lines
from proxied import Servers, proxied_stack
from streams import DIRECTIONS, Stream

FULL_TIMEOUT_S = 400

_ROWS: pytest.StashKey[list[Row]] = pytest.StashKey()
_SEED: pytest.StashKey[int] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults", choices=("short", "full"), default="short", help="rounds of faults")
    group.addoption("--faults-seed", type=int, default=None, help="of the random instants")
    group.addoption("--faults-json", type=Path, default=None, help="writes the table as JSON")


def _is_full(config: pytest.Config) -> bool:
    return config.getoption("--faults", "short") == "full"


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "full_only: only with --faults=full",
        "load: how much is delivered meanwhile is measured",
        "short_client(name): the Kafka client of the short form, librdkafka by default",
    ):
        config.addinivalue_line("markers", line)
    given = config.getoption("--faults-seed", None)
    config.stash[_SEED] = random.SystemRandom().randrange(10**6) if given is None else given
    config.stash[_ROWS] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A fault is brought about once, with both directions side by side; in full form each direction
    has it by itself where `load` is measured. Likewise the short form has one Kafka client."""
    full = _is_full(metafunc.config)
    marks = {mark.name: mark for mark in metafunc.definition.iter_markers()}
    if "directions" in metafunc.fixturenames:
        both = list(DIRECTIONS)
        each = [[name] for name in both] if full and "load" in marks else [both]
        metafunc.parametrize("directions", each, ids=["+".join(names) for names in each])
    if "client" in metafunc.fixturenames:
        clients = ["librdkafka", "kafka-python"]
        short = marks["short_client"].args if "short_client" in marks else clients[:1]
        metafunc.parametrize("client", clients if full else short)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ours = [item for item in items if here in item.path.parents]
    if _is_full(config):
        for item in ours:
            item.add_marker(pytest.mark.timeout(FULL_TIMEOUT_S))
        return
    left_out = [item for item in ours if item.get_closest_marker("full_only")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


# -- servers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Servers of this suite alone, since it kills them."""
    with proxied_stack(emulator_heap="3g") as running:
        yield running


@pytest.fixture(scope="session")
def kafka(servers: Servers) -> Iterator[Kafka]:
    ends = Kafka(servers.stack.bootstrap_servers)
    yield ends
    ends.close()


@pytest.fixture
def pubsub(healed: None) -> Iterator[PubSub]:
    ends = PubSub()
    yield ends
    ends.close()


@pytest.fixture
def healed(servers: Servers, full: bool) -> Iterator[None]:
    """No fault outlives its test. In full form each test has a new emulator, which keeps whatever
    was ever published in its heap: after a million messages it hardly answers."""
    yield
    if full:
        servers.stack.pubsub.stop()
    servers.kafka_proxy.heal()
    servers.pubsub_proxy.heal()
    for server in servers.stack.servers:
        if not server.is_running():
            server.restart()
        server.resume()


# -- streams ---------------------------------------------------------------------------------------


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    return _is_full(request.config)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Of this test's random instants; `--faults-seed` brings back those of an earlier run."""
    return request.config.stash[_SEED]


@pytest.fixture
def open_streams(
    directions: Sequence[str],
    servers: Servers,
    kafka: Kafka,
    pubsub: PubSub,
    unique: str,
    tmp_path: Path,
    seed: int,
) -> Iterator[Callable[..., list[Stream]]]:
    """Makes a stream in each direction of the test; see `Stream` for the arguments."""
    opened: list[Stream] = []

    def make(
        *flags: str, proxied: bool = False, bootstrap_servers: str = "", **settings: Any
    ) -> list[Stream]:
        env = servers.env(proxied)
        if bootstrap_servers:
            env["KAFKA_BOOTSTRAP_SERVERS"] = bootstrap_servers
        for direction in directions:
            stream = DIRECTIONS[direction](
                kafka, pubsub, unique, tmp_path, env, seed, *flags, **settings
            )
            opened.append(stream)
        return opened

    yield make
    for stream in opened:
        stream.close()


@pytest.fixture
def reading() -> Iterator[Callable[[list[Stream]], list[Stream]]]:
    """From here to the test's end, all that arrives in these streams is accounted for."""
    with contextlib.ExitStack() as stack:

        def begin(streams: list[Stream]) -> list[Stream]:
            for stream in streams:
                stack.enter_context(stream.read())
            return streams

        yield begin


# -- the table -------------------------------------------------------------------------------------


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    config = request.config
    path = config.getoption("--faults-json", default=None)
    return Table(config.stash[_ROWS], request.node.user_properties, _is_full(config), path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        Row(**value)
        for result in ("passed", "failed")
        for report in terminalreporter.getreports(result)
        if report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if not rows:
        return
    terminalreporter.section("faults")
    for line in lines(rows):
        terminalreporter.write_line(line)
