"""Schemas by their id, from a registry with Confluent's API (Confluent, Karapace, Redpanda,
Apicurio's ccompat).

Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import requests
from requests.auth import HTTPBasicAuth

from transforms import http, secrets
from transforms.deadlines import within
from transforms.errors import SourceError, UnavailableError, UsageError

_TIMEOUT_S = 3.0
_IN_ALL_S = 5.0
_LARGEST_ANSWER_BYTES = 5_000_000
_MOST_REFERENCES = 200


class Registered(NamedTuple):
    """A schema as it was registered.

    Attributes:
      kind: `AVRO`, `JSON` or `PROTOBUF`.
      texts: those that it refers to, each before its user, and then the schema itself.
    """

    kind: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class SchemaRegistry:
    """A registry; keeps nothing, and may be pickled: what travels of the log-in is its reference.

    Attributes:
      url: its address, http:// or https://, without user and password.
      login: where `USER:PASSWORD` is to be had, as of `transforms.secrets`; None without.
    """

    url: str
    login: str | None = None

    def __post_init__(self) -> None:
        """Raises: UsageError: the address is none, or has a password in it."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise UsageError(f"schema registry {_bare(self.url)}: expected http(s)://HOST[:PORT]")
        if parts.username is not None or parts.password is not None:
            raise UsageError(
                f"schema registry {_bare(self.url)}: give user and password by reference, as "
                "env:NAME, file:PATH or secret:projects/... of USER:PASSWORD"
            )

    def check(self) -> None:
        """Asks for something that every registry answers.

        Raises:
          UnavailableError, SourceError: as `fetch`.
        """
        self._get("schemas/types", list)

    def fetch(self, schema_id: int) -> Registered | None:
        """Asks for a schema, and for those that it refers to; None: there is none of this id.

        Raises:
          UnavailableError: the registry does not answer now.
          SourceError: it does not let this user in, or is no registry.
        """
        found = self._get(f"schemas/ids/{schema_id}")
        if found is None:
            return None
        texts: dict[str, str] = {}
        self._add_references(found, texts)
        kind = str(found.get("schemaType") or "AVRO").upper()
        return Registered(kind, (*texts.values(), self._text(found)))

    def _add_references(self, schema: dict[str, Any], texts: dict[str, str]) -> None:
        """Adds the texts of what a schema refers to, each after what it refers to itself."""
        for reference in schema.get("references") or ():
            subject, version = str(reference["subject"]), str(reference["version"])
            path = f"subjects/{quote(subject, safe='')}/versions/{quote(version, safe='')}"
            if path in texts:
                continue
            if len(texts) >= _MOST_REFERENCES:
                raise self._no_registry(f"over {_MOST_REFERENCES} references of one schema")
            found = self._get(path)
            if found is None:
                raise self._no_registry(f"no {path}, which a schema refers to")
            texts[path] = ""  # from here on it is known, should it refer to itself
            self._add_references(found, texts)
            del texts[path]
            texts[path] = self._text(found)

    def _text(self, schema: dict[str, Any]) -> str:
        text = schema.get("schema")
        if not isinstance(text, str):
            raise self._no_registry("no schema")
        return text

    def _get(self, path: str, kind: type = dict) -> Any:
        """The JSON of this kind at a path; None: there is none, which the registry says itself."""
        what = f"get {path} from the schema registry {self.url}"
        try:
            answer = within(_IN_ALL_S, lambda: self._asked(path))
        except TimeoutError as error:
            raise UnavailableError(f"{what}: {error}") from error
        except requests.exceptions.SSLError as error:
            raise SourceError(
                f"{what}: its certificate is not trusted ({http.cause(error)}); name its CA's file "
                "in the variable REQUESTS_CA_BUNDLE"
            ) from error
        except requests.exceptions.RequestException as error:
            raise UnavailableError(f"{what}: no answer ({http.cause(error)}); check it") from error
        status = answer.status_code
        if status == 404:
            self._understood(answer, dict)
            return None
        if status in (401, 403):
            raise SourceError(f"{what}: it answers {status}: {self._refusal()}")
        if status >= 500 or status == 429:
            raise UnavailableError(f"{what}: it answers {status}")
        if status != 200:
            raise self._no_registry(f"status {status}")
        return self._understood(answer, kind)

    def _asked(self, path: str) -> requests.Response:
        auth = None
        if self.login is not None:
            user, _, password = secrets.resolve("schema registry", self.login).partition(":")
            auth = HTTPBasicAuth(user.encode(), password.encode())
        answer = requests.get(
            f"{self.url.rstrip('/')}/{path}",
            auth=auth,
            headers={"Accept": "application/vnd.schemaregistry.v1+json, application/json"},
            timeout=_TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        )
        return http.read(answer, _LARGEST_ANSWER_BYTES)

    def _understood(self, answer: requests.Response, kind: type) -> Any:
        try:
            found = json.loads(answer.content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, kind):
            raise self._no_registry("no such JSON")
        return found

    def _refusal(self) -> str:
        if self.login is None:
            return "it wants a user and a password"
        return f"it does not let in whom {secrets.shown(self.login)} names"

    def _no_registry(self, answered: str) -> SourceError:
        return SourceError(
            f"schema registry {self.url}: it answers {answered}; is it the address of a registry "
            "with Confluent's API?"
        )


def _bare(url: str) -> str:
    """An address without what stands before its host, which may be a password."""
    return url.rpartition("@")[2]
