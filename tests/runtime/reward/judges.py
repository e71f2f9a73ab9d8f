"""Functions that the tests' workers load: one a way to behave, and to misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NONE_LIKE = 3


def length(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    """The number of characters."""
    return [float(len(text)) for text in completions]


def noisy(prompts: list[str], completions: list[str], **columns: Any) -> list[int]:
    """Print, write to the bare descriptor, ask for input, start a process that prints: none of it may disturb."""
    print('{"scores": [99]}', flush=True)
    os.write(1, b'{"scores": [98]}\n')
    subprocess.run(["echo", '{"scores": [97]}'], check=True)
    assert sys.stdin.read() == ""
    return [len(text) for text in completions]


def columns_of(answer: list[str], completions: list[str], prompts: list[str]) -> list[bool]:
    """Take one column by name, and no others."""
    return [a == c for a, c in zip(answer, completions, strict=True)]


class Box:
    """Something with `tolist`, as numpy and torch have it."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        """Give the list."""
        return self.values


def boxed(prompts: list[str], completions: list[str], **columns: Any) -> Box:
    """Return an array."""
    return Box([1, 2.5])


def fails(prompts: list[str], completions: list[str], **columns: Any) -> Any:
    """Behave as each completion says."""
    found: list[Any] = []
    for text in completions:
        if text == "raise":
            raise ValueError("no such answer\nand more")
        if text == "exit":
            sys.exit(7)
        if text == "end":
            os._exit(9)
        if text == "signal":
            os.kill(os.getpid(), 9)
        if text == "hang":
            time.sleep(60)
        if text == "none":
            return None
        if text == "text":
            return "0.5"
        if text == "few":
            return found
        found.append({"nan": float("nan"), "inf": float("-inf"), "word": "x", "big": 10**400}.get(text, 1.0))
    return found


def slow(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    """Take a while for each, so that many are too slow together."""
    time.sleep(0.15 * len(completions))
    return [0.0 for _ in completions]


def together(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    """Fail only where there are several."""
    if len(completions) > 1:
        raise RuntimeError("one at a time")
    return [0.0]


def leaves_children(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    """Start a process, write down its number, and hang."""
    child = subprocess.Popen(["sleep", "60"])
    Path(completions[0]).write_text(str(child.pid))
    time.sleep(60)
    return [0.0]


def counts_calls(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    """Say in which process this is."""
    return [float(os.getpid())] * len(completions)


def dies_after(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    """Answer, and be gone a moment later."""
    import threading

    threading.Timer(0.05, lambda: os._exit(1)).start()
    return [float(os.getpid())] * len(completions)


ORDER = ("rock", "paper", "scissors")


def game(prompts: list[str], first: list[str], second: list[str], **columns: Any) -> list[float]:
    """Rock, paper, scissors: each beats the one before it."""
    gap = [(ORDER.index(a) - ORDER.index(b)) % 3 for a, b in zip(first, second, strict=True)]
    return [(0.5, 1.0, 0.0)[each] for each in gap]


def prefers_first(prompts: list[str], first: list[str], second: list[str], **columns: Any) -> list[float]:
    """Like the longer one, and the first place."""
    return [0.9 if len(a) >= len(b) else 0.3 for a, b in zip(first, second, strict=True)]


def beyond(prompts: list[str], first: list[str], second: list[str], **columns: Any) -> list[float]:
    """Return what is no probability where the first is "odd"."""
    return [1.25 if a == "odd" else 0.5 for a in first]
