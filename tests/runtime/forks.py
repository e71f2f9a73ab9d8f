"""Run jobs in forks of one process that has everything imported, and kill them where asked.

A request is a line of JSON on stdin: the script, its arguments, and where to die: ``{"after": seconds,
"signal": 9}`` or ``{"operation": n, "when": "before" | "half" | "after"}`` for the n-th operation on files. The
answer is the wait status, and how many operations were counted.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ("make_folder", "remove", "rename", "sync", "write_text")


class Forks:
    """The process that forks."""

    def __init__(self, cache: Path) -> None:
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        variables |= {"ALIGNC_CACHE": str(cache), "ALIGNC_LAUNCHED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, script: Path, *arguments: str, cache: Path | None = None, **death: Any) -> dict[str, int]:
        """Run a script to its end, or to its death."""
        request = {"script": str(script), "arguments": arguments, "death": death}
        request["cache"] = None if cache is None else str(cache)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, int] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)


def arm(death: dict[str, Any], counter: Path) -> None:
    """Count operations on files, and die at the one that was asked for."""
    from alignc.runtime.base import fsops

    counted = [0]

    def deadly(name: str) -> Any:
        real = getattr(fsops, name)

        def call(*arguments: Any) -> Any:
            counted[0] += 1
            counter.write_text(str(counted[0]))
            here = counted[0] == death.get("operation")
            if here and death["when"] == "half" and name == "write_text":
                arguments[0].write_text(arguments[1][: len(arguments[1]) // 2])
            if here and death["when"] != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in OPERATIONS:
        setattr(fsops, name, deadly(name))


def serve() -> None:
    """Answer requests until stdin closes."""
    out = os.fdopen(os.dup(1), "w")  # what libraries print goes elsewhere
    os.dup2(2, 1)
    sys.path.pop(0)
    import accelerate  # noqa: F401
    import deepspeed  # noqa: F401
    import torch
    import transformers.models.llama.modeling_llama  # noqa: F401

    import alignc.runtime.data
    import alignc.runtime.engines.engine
    import alignc.runtime.train.finish  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        counter = Path(request["script"]).parent / ".operations"
        counter.write_text("0")
        child = os.fork()
        if child == 0:
            run(request, counter)
        kill_later(child, request["death"].get("after"), request["death"].get("signal", signal.SIGKILL))
        _, status = os.waitpid(child, 0)
        answer = {"status": os.waitstatus_to_exitcode(status), "operations": int(counter.read_text())}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def run(request: dict[str, Any], counter: Path) -> None:
    """Run a script in this process, as Python would."""
    if request["cache"] is not None:
        os.environ["ALIGNC_CACHE"] = request["cache"]
    if "operation" in request["death"] or not request["death"]:
        arm(request["death"], counter)
    sys.argv = [request["script"], *request["arguments"]]
    code: Any = 0
    try:
        runpy.run_path(request["script"], run_name="__main__")
    except SystemExit as wish:
        code = wish.code
    os._exit(code or 0)


def kill_later(child: int, seconds: float | None, signum: int) -> None:
    """Kill a child after a while; one that has ended by then is left to be collected."""
    if seconds is None:
        return
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.002)
    os.kill(child, signum)


if __name__ == "__main__":
    serve()
