"""How a flex template is staged and launched: its container spec, the command, the request's body.

Source: https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines import options
from pipelines.flags import Pipeline
from pipelines.flex_templates import elsewhere, metadata
from pipelines.flex_templates.place import Place
from pipelines.resource_names import brokers_and_topics
from transforms.errors import UsageError

_API = "https://dataflow.googleapis.com/v1b3"
_AT_LEAST_ONCE = "streaming_mode_at_least_once"
"""As an experiment, as which both gcloud and the request take it; only streams have modes."""


@dataclass(frozen=True)
class Launch:
    """A launch that the launcher would take.

    Attributes:
      values: the template's parameters.
      streams: the job has no end of its own.
    """

    pipeline: Pipeline
    place: Place
    values: Mapping[str, str]
    streams: bool


def container_spec(pipeline: Pipeline, image: str) -> dict[str, Any]:
    """The file that a launch names. (That of `gcloud dataflow flex-template build`, as of 528, has
    no streaming modes, whatever the metadata say.)"""
    return {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "defaultEnvironment": {"sdkContainerImage": image},
        "metadata": metadata.metadata(pipeline),
    }


# -- examples --------------------------------------------------------------------------------------

_LOGIN = (
    '{{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", '
    '"sasl.username": "bridge", '
    '"sasl.password": "secret:projects/{project}/secrets/kafka-password/versions/latest"}}'
)
_BROKERS = "kafka1.example.org:9092,kafka2.example.org:9092"
_NIGHTS = "ztf_%Y%m%d_programid1,ztf_%Y%m%d_programid3"
_TO_KAFKA = {
    "subscription": "projects/{project}/subscriptions/alerts",
    "bootstrap_servers": _BROKERS,
    "kafka_topic": "alerts",
}
_FROM_KAFKA = {
    "bootstrap_servers": _BROKERS,
    "kafka_topics": _NIGHTS,
    "change_hour": "14",
    "group_id": "my-bridge",
}
_TO_PUBSUB = {"pubsub_topic": "projects/{project}/topics/alerts"}
_TO_ARCHIVE = {"archive": "gs://{bucket}/archive"}
_LETTERS = {"dead_letter": "gs://{bucket}/dead-letters"}
_LOGGED_IN = {"kafka_config": _LOGIN}

_EXAMPLES: Mapping[Pipeline, Mapping[str, str]] = {
    "ps_to_kafka": {**_TO_KAFKA, **_LETTERS, **_LOGGED_IN},
    "kafka_to_ps": {**_FROM_KAFKA, **_TO_PUBSUB, **_LETTERS, **_LOGGED_IN},
    "archive": {**_FROM_KAFKA, **_TO_ARCHIVE, **_LOGGED_IN},
    "backfill": {"night": "yesterday", **_FROM_KAFKA, **_TO_ARCHIVE, **_LOGGED_IN},
}


def example(pipeline: Pipeline, place: Place, given: Mapping[str, str]) -> Launch:
    """A launch with an example's parameters, or in their place with those that are given; an empty
    value takes one out, and so does one that it would not go with. Reads nothing.

    Raises:
      UsageError: Dataflow or the launcher would refuse it.
    """
    fields = {"project": place.project, "bucket": place.bucket}
    gone = {
        "change_hour": "kafka_topics" in given,
        "bootstrap_servers": bool(brokers_and_topics(given.get("kafka_topics", ""))[0]),
        "kafka_config": "kafka_properties" in given,
    }
    examples = {n: text for n, text in _EXAMPLES[pipeline].items() if not gone.get(n)}
    own = {name: text.format(**fields) for name, text in examples.items()}
    values = {name: value for name, value in {**own, **given}.items() if value}
    regexes = {each["name"]: each["regexes"] for each in metadata.metadata(pipeline)["parameters"]}
    forms = {f.name: metadata.form_of(f) for f in metadata.parameters(pipeline)}
    for name in values.keys() - regexes.keys():
        raise UsageError(f"{name}: is not a parameter of {pipeline}; see templates/{pipeline}.json")
    # First the launcher's own check, which says what would be right.
    with elsewhere.stand_ins(values) as here:
        checked = options.parse(pipeline, [*_flags(here), *_flags(_of_the_launcher(place))], {})
    elsewhere.refuse_references(checked)
    for name, value in values.items():
        if not all(re.fullmatch(regex, value) for regex in regexes[name]):
            raise UsageError(f"{name}: {value!r} is not {forms[name]}, as the template takes it")
    if place.update and checked.bounded:
        raise UsageError("UPDATE: a job that ends by itself is not replaced; leave it out")
    return Launch(pipeline, place, values, not checked.bounded)


def _flags(values: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def _of_the_launcher(place: Place) -> dict[str, str]:
    """What a launcher adds to the parameters."""
    return {
        "runner": "DataflowRunner",
        "project": place.project,
        "region": place.region,
        "job_name": place.job_name,
        "temp_location": f"gs://{place.bucket}/tmp",
        "staging_location": f"gs://{place.bucket}/staging",
        "sdk_container_image": place.image,
        "service_account_email": place.service_account,
    }


def body(launch: Launch) -> dict[str, Any]:
    """The `LaunchFlexTemplateRequest`."""
    place = launch.place
    environment: dict[str, Any] = {
        "tempLocation": f"gs://{place.bucket}/tmp",
        "stagingLocation": f"gs://{place.bucket}/staging",
        "serviceAccountEmail": place.service_account,
        "sdkContainerImage": place.image,
        "maxWorkers": place.max_workers,
    }
    if place.network:
        environment["network"] = place.network
    if place.subnetwork:
        environment["subnetwork"] = place.subnetwork
    if launch.streams:
        environment["additionalExperiments"] = [_AT_LEAST_ONCE]
    parameter: dict[str, Any] = {
        "jobName": place.job_name,
        "containerSpecGcsPath": place.template(launch.pipeline),
        "parameters": dict(launch.values),
        "environment": environment,
    }
    if place.update:
        parameter["update"] = True
    return {"launchParameter": parameter}


def text(message: Mapping[str, Any]) -> str:
    """A message as a file has it."""
    return json.dumps(message, indent=2, ensure_ascii=False) + "\n"


def url(place: Place) -> str:
    """Where the body is posted to."""
    return f"{_API}/projects/{place.project}/locations/{place.region}/flexTemplates:launch"


def command(launch: Launch) -> str:
    """The same launch as a command for a shell."""
    start = f"gcloud dataflow flex-template run {shlex.quote(launch.place.job_name)}"
    return " \\\n    ".join([start, *map(shlex.quote, _gcloud_flags(launch))])


def _gcloud_flags(launch: Launch) -> Iterator[str]:
    place = launch.place
    yield f"--project={place.project}"
    yield f"--region={place.region}"
    yield f"--template-file-gcs-location={place.template(launch.pipeline)}"
    yield f"--temp-location=gs://{place.bucket}/tmp"
    yield f"--staging-location=gs://{place.bucket}/staging"
    yield f"--service-account-email={place.service_account}"
    yield f"--max-workers={place.max_workers}"
    if place.network:
        yield f"--network={place.network}"
    if place.subnetwork:
        yield f"--subnetwork={place.subnetwork}"
    if place.update:
        yield "--update"
    if launch.streams:
        yield f"--additional-experiments={_AT_LEAST_ONCE}"
    # Its flags have no image: as a parameter it comes to the launcher all the same.
    yield f"--parameters={_dictionary({**launch.values, 'sdk_container_image': place.image})}"


_DELIMITERS = ("~", "|", ";", "#", "!!", "@@@")


def _dictionary(values: Mapping[str, str]) -> str:
    """As gcloud takes values that have commas in them (`gcloud topic escaping`)."""
    pairs = [f"{name}={value}" for name, value in values.items()]
    for delimiter in _DELIMITERS:
        if not any(delimiter in pair for pair in pairs):
            return f"^{delimiter}^{delimiter.join(pairs)}"
    raise UsageError(
        f"parameters: have all of {' '.join(_DELIMITERS)} in them, of which gcloud needs one to "
        "part them; launch with the body"
    )
