"""The running job: its output, its signals, and the supervision of its ranks."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from alignc.contract.files import JOB, RANKS, RUN, RUN_LOG, STATUS
from alignc.launch.command import command, environment, free_port, usable_cores
from alignc.launch.outputs import read
from alignc.launch.ranks import Rank, alive, hung, read_ranks
from alignc.launch.verdict import Outcome, verdict

__all__ = ["launch"]

MARK = "\x1e"
GRACE = 5.0  # seconds that the others have to say why, once a rank is dead
POLL = 0.1
LINGER = 20.0  # seconds that a job has to leave, once each rank has recorded its end


@dataclass
class Watch:
    """The observed state of a running job."""

    signum: int = 0
    passed_on: int = 0
    dead: Rank | None = None
    dead_since: float = 0.0
    hung: Rank | None = None
    ended_since: float | None = None
    signals: list[int] = field(default_factory=list)


def launch(
    job: Path,
    *,
    fingerprint: str,
    show: Callable[[str], None],
    resume: bool = False,
    max_steps: int | None = None,
    limit: int | None = None,
    inputs: Mapping[str, str] | None = None,
    permitted: Mapping[str, str] | None = None,
) -> Outcome:
    """Run an emitted job folder to its end, and return its outcome.

    ``show`` gets the lines for the user; all other lines go to `OUTPUT/run.log`. SIGINT and SIGTERM are passed on to
    the ranks. No process of the job outlives this call. ``permitted`` holds the environment variables with the
    permissions of the job.
    """
    spec = json.loads((job / JOB).read_text(encoding="utf-8"))["spec"]
    section, output = spec["launch"], Path(spec["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    line = command(job, section, resume=resume, max_steps=max_steps, limit=limit, port=free_port())
    variables, ignored = environment(os.environ, section, usable_cores())
    variables |= permitted or {}
    forget(output)
    run = {"fingerprint": fingerprint, "max_steps": max_steps, "limit": limit, "inputs": dict(inputs or {})}
    write_record(output, {**run, "command": line, "ignored_environment": sorted(ignored)})
    watch = Watch()
    returned = supervised(line, variables, output, watch, section, show)
    return verdict(
        read(output / STATUS),
        read_ranks(output / RANKS),
        size=int(section["num_processes"]),
        returned=returned,
        signum=watch.signum,
        dead=watch.dead,
        hung=watch.hung,
        log=str(output / RUN_LOG),
    )


def write_record(output: Path, record: Mapping[str, object]) -> None:
    """Write what a run was started with, for later commands to compare."""
    (output / RUN).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def supervised(
    line: list[str],
    variables: dict[str, str],
    output: Path,
    watch: Watch,
    section: Mapping[str, Any],
    show: Callable[[str], None],
) -> int:
    """Start the processes of a job, follow them to their end, and return the exit status of the launcher."""
    with catching(watch), (output / RUN_LOG).open("ab") as log:
        process = start(line, variables)
        reader = threading.Thread(target=forward, args=(process.stdout, log, show), daemon=True)
        reader.start()
        try:
            follow(process, output / RANKS, watch, section)
        finally:
            end(process, output / RANKS)
        reader.join(timeout=GRACE)
    return process.returncode


def forget(output: Path) -> None:
    """Remove the records of an earlier attempt."""
    (output / STATUS).unlink(missing_ok=True)
    if (output / RANKS).is_dir():
        for path in (output / RANKS).iterdir():
            path.unlink()


def start(line: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the launcher in a session of its own, so that Ctrl-C in the terminal reaches only this process."""
    return subprocess.Popen(
        line,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
    )


LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent() -> None:
    """Ask Linux to end the launcher, and with it the ranks, if this process is killed."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def forward(source: IO[bytes] | None, log: IO[bytes], show: Callable[[str], None]) -> None:
    """Write each line of output to the log, and show the lines that are marked for the user."""
    if source is None:
        return
    for line in source:
        text = line.decode("utf-8", errors="replace")
        log.write(line.replace(MARK.encode(), b""))
        log.flush()
        if text.startswith(MARK):
            show(text[len(MARK) :].rstrip("\n"))
    source.close()


@contextlib.contextmanager
def catching(watch: Watch) -> Iterator[None]:
    """Record SIGINT and SIGTERM instead of ending; only the main thread can install such handlers."""

    def note(signum: int, frame: FrameType | None) -> None:
        watch.signals.append(signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def follow(process: subprocess.Popen[bytes], folder: Path, watch: Watch, section: Mapping[str, Any]) -> None:
    """Watch a job until it ends, a rank dies or hangs, or the launcher does not exit after the end."""
    while process.poll() is None:
        time.sleep(POLL)
        ranks = read_ranks(folder)
        pass_on(watch, process, ranks)
        if note_dead(watch, ranks) or note_hung(watch, ranks, float(section["timeout"])):
            return
        if note_lingering(watch, ranks, int(section["num_processes"])):
            return
    note_dead(watch, read_ranks(folder))


def pass_on(watch: Watch, process: subprocess.Popen[bytes], ranks: list[Rank]) -> None:
    """Pass signals on to the ranks directly, because the launcher would give them too little time.

    Before a rank has a handler, the signal goes to the launcher, and all processes end: there is nothing to save yet.
    """
    while len(watch.signals) > watch.passed_on:
        watch.signum = watch.signals[watch.passed_on]
        watch.passed_on += 1
        running = [rank.pid for rank in ranks if rank.exit is None]
        for pid in running or [process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, watch.signum if running else signal.SIGTERM)


def note_dead(watch: Watch, ranks: list[Rank]) -> bool:
    """Record a rank that ended without a record; return True when the time of the other ranks is over."""
    gone = [rank for rank in ranks if rank.exit is None and not alive(rank.pid)]
    if gone and watch.dead is None:
        watch.dead, watch.dead_since = gone[0], time.monotonic()
    return watch.dead is not None and time.monotonic() - watch.dead_since > GRACE


def note_hung(watch: Watch, ranks: list[Rank], timeout: float) -> bool:
    """Record a rank without progress for longer than the timeout of the job."""
    watch.hung = hung(ranks, timeout)
    return watch.hung is not None


def note_lingering(watch: Watch, ranks: list[Rank], size: int) -> bool:
    """Record that all ranks have ended; return True when the time to exit is over."""
    if sum(rank.exit is not None for rank in ranks) < size:
        watch.ended_since = None
    elif watch.ended_since is None:
        watch.ended_since = time.monotonic()
    return watch.ended_since is not None and time.monotonic() - watch.ended_since > LINGER


def end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the launcher and all ranks that still live."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    patience = time.monotonic() + GRACE
    while (left := running(folder)) and time.monotonic() < patience and not stuck(left):
        time.sleep(POLL)
    for rank in running(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(rank.pid, signal.SIGKILL)


def running(folder: Path) -> list[Rank]:
    """List the ranks with living processes."""
    return [rank for rank in read_ranks(folder) if alive(rank.pid)]


def stuck(ranks: list[Rank]) -> bool:
    """Return whether a process is stopped, and so does not end by itself."""
    return any(rank.stopped for rank in ranks)
