"""Where a template is staged and launched, and as whom: what of a launch is no parameter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.flags import Pipeline
from transforms.errors import UsageError
from transforms.topic_names import PROJECT


@dataclass(frozen=True)
class Place:
    """Where a template is staged and launched.

    Attributes:
      image: the template's own, which its workers run, too.
      job_name: of the job.
      network: of launcher and workers, as `subnetwork`; empty: the project's default.
      update: a job of this name runs, and is replaced.
    """

    project: str
    region: str
    bucket: str
    image: str
    service_account: str
    job_name: str
    network: str
    subnetwork: str
    max_workers: int
    update: bool

    def template(self, pipeline: Pipeline) -> str:
        """The file that names the image."""
        return f"gs://{self.bucket}/templates/{pipeline}.json"


SETTINGS: Mapping[str, str] = {
    "project": "my-project",
    "region": "us-central1",
    "bucket": "my-bucket",
    "image": "",
    "service_account": "",
    "job_name": "",
    "network": "",
    "subnetwork": "",
    "max_workers": "2",
    "update": "",
}
"""By name, with what an example has; empty: what follows from the rest, or nothing."""


def example_place(pipeline: Pipeline, given: Mapping[str, str]) -> Place:
    """A place of an example, or in its stead what is given.

    Raises:
      UsageError: a setting is not of its form, or the image of another place would be made up.
    """
    if given and not given.get("image"):
        raise UsageError("IMAGE: missing; the one that `make template` was given")
    said = {name: given.get(name) or default for name, default in SETTINGS.items()}
    project, region = _of("PROJECT", PROJECT, said["project"]), said["region"]
    image = said["image"] or f"{region}-docker.pkg.dev/{project}/bridge/bridge:1.0-{pipeline}"
    return Place(
        project=project,
        region=_of("REGION", "[a-z]+-[a-z]+[0-9]+", region),
        bucket=_bucket(said["bucket"]),
        image=tagged(image),
        service_account=said["service_account"] or f"bridge@{project}.iam.gserviceaccount.com",
        job_name=_of(
            "JOB_NAME", "[a-z]([a-z0-9-]*[a-z0-9])?", said["job_name"] or pipeline.replace("_", "-")
        ),
        network=said["network"],
        subnetwork=said["subnetwork"],
        max_workers=int(_of("MAX_WORKERS", "[1-9][0-9]{0,3}", said["max_workers"])),
        update=_of("UPDATE", "true|false", said["update"] or "false") == "true",
    )


def _of(name: str, form: str, text: str) -> str:
    if not re.fullmatch(form, text):
        raise UsageError(f"{name}: {text!r} is not of the form {form}")
    return text


def _bucket(text: str) -> str:
    """The name, from a URL, too."""
    return _of("BUCKET", "[a-z0-9][a-z0-9._-]+", text.removeprefix("gs://").rstrip("/"))


_IMAGE = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")


def tagged(image: str) -> str:
    """An image with a tag, since jobs start workers with it for as long as they run.

    Raises:
      UsageError: it is none, or has no tag.
    """
    match = _IMAGE.fullmatch(image)
    if match is None:
        raise UsageError(
            f"IMAGE: {image} is no image of a registry; for example "
            "us-central1-docker.pkg.dev/my-project/bridge/bridge:1.0"
        )
    if not match[3] or match[3].startswith(":latest"):
        raise UsageError(
            f"IMAGE: {image} has no tag of its own, and running jobs start workers with it; give "
            "each build another, such as :1.0"
        )
    return image
