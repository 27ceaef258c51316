"""A schema registry of the tests' own, with as much of Confluent's API as is asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answers = dict[str, Any]
"""By path: an object that is answered as JSON, bytes that are answered as they are, or a status."""


class Registry:
    """What it answers, may be changed while it runs; what it was asked, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: Answers = {}
        self.asked: list[str] = []
        self.authorization: str | None = None

    def add(self, schema_id: int, schema: Any, **more: Any) -> None:
        """Registers a schema under an id."""
        self.answers[f"/schemas/ids/{schema_id}"] = {"schema": json.dumps(schema), **more}


@contextmanager
def schema_registry() -> Iterator[Registry]:
    """Runs one on a free port."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append(self.path)
            registry.authorization = self.headers.get("Authorization")
            answer = registry.answers.get(self.path, 404)
            status = answer if isinstance(answer, int) else 200
            if isinstance(answer, int):
                answer = {"error_code": status * 100 + 3, "message": "as the test wants it"}
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    registry.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
