"""Examine many seeds in two processes, and keep what was found: `python -m tests.objectives.sweep FILE 50000`.

FILE takes one line of JSON for each hundred seeds. A second call goes on where the first one ended. Expensive
properties are held for a share of the seeds. `FILE --write` holds every property again for each seed that failed, and
puts the sums into the record of docs/soundness.md. `FILE --write SETTINGS…` adds what `tests.verify.settings` wrote.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .properties import EXACT, Case, Property
from .stated import STATED, Undecided

__all__ = ["SHARES", "chunk", "main", "summed"]

RECORD = Path(__file__).parents[2] / "alignc/docs/soundness.json"
CHUNK, PROCESSES, PATIENCE = 100, 2, 300
SHARES: Mapping[str, int] = {"claims": 5, "diff": 10, "symmetry": 20, "source": 40, "verify": 40}
"""By property, that one seed of so many is held to it; the others are held for every seed."""


@dataclass
class Count:
    """What became of one property: numbers of seeds, the lines that are undecided, and seconds of CPU."""

    tried: int = 0
    held: int = 0
    undecided: int = 0
    failed: list[int] = field(default_factory=list)
    seconds: float = 0.0
    lines: Counter[str] = field(default_factory=Counter)


@dataclass
class Ledger:
    """Counts beside the properties, for a share of the seeds each."""

    counts: dict[str, Count] = field(default_factory=dict)

    def around(self, name: str, held: Property) -> Property:
        """Return a property that counts, and that passes over seeds outside of its share."""
        count = self.counts.setdefault(name, Count())

        def counted(case: Case) -> Iterator[str]:
            seed = case.drawn.seed
            if seed % SHARES.get(name, 1):
                return
            start = time.process_time()
            count.tried += 1
            count.failed.append(seed)
            lines = list(held(case))
            open_lines = [line for line in lines if isinstance(line, Undecided)]
            if len(open_lines) == len(lines):
                count.failed.remove(seed)
                count.undecided += bool(lines)
                count.held += not lines
            count.lines.update(open_lines)
            count.seconds += time.process_time() - start
            yield from (line for line in lines if not isinstance(line, Undecided))

        return counted


def chunk(first: int, size: int = CHUNK) -> dict[str, Any]:
    """Examine the seeds from `first` on, and count."""
    from .tally import tally
    from .tensors import EMITTED

    ledger = Ledger()
    properties = {n: ledger.around(n, p) for n, p in {**EXACT, **STATED, **EMITTED}.items()}
    found = tally(range(first, first + size), properties, patience=PATIENCE)
    counts = {n: {**vars(c), "seconds": round(c.seconds, 2)} for n, c in ledger.counts.items()}
    return {"first": first, **found, "properties": counts}


def summed(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Add the counts of all chunks."""
    numbers = {n: sum(c[n] for c in chunks) for n in ("seeds", "refused", "cpu_seconds")}
    codes: Counter[str] = sum((Counter(c["codes"]) for c in chunks), Counter())
    listed = sorted((f for c in chunks for f in c["listed"]), key=lambda f: (f["kind"], f["seed"]))
    disagree = sorted({f["seed"] for f in listed if _of_commands(f)})
    commands = {
        "share": 1,
        "tried": numbers["seeds"],
        "held": numbers["seeds"] - len(disagree),
        "undecided": 0,
    }
    return {
        **numbers,
        "sound": sum(c["properties"]["explain"]["tried"] for c in chunks),
        "first": min(c["first"] for c in chunks),
        "last": max(c["first"] + c["seeds"] - 1 for c in chunks),
        "codes": dict(codes.most_common()),
        "failures": dict(Counter(f["kind"] for f in listed)),
        "listed": listed,
        "properties": {
            "commands": {**commands, "failed": disagree},
            **{n: _added([c["properties"][n] for c in chunks], n) for n in chunks[0]["properties"]},
        },
    }


def _of_commands(failure: dict[str, Any]) -> bool:
    """Tell the failures of `validate` and `explain` themselves, and seeds that hang."""
    crashed = failure["kind"] == "crash" and failure["what"].startswith(("validate:", "explain:"))
    return crashed or failure["kind"] in ("disagreement", "hangs")


def _added(counts: list[dict[str, Any]], name: str) -> dict[str, Any]:
    lines: Counter[str] = sum((Counter(c["lines"]) for c in counts), Counter())
    return {
        "share": SHARES.get(name, 1),
        **{key: sum(c[key] for c in counts) for key in ("tried", "held", "undecided")},
        "failed": sorted(seed for c in counts for seed in c["failed"]),
        "seconds": round(sum(c["seconds"] for c in counts), 1),
        "lines": dict(lines.most_common(12)),
    }


def main(arguments: list[str]) -> None:
    """Examine the chunks that are missing, or write the record."""
    path, there = Path(arguments[0]), read(Path(arguments[0]))
    if arguments[1] == "--write":
        write(there, [json.loads(Path(name).read_text("utf-8")) for name in arguments[2:]])
        return
    count = int(arguments[1])
    wanted = [first for first in range(0, count, CHUNK) if first not in {c["first"] for c in there}]
    with (
        ProcessPoolExecutor(PROCESSES, get_context("spawn"), max_tasks_per_child=10) as pool,
        path.open("a", encoding="utf-8") as file,
    ):
        for done in as_completed([pool.submit(chunk, first) for first in wanted]):
            file.write(json.dumps(done.result(), ensure_ascii=False) + "\n")
            file.flush()


def together(settings: list[dict[str, Any]]) -> dict[str, Any]:
    """Add the tallies of several files of settings, each of other presets."""
    return {
        **{key: sum(s[key] for s in settings) for key in ("settings", "held")},
        **{key: [t for s in settings for t in s[key]] for key in ("refuted", "undecided")},
        "slowest": {preset: seconds for s in settings for preset, seconds in s["slowest"].items()},
    }


def write(chunks: list[dict[str, Any]], settings: list[dict[str, Any]]) -> None:
    """Sum the chunks, examine what failed again, and write the record."""
    from .tally import tally
    from .tensors import EMITTED

    before = json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}
    sums = summed(chunks)
    failed = sorted({f["seed"] for f in sums["listed"]})
    properties = {n: _decided(p) for n, p in {**EXACT, **STATED, **EMITTED}.items()}
    packages = ("alignc", "sympy", "numpy", "torch")
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"Python": platform.python_version(), **{name: version(name) for name in packages}},
        "objectives": sums,
        "again": {"listed": tally(failed, properties, patience=PATIENCE)["listed"]},
        "settings": together(settings) if settings else before.get("settings"),
    }
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _decided(held: Property) -> Property:
    """Leave out of a property what it says is undecided."""
    return lambda case: (line for line in held(case) if not isinstance(line, Undecided))


def read(path: Path) -> list[dict[str, Any]]:
    """Read the chunks of a file; none where it is missing."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


if __name__ == "__main__":
    main(sys.argv[1:])
