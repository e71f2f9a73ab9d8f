"""Kill a run at file operations and at random times, resume it, and compare every bit with an uninterrupted run.

    python benchmarks/kill_resume.py --kills 1000

The script prints the number of kills and of runs, and the runs whose metrics, weights or optimizer differ. It exits
with 1 if any run differs. The bits are equal on CPU, with one thread and the same versions of all packages.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.runtime.fixtures import job_data, write_job, write_pairs
from tests.runtime.forks import Forks
from tests.runtime.test_kill_resume import KILLED, TRAIN, results

WHEN = ("before", "half", "after")


def make_job(folder: Path, kind: str) -> Path:
    """Write a tiny job of a kind into a fresh folder."""
    folder.mkdir(parents=True)
    source = write_pairs(folder / "rows.jsonl", 16, kind)
    data = job_data(kind, source, folder / "run", data={"eval": {"fraction": 0.25}}, **TRAIN)
    return write_job(folder / "run" / "job", data) / "train.py"


def interrupted(forks: Forks, script: Path, cache: Path, operations: int, draw: random.Random) -> int:
    """Kill a run a few times, resume it to its end; give the number of kills that hit."""
    hits = 0
    for _ in range(draw.randrange(1, 6)):
        death = (
            {"operation": draw.randrange(2, operations), "when": draw.choice(WHEN)}
            if draw.random() < 0.6
            else {"after": draw.uniform(0.05, 1.2)}
        )
        hits += forks.run(script, "--resume", cache=cache, **death)["status"] == KILLED
    assert forks.run(script, "--resume", cache=cache)["status"] == 0, script
    return hits


def main() -> int:
    """Run the loop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, began = random.Random(options.seed), time.monotonic()
    kills, runs, different = 0, 0, []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        forks = Forks(root / "cache")
        expected = {}
        for kind in ("dpo", "sft"):
            script = make_job(root / f"whole-{kind}", kind)
            answer = forks.run(script, cache=root / f"cache-{kind}")
            expected[kind] = (results(script), answer["operations"])
        while kills < options.kills:
            kind = ("dpo", "sft")[runs % 2]
            folder = root / f"run-{runs}"
            script = make_job(folder, kind)
            wanted, operations = expected[kind]
            kills += interrupted(forks, script, folder / "cache", operations, draw)
            different += [folder.name] if results(script) != wanted else []
            runs += 1
        forks.close()
    print(f"{kills} kills over {runs} runs in {time.monotonic() - began:.0f} s: {len(different)} runs differ")
    print(*different)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
