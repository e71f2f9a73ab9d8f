"""Run a job's main function so that every ending is told: a diagnostic, an exit code, never a traceback."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from ...contract.environment import LAUNCHED
from ...contract.failure import Failure
from ...contract.files import CHECKPOINTS, CRASH_LOG, JOB
from ...contract.job import read_job
from ...contract.plain import to_plain
from ...contract.support import require_supported
from ..base.console import say
from ..base.signals import Interrupted, die_with_parent
from ..ranks.pulse import Pulse, write_status
from ..ranks.run import Options, Run
from .checkpoint import saved
from .finish import deterministic

__all__ = ["Run", "run_job"]


def run_job(folder: Path, main: Callable[[Run], None], arguments: Sequence[str] | None = None) -> int:
    """Read the job beside `train.py`, run ``main`` on it, and give the exit code.

    Rank 0 writes `status.json`; what is no diagnostic of ours goes to `crash.log` and is told as E806.
    """
    die_with_parent()
    quiet()
    options = parse(arguments)
    rank = int(os.environ.get("RANK", "0"))
    try:
        job = read_job(folder / JOB)
    except Failure as failure:
        say(format_failure(failure))
        write_unread(folder, failure)
        return failure.exit_code
    job.output_dir.mkdir(parents=True, exist_ok=True)
    run = Run(job, folder, options, Pulse(job.output_dir, rank))
    run.stop.install()
    exit_code, diagnostics = ending(run, main)
    run.pulse.end(exit_code, diagnostics)
    if rank == 0:
        write_status(job.output_dir, exit_code, diagnostics, finished=exit_code == 0, step=run.step)
    return exit_code


def write_unread(folder: Path, failure: Failure) -> None:
    """Write `status.json` for a job that could not be read, where at least its output folder can."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        output = Path(json.loads((folder / JOB).read_text(encoding="utf-8"))["spec"]["output_dir"])
        write_status(output, failure.exit_code, failure.diagnostics(), finished=False, step=0)


def ending(run: Run, main: Callable[[Run], None]) -> tuple[int, list[dict[str, Any]]]:
    """Run the job; give its exit code and its diagnostics."""
    try:
        keep_earlier(run)
        for part in run.job.parts or (run.job,):
            require_supported(to_plain(part.spec))
        deterministic()
        with run.resources:
            main(run)
    except Interrupted as wish:
        if run.pulse.rank == 0:
            say(f"interrupted; {wish.saved or 'no step is done yet'}; continue with --resume")
        return wish.exit_code, []
    except Failure as failure:
        return failure.exit_code, reported(failure)
    except Exception:
        return crashed(run)
    return 0, []


def keep_earlier(run: Run) -> None:
    """Refuse to start anew over checkpoints: those of two runs in one folder would be taken for one run's."""
    checkpoints = run.job.output_dir / CHECKPOINTS
    if saved(checkpoints) and not run.options.resume:
        raise Failure(
            "E604",
            f"`{checkpoints}` already holds checkpoints",
            why="a new start would mix them with the checkpoints of this run",
            help="continue from the newest checkpoint with --resume, or remove the folder",
        )


def crashed(run: Run) -> tuple[int, list[dict[str, Any]]]:
    """Keep an unexpected exception's traceback in a file and name the file."""
    log = run.job.output_dir / CRASH_LOG
    with log.open("a", encoding="utf-8") as file:
        file.write(f"rank {run.pulse.rank}, after step {run.step}\n{traceback.format_exc()}\n")
    problem = sys.exc_info()[1]
    failure = Failure(
        "E806",
        f"the job crashed: {type(problem).__name__}: {(str(problem).splitlines() or ['?'])[0]}",
        why=f"the traceback is in {log}",
        help="remove the cause, then continue from the last checkpoint with --resume",
    )
    return failure.exit_code, reported(failure)


def reported(failure: Failure) -> list[dict[str, Any]]:
    """Give a failure's diagnostics; without a launcher that renders them, say them too."""
    if LAUNCHED not in os.environ and os.environ.get("RANK", "0") == "0":
        for cause in (*failure.causes, failure):
            say(format_failure(cause))
    return failure.diagnostics()


def format_failure(failure: Failure) -> str:
    """Write a failure as text, in the shape of the compiler's diagnostics."""
    place = f"\n  --> {failure.file}:{failure.line or 1}:{failure.column or 1}" if failure.file else ""
    notes = [("why: ", failure.why), ("help:", failure.help)]
    return f"error[{failure.code}]: {failure.message}{place}" + "".join(
        f"\n   = {label} {text}" for label, text in notes if text
    )


def parse(arguments: Sequence[str] | None) -> Options:
    """Parse the command line of `train.py`."""
    parser = argparse.ArgumentParser(description="Train the job beside this file.")
    parser.add_argument("--resume", action="store_true", help="continue from the newest complete checkpoint")
    parser.add_argument("--max-steps", type=int, metavar="N", help="stop after N steps")
    parser.add_argument("--limit", type=int, metavar="ROWS", help="take only the first rows")
    options = parser.parse_args(arguments)
    return Options(resume=options.resume, max_steps=options.max_steps, limit=options.limit)


def quiet() -> None:
    """Silence the messages of libraries: warnings meant for programmers, progress bars."""
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "error")
    transformers_logging.disable_progress_bar()
    logging.getLogger("DeepSpeed").addFilter(worth_telling)
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # on CPUs it misses a faster kernel, of another package


def worth_telling(record: logging.LogRecord) -> bool:
    """Drop the message of DeepSpeed when it is imported where there is no GPU: accelerate imports it for any job."""
    return not record.getMessage().startswith("Setting accelerator to CPU")
