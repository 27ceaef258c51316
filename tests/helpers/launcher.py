"""What surrounds a flex template's launcher, played on this machine.

Nothing in the process is replaced. What it reaches, by what Google's and gRPC's own variables say:
a Cloud Storage of the tests' own; token endpoints and a key of their own; and at the name
`pubsub.googleapis.com`, through a tunnel, the emulator behind TLS. Kafka is real. Dataflow's own
API is not there: a launcher that stages a template asks it nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import file_stores
from google.cloud import storage
from pubsub_front import Front, TokenServer

ROOT = Path(__file__).parents[2]
IMAGE = "registry.example.org/bridge:1"
BUCKET = "launcher"
PROJECT = "my-project"
DEADLINE_S = 120

Ended = subprocess.CompletedProcess[str]


class _Tunnel(socketserver.BaseRequestHandler):
    """`CONNECT`, as of any proxy; it leads to one place, whatever was asked for."""

    def handle(self) -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += self.request.recv(1)
        host, _, port = self.server.target.rpartition(":")
        with socket.create_connection((host, int(port)), 10) as other:
            other.settimeout(None)
            self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            threading.Thread(target=_copy, args=(self.request, other), daemon=True).start()
            _copy(other, self.request)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


class Launcher:
    """Starts entry modules as Dataflow's Python launcher does.

    Attributes:
      front: the Pub/Sub that they reach.
    """

    def __init__(self, front: Front, folder: Path, env: Mapping[str, str]) -> None:
        self.front = front
        self._folder = folder
        self._env = env

    def stage(self, pipeline: str, **parameters: str) -> tuple[Ended, Path]:
        """A launch; the file of the job, if it has written one."""
        job = self._folder / f"{pipeline}.job"
        job.unlink(missing_ok=True)
        own = {
            "runner": "DataflowRunner",
            "project": PROJECT,
            "region": "us-central1",
            "job_name": f"t-{pipeline.replace('_', '-')}",
            "template_location": str(job),
            "temp_location": f"gs://{BUCKET}/temp",
            "staging_location": f"gs://{BUCKET}/staging",
            "sdk_container_image": IMAGE,
            "service_account_email": f"bridge@{PROJECT}.iam.gserviceaccount.com",
            "experiments": "streaming_mode_at_least_once",
            "max_num_workers": "2",
            "machine_type": "n2-standard-2",
            "network": "default",
            "subnetwork": "regions/us-central1/subnetworks/default",
        }
        ended = self.run(pipeline, dict(sorted({**parameters, **own}.items())))
        return ended, job

    def run(self, pipeline: str, parameters: Mapping[str, str], *flags: str) -> Ended:
        """An entry module with a template's parameters as flags, and with other flags."""
        command = [
            sys.executable,
            str(ROOT / "templates" / f"{pipeline}.py"),
            *(f"--{name}={value}" for name, value in parameters.items()),
            *flags,
        ]
        return subprocess.run(
            command,
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    @property
    def files(self) -> dict[str, bytes]:
        """What the bucket has, by name."""
        client = storage.Client.create_anonymous_client()
        return {blob.name: blob.download_as_bytes() for blob in client.list_blobs(BUCKET)}


@contextlib.contextmanager
def launcher(emulator: str, folder: Path) -> Iterator[Launcher]:
    """A launcher's surroundings, for as long as they are used."""
    with (
        file_stores.gcs() as buckets,
        TokenServer() as tokens,
        Front(emulator, folder) as front,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Tunnel) as tunnel,
    ):
        file_stores.gcs_bucket(buckets, BUCKET)
        tunnel.daemon_threads, tunnel.target = True, front.address
        threading.Thread(target=tunnel.serve_forever, daemon=True).start()
        env = {
            **os.environ,
            **front.env,
            "PYTHONPATH": str(ROOT),
            "BRIDGE_DEMO": "off",
            "GOOGLE_APPLICATION_CREDENTIALS": str(tokens.key_file(folder)),
            "grpc_proxy": f"http://127.0.0.1:{tunnel.server_address[1]}",
        }
        env.pop("PUBSUB_EMULATOR_HOST", None)
        yield Launcher(front, folder, env)
        tunnel.shutdown()
