"""A process that answers a line of JSON with a line of JSON, within a deadline or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Gone", "Process", "TooLate"]

SCRIPT = Path(__file__).with_name("worker.py")
STARTING = 60.0  # seconds that importing a function's module may take at the least
LEAVING = 1.0  # seconds that an idle process has to end by itself
CHUNK = 1 << 16


class TooLate(Exception):  # noqa: N818 - what happened, not whose error it is
    """No answer came within the deadline; the process was killed."""


class Gone(Exception):  # noqa: N818
    """The process ended before it answered; the argument says how."""


class Process:
    """The worker of one function: started when it is first asked, and again after it was lost."""

    def __init__(self, name: str, variables: Mapping[str, str] | None = None) -> None:
        """Name a function; ``variables`` are its process's environment, else this one's."""
        self.name, self.variables = name, variables
        self.running: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float) -> Mapping[str, Any]:
        """Start the process unless it runs; gives its word that it is ready, or what stood in the way."""
        if self.running is not None:
            if not ended(self.running):
                return {"ready": True}
            self.kill()  # it ended between two calls
        self.running = subprocess.Popen(
            [sys.executable, str(SCRIPT), self.name],
            env=None if self.variables is None else dict(self.variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a group of its own, with whatever the function starts
        )
        for pipe in (self.running.stdin, self.running.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        return self.exchange(b"", max(seconds, STARTING))

    def ask(self, request: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """Send a request to the running process and wait for its answer. Raises TooLate or Gone."""
        return self.exchange(json.dumps(request, default=plain).encode() + b"\n", seconds)

    def exchange(self, line: bytes, seconds: float) -> Mapping[str, Any]:
        """Write and read at once: a process that does not read must not hold us. Any trouble kills it."""
        assert self.running is not None
        try:
            answer: Mapping[str, Any] = json.loads(talk(self.running, line, time.monotonic() + seconds))
        except ValueError:
            self.kill()
            raise Gone("half an answer") from None
        except EOFError:
            raise Gone(self.kill(LEAVING)) from None
        except BaseException:
            self.kill()
            raise
        return answer

    def kill(self, grace: float = 0.0) -> str:
        """End the process and all that it started; says how it ended. ``grace`` seconds it may take to do so itself."""
        if self.running is None:
            return "not started"
        process, self.running = self.running, None
        ended(process, grace)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return f"exit status {status}" if status >= 0 else f"signal {-status}"

    def close(self) -> None:
        """Let an idle process end by itself, and see to it that nothing of it is left."""
        if self.running is not None and self.running.stdin is not None:
            with contextlib.suppress(OSError):
                self.running.stdin.close()
        self.kill(LEAVING)


def ended(process: subprocess.Popen[bytes], grace: float = 0.0) -> bool:
    """Tell whether a process has ended, waiting a little. It is not collected: its number still names its group."""
    until = time.monotonic() + grace
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= until:
            return False
        time.sleep(0.005)
    return True


def talk(process: subprocess.Popen[bytes], line: bytes, until: float) -> bytes:
    """Write a line and read one. Raises TooLate at the deadline, EOFError where the process ends first."""
    assert process.stdin is not None
    assert process.stdout is not None
    rest, answer = memoryview(line), bytearray()
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        if rest:
            ready.register(process.stdin, selectors.EVENT_WRITE)
        while not answer.endswith(b"\n"):
            events = ready.select(max(0.0, until - time.monotonic()))
            if not events:
                raise TooLate
            for key, _ in events:
                if key.fileobj is process.stdin:
                    rest = written(process.stdin.fileno(), rest)
                    if not rest:
                        ready.unregister(process.stdin)
                else:
                    answer += read(process.stdout.fileno())
    return bytes(answer)


def written(pipe: int, rest: memoryview) -> memoryview:
    """Write what the pipe takes; gives what is left."""
    try:
        return rest[os.write(pipe, rest[:CHUNK]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        raise EOFError from None


def read(pipe: int) -> bytes:
    """Read what there is."""
    try:
        data = os.read(pipe, CHUNK)
    except BlockingIOError:
        return b""
    if not data:
        raise EOFError
    return data


def plain(value: Any) -> Any:
    """Make JSON of what a column may hold beside it: arrays as lists, dates and the like as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
