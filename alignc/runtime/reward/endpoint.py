"""Ask an HTTP endpoint: POST of JSON, a deadline for each attempt, and another attempt where that may help."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from ...contract.failure import Failure
from .answers import Trouble, scores_of
from .process import plain
from .sample import Question, Sample, about

__all__ = ["Endpoint"]

PAUSE = 0.5  # seconds before the second attempt; twice as long before each further one
LONGEST_PAUSE = 8.0
CHUNK = 1 << 16
LONGEST = 1 << 26  # bytes of an answer
BUSY = 429


class Again(Exception):  # noqa: N818 - a wish
    """This attempt failed in a way that another one may not."""


class Stay(urllib.request.HTTPRedirectHandler):
    """Follow no redirect: it could lead to a host that was not allowed."""

    def redirect_request(self, *arguments: Any, **keywords: Any) -> None:
        """Decline, so that the redirect is an error."""


class Endpoint:
    """A reward that an HTTP server gives; ``timeout`` seconds an attempt, ``retries`` attempts after the first."""

    def __init__(self, url: str, timeout: float, retries: int) -> None:
        self.url, self.timeout, self.retries = url, timeout, retries
        self.title = f"the reward at `{url}`"
        self.opener = urllib.request.build_opener(Stay)

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score samples. Failure E807 (no answer, or a refusal), E808 (too late) or E809 (unusable)."""
        question = about(samples)
        if not samples:
            return []
        try:
            return self.ask(question)
        except Trouble as trouble:
            index = 0 if len(samples) == 1 else trouble.index
            where = question.range if index is None else question.labels[index]
            raise Failure(trouble.code, f"{self.title} {trouble.what} ({where})", why=trouble.why) from None

    def ask(self, question: Question) -> list[float]:
        """Ask until there is an answer, or no use in asking."""
        body = json.dumps({**question.texts, "columns": question.columns}, default=plain).encode()
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(LONGEST_PAUSE, PAUSE * 2 ** (attempt - 1)))
            try:
                return read_scores(self.post(body), len(question))
            except Again as reason:
                last = str(reason)
        tries = "1 attempt" if not self.retries else f"{self.retries + 1} attempts"
        raise Trouble("E807", f"could not be reached in {tries}", last)

    def post(self, body: bytes) -> bytes:
        """Send one request. Raises Again or Trouble."""
        until = time.monotonic() + self.timeout
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = urllib.request.Request(self.url, body, headers, method="POST")
        try:
            with self.opener.open(request, timeout=self.timeout) as response:
                return whole(response, until)
        except urllib.error.HTTPError as error:
            with error:
                detail = error.read(200).decode("utf-8", "replace").strip()
            status = f"status {error.code}" + (f": {detail}" if detail else "")
            if error.code == BUSY or error.code >= 500:
                raise Again(status) from None
            raise Trouble("E807", f"refused with {status}") from None
        except TimeoutError:
            raise Trouble("E808", f"did not answer within {self.timeout:g} s") from None
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise Trouble("E808", f"did not answer within {self.timeout:g} s") from None
            raise Again(f"{urlsplit(self.url).netloc}: {reason or type(reason).__name__}") from None

    def close(self) -> None:
        """Hold nothing between calls."""


def whole(response: http.client.HTTPResponse, until: float) -> bytes:
    """Read an answer to its end; one that trickles in is as late as one that does not come."""
    body = bytearray()
    while part := response.read1(CHUNK):
        body += part
        if time.monotonic() > until:
            raise TimeoutError
        if len(body) > LONGEST:
            raise Trouble("E809", f"answered more than {LONGEST} bytes")
    return bytes(body)


def read_scores(body: bytes, count: int) -> list[float]:
    """Read `{"scores": […]}`. Raises Trouble E809."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise Trouble("E809", "answered with a text that is not JSON", repr(body[:80])) from None
    if not isinstance(answer, dict) or "scores" not in answer:
        raise Trouble("E809", 'answered without the key "scores"', repr(body[:80]))
    return scores_of(answer["scores"], count)
