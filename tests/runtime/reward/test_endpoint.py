"""A reward behind HTTP: a real server on loopback, well behaved and not."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.runtime.reward import Sample, build_reward
from alignc.runtime.reward.combine import Reward

SAMPLES = [Sample("2+2=", "4", "rows.jsonl:1", 0, {"answer": 4}), Sample("2+2=", "five", "rows.jsonl:1", 1)]


class Server(ThreadingHTTPServer):
    """Answers as a test says: a list of replies, the last of them again and again."""

    daemon_threads = True
    replies: list[Any]
    asked: list[dict[str, Any]]
    let_go: threading.Event


class Handler(BaseHTTPRequestHandler):
    """One reply: (status, body), a body, or "hang", "trickle", "cut" or a redirect."""

    server: Server

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer."""
        given = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(
            {"path": self.path, "type": self.headers["Content-Type"], **json.loads(given)}
        )
        reply = self.server.replies.pop(0) if len(self.server.replies) > 1 else self.server.replies[0]
        if reply == "hang":
            self.server.let_go.wait(20)
            return
        if reply == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if reply != "trickle" else 1000))
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        if reply == "trickle":
            self.trickle()
        else:
            self.wfile.write(data)

    def trickle(self) -> None:
        """Send a byte now and then."""
        try:
            for _ in range(150):
                self.wfile.write(b" ")
                time.sleep(0.1)
        except OSError:
            pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("alignc.runtime.reward.endpoint.PAUSE", 0.01)
    found = Server(("127.0.0.1", 0), Handler)
    found.asked, found.let_go = [], threading.Event()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield found
    found.let_go.set()
    found.shutdown()
    found.server_close()


def reward(server: Server, *replies: Any, timeout: float = 1.0, retries: int = 2) -> Reward:
    server.replies = list(replies)
    host = f"127.0.0.1:{server.server_port}"
    config = {"kind": "http", "url": f"http://{host}/score?v=1", "timeout": timeout, "retries": retries}
    return build_reward(config, allowed=[host], device="cpu")


def failure(server: Server, *replies: Any, **options: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        reward(server, *replies, **options)(SAMPLES)
    return caught.value


def test_scores_of_a_real_server(server: Server):
    assert reward(server, {"scores": [1, -0.25]})(SAMPLES).values == [1.0, -0.25]
    assert server.asked == [
        {
            "path": "/score?v=1",
            "type": "application/json",
            "prompts": ["2+2=", "2+2="],
            "completions": ["4", "five"],
            "columns": {"answer": [4, None]},
        }
    ]


def test_nothing_is_asked_about_nothing(server: Server):
    assert reward(server, {"scores": []})([]).values == []
    assert server.asked == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, status: int):
    assert reward(server, (status, {}), "cut", {"scores": [1, 2]})(SAMPLES).values == [1.0, 2.0]
    assert len(server.asked) == 3


def test_attempts_are_counted(server: Server):
    found = failure(server, (503, b"too much"), retries=1)
    assert found.code == "E807"
    assert (
        "could not be reached in 2 attempts (2 of them, rows.jsonl:1, sample 0 to rows.jsonl:1, sample 1)"
        in found.message
    )
    assert found.why == "status 503: too much"
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [400, 404, 302])
def test_a_refusal_is_final(server: Server, status: int):
    found = failure(server, (status, b"no"))
    assert found.code == "E807"
    assert f"refused with status {status}: no" in found.message
    assert len(server.asked) == 1


@pytest.mark.parametrize("reply", ["hang", "trickle"])
def test_a_late_answer_is_not_waited_for(server: Server, reply: str):
    began = time.monotonic()
    found = failure(server, reply, timeout=0.4)
    assert time.monotonic() - began < 8
    assert found.code == "E808"
    assert "did not answer within 0.4 s" in found.message
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "said", "place"),
    [
        (b"<html>", "a text that is not JSON", "2 of them"),
        ({"score": [1, 2]}, 'without the key "scores"', "2 of them"),
        ([1, 2], 'without the key "scores"', "2 of them"),
        ({"scores": None}, "answered NoneType, not a list", "2 of them"),
        ({"scores": [1]}, "returned 1 number for 2", "2 of them"),
        ({"scores": [1, float("nan")]}, "returned nan", "rows.jsonl:1, sample 1)"),
        ({"scores": [1, "a"]}, "not a finite number: a", "rows.jsonl:1, sample 1)"),
        ({"scores": [True, 1]}, "not a finite number: bool", "rows.jsonl:1, sample 0)"),
        ({"scores": [1, 10**400]}, "not finite", "rows.jsonl:1, sample 1)"),
    ],
)
def test_an_answer_is_checked(server: Server, reply: Any, said: str, place: str):
    found = failure(server, reply)
    assert found.code == "E809"
    assert said in found.message
    assert place in found.message


def test_a_port_where_nobody_listens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("alignc.runtime.reward.endpoint.PAUSE", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {"kind": "http", "url": f"http://{host}/", "timeout": 1.0, "retries": 1}
    with pytest.raises(Failure) as caught:
        build_reward(config, allowed=[host], device="cpu")(SAMPLES)
    assert caught.value.code == "E807"
    assert "refused" in str(caught.value.why)


@pytest.mark.parametrize(
    ("url", "allowed", "passes"),
    [
        ("http://localhost:8000/x", ["localhost:8000"], True),
        ("http://LocalHost:8000/x", ["localhost:8000"], True),
        ("http://localhost:8000/x", ["localhost"], False),
        ("http://localhost:8001/x", ["localhost:8000"], False),
        ("https://a.example/x", ["a.example"], True),
        ("https://a.example/x", ["a.example:443"], True),
        ("https://a.example:443/x", ["a.example"], True),
        ("http://a.example/x", ["a.example:443"], False),
        ("http://b.a.example/x", ["a.example"], False),
        ("http://localhost:8000/x", [], False),
    ],
)
def test_hosts_are_allowed_by_name_and_port(url: str, allowed: list[str], passes: bool):
    config = {"kind": "http", "url": url, "timeout": 1.0, "retries": 0}
    if passes:
        build_reward(config, allowed=allowed, device="cpu").close()
        return
    with pytest.raises(Failure) as caught:
        build_reward(config, allowed=allowed, device="cpu")
    assert caught.value.code == "E611"
