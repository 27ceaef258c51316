"""The look at the job that `--update` replaces, with Beam's client and a server of the API."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import dataflow_jobs as jobs
import pytest

from pipelines.checks import run_all
from pipelines.options import parse
from pipelines.preflight import running_job
from transforms.errors import PreflightError

JOBS = "/v1b3/projects/a-project/locations/us-central1/jobs"
RUNNING = {"id": "j-1", "name": "bridge", "currentState": "JOB_STATE_RUNNING"}


def with_step(name):
    return {"pipelineDescription": {"originalPipelineTransform": [{"name": name}]}}


@pytest.fixture
def service():
    """Calls: what it answers to, by path; it notes what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            server.asked.append((url.path, parse_qs(url.query)))
            answer = server.answers.get(url.path)
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer or {"error": {"message": "no such\njob"}}).encode())

        def log_message(self, *_args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked = {}, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def look(service, route, *flags):
    endpoint = f"--dataflow_endpoint=http://localhost:{service.server_port}"
    update = ["--update", "--job_name=bridge", "--no_auth", endpoint]
    options = parse(route, [*jobs.DATAFLOW, *jobs.FLAGS[route], *update, *flags], {})
    run_all(running_job.checks(options), 20)


@pytest.mark.parametrize(
    "more",
    [
        with_step("ReadFromKafka/Poll in 8 shards"),
        {"steps": [{"properties": {"user_name": "ReadFromKafka/Poll in 8 shards/Process"}}]},
    ],
)
def test_a_change_of_shards_across_an_update_is_refused_by_name(service, more):
    service.answers = {JOBS: {"jobs": [RUNNING]}, f"{JOBS}/j-1": {**RUNNING, **more}}
    look(service, "kafka_to_ps")
    look(service, "kafka_to_ps", "--shards=8")
    with pytest.raises(PreflightError) as caught:
        look(service, "kafka_to_ps", "--shards=16")
    assert str(caught.value) == (
        "--shards=16: Dataflow job bridge runs with 8; give --shards=8, or drain it and start anew"
    )
    assert caught.value.exit_status == 2


def test_a_job_without_shards_is_replaced(service):
    read = with_step("ReadFromPubSub/Read")
    service.answers = {JOBS: {"jobs": [RUNNING]}, f"{JOBS}/j-1": {**RUNNING, **read}}
    look(service, "ps_to_kafka")
    (_, listed), (_, got) = service.asked
    assert (listed["name"], listed["filter"]) == (["bridge"], ["3"])
    assert got["view"] == ["2"]


def test_an_update_of_a_job_that_does_not_run_is_refused_and_not_looked_for_without_end(service):
    service.answers = {JOBS: {"jobs": [{**RUNNING, "name": "another"}]}}
    with pytest.raises(PreflightError, match="no job of this name runs in us-central1; correct"):
        look(service, "kafka_to_ps")


def test_a_service_that_refuses_is_an_error_in_one_line(service):
    with pytest.raises(PreflightError, match=r"look at Dataflow job bridge: 404 .*no such job"):
        look(service, "kafka_to_ps")


def test_without_an_update_nobody_is_asked():
    options = parse("kafka_to_ps", [*jobs.DATAFLOW, *jobs.FLAGS["kafka_to_ps"]], {})
    assert running_job.checks(options) == {}
