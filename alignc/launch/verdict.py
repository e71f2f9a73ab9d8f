"""The outcome of a run: one exit code and its diagnostics, as a pure function of the records of the run."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignc.contract.exits import ENDED_WELL, FAILED, INTERRUPTED, RESUMABLE
from alignc.contract.failure import Failure
from alignc.contract.files import RUN_LOG
from alignc.launch.ranks import Rank

__all__ = ["Outcome", "diagnostic", "verdict"]


@dataclass(frozen=True)
class Outcome:
    """The exit code of a run, and diagnostics in the shape of `validate --output-format json`."""

    exit_code: int
    diagnostics: tuple[dict[str, Any], ...] = ()


def diagnostic(code: str, message: str, *, why: str | None = None, help: str | None = None) -> dict[str, Any]:  # noqa: A002
    """Build a diagnostic without a span in a file of the user."""
    return Failure(code, message, why=why, help=help).as_dict()


def verdict(
    status: Mapping[str, Any],
    ranks: Sequence[Rank],
    *,
    size: int,
    returned: int,
    signum: int = 0,
    dead: Rank | None = None,
    hung: Rank | None = None,
    log: str = RUN_LOG,
) -> Outcome:
    """Return the outcome for the first cause; consequences on other ranks are not reported."""
    if hung is not None:
        return Outcome(FAILED, (hanging(hung, size),))
    if status.get("exit") in ENDED_WELL:
        return Outcome(int(status["exit"]), tuple(status.get("diagnostics", ())))
    if dead is not None and not signum:
        return Outcome(FAILED, (dying(dead, size, log),))
    failed = [rank for rank in ranks if rank.exit not in (None, *ENDED_WELL)]
    if failed:
        first = min(failed, key=lambda rank: rank.ended)
        return Outcome(int(first.exit or FAILED), first.diagnostics)
    if status.get("exit") is not None:
        return Outcome(int(status["exit"]), tuple(status.get("diagnostics", ())))
    if signum:
        return Outcome(INTERRUPTED if signum == signal.SIGINT else RESUMABLE)
    ended = diagnostic(
        "E806", f"the job ended with status {returned} and recorded no reason", why=f"see {log}"
    )
    return Outcome(FAILED, (ended,))


def dying(rank: Rank, size: int, log: str) -> dict[str, Any]:
    """Report a rank that died."""
    return diagnostic(
        "E803",
        f"rank {rank.rank} of {size} died (process {rank.pid}); alignc ended the other ranks",
        why=f"the rank recorded no reason; often the system kills a process for memory; its output is in {log}",
        help="continue from the last checkpoint with --resume",
    )


def hanging(rank: Rank, size: int) -> dict[str, Any]:
    """Report a rank without progress."""
    return diagnostic(
        "E804",
        f"rank {rank.rank} of {size} hangs (process {rank.pid}): no progress for {rank.quiet:.0f} s",
        why="the other ranks waited for this rank; alignc ended all ranks",
        help="continue with --resume; `launch.timeout` sets the time that ranks wait for each other",
    )
