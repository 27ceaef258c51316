"""Templates of destinations: what is one, and that no message gets a name past the rules."""

from __future__ import annotations

import pickle
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms import destinations, origins, registry, topic_names
from transforms.convert import Routing, ToKafka, ToPubsub
from transforms.destinations import parse
from transforms.errors import UnmappableError
from transforms.mapping import ToKafkaPolicy, ToPubsubPolicy
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import BridgeConfig

PREFIX = "projects/p/topics/"
BY_SURVEY = {
    "kafka": parse("kafka", "alerts-{attribute:survey}"),
    "pubsub": parse("pubsub", f"{PREFIX}alerts-{{attribute:survey}}"),
}


def message(**attributes: str) -> PubsubRecord:
    return PubsubRecord(b"", attributes, message_id="1")


def record(*headers: tuple[str, bytes | None]) -> KafkaRecord:
    return KafkaRecord("ztf_1", 3, 7, headers=headers)


@pytest.mark.parametrize(
    ("system", "text", "source", "name"),
    [
        ("kafka", "alerts", message(), "alerts"),
        ("pubsub", f"{PREFIX}alerts", record(), f"{PREFIX}alerts"),
        ("pubsub", f"{PREFIX}{{kafka.topic}}", record(), f"{PREFIX}ztf_1"),
        (
            "pubsub",
            f"{PREFIX}a.{{kafka.topic}}.{{kafka.partition}}",
            record(),
            f"{PREFIX}a.ztf_1.3",
        ),
        ("kafka", "{attribute:a/b c}", message(**{"a/b c": "x"}), "x"),
        ("kafka", "{attribute:a}-{attribute:a}", message(a="x"), "x-x"),
        ("pubsub", f"{PREFIX}t-{{attribute:a}}", record(("a", b"1"), ("a", b"2")), f"{PREFIX}t-2"),
    ],
)
def test_a_field_stands_for_what_the_message_has(system, text, source, name):
    template = parse(system, text)
    assert template.name_for(source) == name
    assert pickle.loads(pickle.dumps(template)).name_for(source) == name


@pytest.mark.parametrize(
    ("system", "text", "reason"),
    [
        ("kafka", "{topic}", "'{topic}' is no field; use {kafka.topic}"),
        ("kafka", "{attribute}", "is no field"),
        ("kafka", "{kafka.topic:a}", "is no field"),
        ("kafka", "{attribute:}", "0 bytes; it has 1 to 256"),
        ("kafka", f"{{attribute:{'é' * 129}}}", "258 bytes"),
        ("kafka", "a{", "a brace that belongs to no field"),
        ("kafka", "}{kafka.topic}", "a brace that belongs to no field"),
        ("kafka", "a/{kafka.topic}", "can become no topic's name"),
        ("pubsub", "projects/{kafka.topic}/topics/t", "fields may stand in NAME alone"),
        ("pubsub", "{kafka.topic}", "fields may stand in NAME alone"),
        ("pubsub", f"{PREFIX}goog{{kafka.topic}}", "can become no topic's name"),
        ("pubsub", f"{PREFIX}{{kafka.topic}}/subscriptions/s", "can become no topic's name"),
        ("kafka", "a b", "is not a Kafka topic name"),
    ],
)
def test_what_is_no_template_is_refused(system, text, reason):
    with pytest.raises(ValueError, match=r".") as raised:
        parse(system, text)
    assert reason in str(raised.value)


SECRET = "a-value-that-is-nobodys-business"


@pytest.mark.parametrize("system", ["kafka", "pubsub"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "../x",
        "a/topics/b",
        f"{SECRET}\n",
        f"{SECRET}\0",
        f"\r{SECRET}",
        f"{SECRET}{{kafka.topic}}",
        "x" * 10_000,
        "é",
        "٣",
        "\udce9",
    ],
)
def test_a_hostile_value_makes_a_dead_letter_that_does_not_tell_it(system, value):
    for source in (
        message(survey=value),
        record(("survey", value.encode("utf-8", "surrogateescape"))),
    ):
        with pytest.raises(UnmappableError) as raised:
            BY_SURVEY[system].name_for(source)
        assert SECRET not in str(raised.value)
        assert f"map {source.name}: --{system}_topic=" in str(raised.value)


@pytest.mark.parametrize("system", ["kafka", "pubsub"])
@pytest.mark.parametrize(
    "source", [message(), message(other="x"), record(), record(("survey", None))]
)
def test_what_a_message_does_not_have_makes_a_dead_letter(system, source):
    with pytest.raises(UnmappableError, match=r"\{attribute:survey\} is missing"):
        BY_SURVEY[system].name_for(source)


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("{attribute:a}", ".", "not a Kafka topic name"),
        (".{attribute:a}", ".", "not a Kafka topic name"),
        ("{attribute:a}", "__consumer_offsets", "Kafka's own"),
        ("_{attribute:a}", "_consumer_offsets", "Kafka's own"),
        ("alerts-{attribute:a}", "x" * 243, "1-249"),
        ("alerts-{attribute:a}", "dead", "for something else"),
    ],
)
def test_a_name_has_to_keep_to_the_rules_as_a_whole(text, value, reason):
    template = parse("kafka", text).without(["alerts-dead"])
    with pytest.raises(UnmappableError, match=reason):
        template.name_for(message(a=value))


@given(
    st.sampled_from(["kafka", "pubsub"]),
    st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9._~+%-]{1,260}", fullmatch=True)),
)
@example("kafka", "x" * 242)
@example("pubsub", "a%2Fb")
def test_whatever_a_value_is_the_name_stays_where_the_template_says(system, value):
    template = BY_SURVEY[system]
    try:
        name = template.name_for(message(survey=value))
    except UnmappableError:
        whole = f"alerts-{value}"
        assert not value or not topic_names.RULES[system].allows(whole)
        return
    assert name == f"{template.prefix}alerts-{value}"
    assert topic_names.RULES[system].allows(name.removeprefix(template.prefix))


def test_a_value_that_is_known_before_is_filled_in():
    template = parse("kafka", "{pubsub.topic}-{attribute:a}.{pubsub.topic}")
    assert template.with_value("pubsub.topic", "s").name_for(message(a="x")) == "s-x.s"
    with pytest.raises(ValueError, match=r"characters that are in no topic's name"):
        template.with_value("pubsub.topic", "50%")
    with pytest.raises(UnmappableError, match=r"\{pubsub.topic\} is missing"):
        template.name_for(message(a="x"))


def test_names_are_remembered_and_hostile_values_are_not():
    before = destinations._name.cache_info().currsize
    for number in range(100):
        with pytest.raises(UnmappableError):
            BY_SURVEY["kafka"].name_for(message(survey=f"{number}" * 10_000))
    assert destinations._name.cache_info().currsize == before


def process(transform, *elements):
    transform._fn.setup()
    return [mapped for element in elements for mapped in transform._fn.process(element)]


@pytest.fixture
def config():
    return BridgeConfig("test-destinations")


@pytest.fixture(autouse=True)
def _no_bridge_is_left(config):
    yield
    registry._bridges.pop(config.bridge_id, None)


def test_a_return_is_what_has_been_at_its_own_destination(config):
    origin_of = partial(origins.of_kafka, "c")
    marker = origin_of("alerts-ztf")
    routing = Routing(BY_SURVEY["kafka"], origin_of)
    returned = message(survey="ztf", **{"bridge.origins": marker})
    elsewhere = message(survey="lsst", **{"bridge.origins": marker})
    transform = ToKafka(config, ToKafkaPolicy(BY_SURVEY["kafka"].text), routing)
    [mapped] = process(pickle.loads(pickle.dumps(transform)), returned, elsewhere)
    assert (mapped.topic, mapped.made_from) == ("alerts-lsst", elsewhere)
    assert registry.get(config).counts.totals()["returns_dropped"] == 1


def test_what_names_no_destination_is_given_up_while_mapping(config, monkeypatch):
    given = []
    monkeypatch.setattr(registry.get(config), "give_up", lambda *letter: given.append(letter))
    routing = Routing(BY_SURVEY["pubsub"], origins.of_pubsub)
    good, bad = record(("survey", b"ztf")), record(("survey", b"z/t/f"))
    [mapped] = process(ToPubsub(config, ToPubsubPolicy(), routing), bad, good)
    assert mapped.made_from is good
    [(original, error, stage)] = given
    assert (original, type(error), stage) == (bad, UnmappableError, "map")
