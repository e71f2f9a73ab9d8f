"""Random legal objectives under `verify`: nothing is refuted.

`python -m tests.verify.drawn FILE 0:1000` tallies seeds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignc.verify import Verdict, verify

from ..objectives.__main__ import seeds_of
from ..objectives.properties import Case, examine

__all__ = ["Seen", "main", "refutes_nothing"]


@dataclass
class Seen:
    """What `verify` said of the sound ones among some seeds."""

    verdicts: Counter[str] = field(default_factory=Counter)
    undecided: Counter[str] = field(default_factory=Counter)
    slow: list[tuple[float, int]] = field(default_factory=list)

    def refutes_nothing(self, case: Case) -> Iterator[str]:
        """A claim is refuted where theory is wrong, or where `verify` is."""
        for part in case.parts:
            start = time.process_time()
            found = verify(part.spec, part.loss)
            self.slow = sorted([*self.slow, (time.process_time() - start, case.drawn.seed)], reverse=True)[:8]
            for claim in found.claims:
                self.verdicts[claim.verdict] += 1
                if claim.verdict is Verdict.UNDECIDED:
                    self.undecided[f"{claim.about}: {claim.says}"] += 1
            yield from (f"{c.about}: {c.says}: {c.found} {c.gap}" for c in found.of(Verdict.REFUTED))


def refutes_nothing(seed: int) -> list[str]:
    """Examine one seed, and list what fails."""
    with tempfile.TemporaryDirectory() as folder:
        found = examine(seed, Path(folder), {"verify": Seen().refutes_nothing})
    return [
        f"{f.kind}: {f.what}" for f in found.failures if f.kind == "verify" or f.what.startswith("verify")
    ]


def main(arguments: list[str]) -> int:
    """Tally seeds, and write what was found."""
    seen, sound, failures = Seen(), 0, {}
    start = time.process_time()
    for count, seed in enumerate(seeds_of(arguments[1:]), 1):
        with tempfile.TemporaryDirectory() as folder:
            outcome = examine(seed, Path(folder), {"verify": seen.refutes_nothing})
        sound += outcome.sound
        if outcome.failures:
            failures[seed] = [f"{f.kind}: {f.what}" for f in outcome.failures]
            print(seed, failures[seed], flush=True)
        if count % 50 == 0:
            print(count, "seeds", f"{time.process_time() - start:.0f} s", flush=True)
    tally: dict[str, Any] = {
        "seeds": arguments[1:],
        "sound": sound,
        "seconds": round(time.process_time() - start),
        "verdicts": seen.verdicts,
        "failures": failures,
        "undecided": seen.undecided.most_common(40),
        "slowest": seen.slow,
    }
    Path(arguments[0]).write_text(json.dumps(tally, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
