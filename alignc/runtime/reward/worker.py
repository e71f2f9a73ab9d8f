"""The process that a user's function runs in: JSON lines on pipes, and nothing of ours beside it.

It is started as a script, `worker.py MODULE:FUNCTION` (or `worker.py regex`, which looks for a user's expressions),
needs the standard library alone, and keeps the pipes for itself: what the function prints goes to stderr, what it
reads is empty.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["serve"]

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def serve(name: str, folders: str) -> None:
    """Load the function, say whether that went well, then answer a line with a line until the pipe is closed."""
    requests, answers = own_pipes()
    end_with_parent()
    prepare_path(folders)

    def answer(reply: dict[str, Any]) -> None:
        answers.write(json.dumps(reply, default=str) + "\n")
        answers.flush()

    function, trouble = load(name)
    answer({"ready": True} if function else {"failure": trouble})
    for line in requests if function else ():
        answer(asked(function, json.loads(line)))


def own_pipes() -> tuple[Any, Any]:
    """Take stdin and stdout away from whoever prints or reads."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def end_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, however deep in the function it is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def prepare_path(folders: str) -> None:
    """Look for modules in the working directory, not beside this script, and at last in the given folders."""
    own = os.path.dirname(os.path.abspath(__file__))
    kept = [entry for entry in sys.path if os.path.abspath(entry or ".") != own]
    sys.path[:] = [os.getcwd(), *kept, *(entry for entry in folders.split(os.pathsep) if entry)]


def load(name: str) -> tuple[Callable[..., Any] | None, dict[str, str]]:
    """Import the function, or say what went wrong."""
    if name in BUILT_IN:
        return BUILT_IN[name], {}
    module, _, path = name.partition(":")
    try:
        function: Any = importlib.import_module(module)
        for step in path.split("."):
            function = getattr(function, step)
    except BaseException as error:  # a module may do anything when it is imported
        return None, describe(error)
    if not callable(function):
        return None, {"what": f"`{path}` is no function but {type(function).__name__}", "place": ""}
    return function, {}


def searched(completions: list[str], patterns: list[str]) -> list[float]:
    """Score 1 where a regular expression is found in a completion."""
    pairs = zip(patterns, completions, strict=True)
    return [float(re.search(pattern, text) is not None) for pattern, text in pairs]


BUILT_IN: dict[str, Callable[..., Any]] = {"regex": searched}
"""What a name without a colon stands for."""


def asked(function: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Call the function, and give its scores or what went wrong."""
    arguments = {**request["columns"], **request["texts"]}
    try:
        return scores(function(**taken(function, arguments)))
    except BaseException as error:  # SystemExit and KeyboardInterrupt too
        return {"failure": describe(error)}


def taken(function: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Leave out the columns that a function without `**columns` does not name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return arguments
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in parameters}


def scores(answer: Any) -> dict[str, Any]:
    """Make plain numbers of a list, a tuple or an array; an entry that is none stays as the name of its type."""
    if hasattr(answer, "tolist") and not isinstance(answer, str | bytes):
        answer = answer.tolist()
    if not isinstance(answer, list | tuple):
        return {"unusable": "None" if answer is None else f"{article(type(answer).__name__)}, not a list"}
    return {"scores": [number(each) for each in answer]}


def number(value: Any) -> Any:
    """Give a number as a float, anything else as the name of its type."""
    if hasattr(value, "item"):
        value = value.item()
    try:
        return float(value) if isinstance(value, int | float) else type(value).__name__
    except OverflowError:
        return "a number too large"


def article(name: str) -> str:
    """Put the article before a type's name."""
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def describe(error: BaseException) -> dict[str, str]:
    """Say what was raised, and where in the user's own files."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    own = [f for f in frames if not f.filename.startswith("<frozen")]
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else ""
    text = str(error).strip().splitlines()
    if isinstance(error, SystemExit):
        return {"what": f"asked its process to exit ({error.code})", "place": place}
    return {"what": f"raised {type(error).__name__}{': ' + text[0] if text else ''}", "place": place}


if __name__ == "__main__":
    serve(sys.argv[1], os.environ.get("ALIGNC_FUNCTIONS", ""))
