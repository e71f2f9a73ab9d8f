"""Examine many seeds and count what became of them, for people and for docs."""

from __future__ import annotations

import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .properties import EXACT, Failure, Outcome, Property, examine

__all__ = ["examined", "tally"]

PATIENCE = 120
"""Seconds after which a seed counts as hanging: only `python -m tests.objectives` asks for it."""


def examined(
    seeds: Iterable[int], properties: Mapping[str, Property] = EXACT, *, patience: int = 0
) -> Iterator[Outcome]:
    """Examine seeds one after the other; with `patience`, give up a seed after that many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            try:
                with _limited(patience):
                    outcome = examine(seed, Path(folder), properties)
            except _Hangs:
                outcome = Outcome(seed, (), (Failure("hangs", f"more than {patience} seconds"),))
            yield outcome


def tally(
    seeds: Iterable[int], properties: Mapping[str, Property] = EXACT, *, patience: int = PATIENCE
) -> dict[str, Any]:
    """Count seeds, sound ones, failures by kind, and the codes of refusals; failures are listed with their seeds."""
    start, cpu = time.time(), time.process_time()
    outcomes = list(examined(seeds, properties, patience=patience))
    failures = [(o.seed, f) for o in outcomes for f in o.failures]
    return {
        "seeds": len(outcomes),
        "sound": sum(o.sound for o in outcomes),
        "refused": sum(bool(o.codes) for o in outcomes),
        "failures": dict(Counter(f.kind for _, f in failures)),
        "codes": dict(Counter(code for o in outcomes for code in set(o.codes)).most_common()),
        "seconds": round(time.time() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "listed": [{"seed": seed, "kind": f.kind, "what": f.what} for seed, f in failures],
    }


class _Hangs(BaseException):
    """A seed that takes longer than the patience of its caller."""


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise _Hangs

    if not seconds:
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
