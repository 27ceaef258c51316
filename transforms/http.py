"""What answers over HTTP may be anybody: of an answer no more is read than it needs."""

from __future__ import annotations

import requests
from urllib3.exceptions import HTTPError


def read(answer: requests.Response, most_bytes: int) -> requests.Response:
    """Reads a streamed answer, and closes it; what is beyond `most_bytes` is left out.

    Raises:
      requests.exceptions.ConnectionError: it breaks off.
    """
    try:
        answer._content = answer.raw.read(most_bytes, decode_content=True)
    except HTTPError as error:
        raise requests.exceptions.ConnectionError(*error.args[:1]) from None
    finally:
        answer.close()
    return answer


def cause(error: BaseException) -> str:
    """The innermost reason, in one line, without the address that stands in front of it already."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    text = str(getattr(reason, "__cause__", None) or reason)
    return " ".join(text.rpartition(": ")[2].split())[:200]
