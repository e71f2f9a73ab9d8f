"""Loading: the processor time and the memory that preference rows take on their way to token ids.

The rows are made of GSM8K's problems and solutions, two of each to a part, so that a row has about 600 tokens. A
process of its own loads them. Then another one loads them again, as a later run does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GSM8K = Path(__file__).resolve().parents[2] / "shared" / "data" / "gsm8k" / "train.jsonl"
VOCABULARY = 8192
ROLES = ("user", "assistant", "assistant")


def main() -> None:
    """Make the rows, load them twice, and print a line of JSON for each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--chat", action="store_true", help="rows of messages, written by a chat template")
    parser.add_argument("--short", action="store_true", help="rows of about 50 tokens")
    parser.add_argument("--folder", type=Path, help="keep the rows and the tokenizer here")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load(options.load, options.folder)))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        source = make(folder, options.rows, options.chat, options.short)
        cache = {**os.environ, "ALIGNC_CACHE": str(Path(made) / "cache")}
        for when in ("first", "again"):
            command = [sys.executable, __file__, "--folder", str(folder), "--load", str(source)]
            out = subprocess.run(command, env=cache, check=True, capture_output=True, text=True)
            figures = json.loads(out.stdout.splitlines()[-1])
            print(json.dumps({"rows": options.rows, "chat": options.chat, "when": when, **figures}))


def make(folder: Path, rows: int, chat: bool, short: bool) -> Path:
    """Write the rows and a tokenizer; what is there already stays."""
    source = folder / f"pairs-{rows}{'-chat' * chat}{'-short' * short}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    problems = [json.loads(line) for line in GSM8K.read_text("utf-8").splitlines()]
    if not (folder / "tokenizer.json").exists():
        from alignc.runtime.data.tokenizer import train_bpe

        train_bpe((f"{p['question']}\n{p['answer']}" for p in problems), VOCABULARY, folder)
    if not source.exists():
        with source.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in made_rows(problems, rows, chat, short))
    return source


def made_rows(
    problems: list[dict[str, str]], count: int, chat: bool, short: bool
) -> Iterator[dict[str, Any]]:
    draw = random.Random(0)
    for _ in range(count):
        one, two, other = (draw.choice(problems) for _ in range(3))
        texts = [
            f"{one['question']}\n{two['question']}\n",
            f"{one['answer']}\n{two['answer']}",
            f"{one['answer']}\n{other['answer']}",
        ]
        if short:
            texts = [text[:70] for text in texts]
        names, told = ("prompt", "chosen", "rejected"), list(map(turn, texts, ROLES))
        yield dict(zip(names, told if chat else texts, strict=True))


def turn(text: str, role: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def load(source: Path, folder: Path) -> dict[str, float]:
    """Load the rows as a run does, and measure this process and its children."""
    from transformers import AutoTokenizer

    from alignc.runtime.data.dataset import load_examples
    from alignc.runtime.data.settings import DataSettings

    tokenizer = AutoTokenizer.from_pretrained(folder)
    settings = DataSettings("pairwise", str(source), responses=("chosen", "rejected"))
    before, start, processor = resident(), time.perf_counter(), spent()
    rows = load_examples(settings, tokenizer)
    wall, processor = time.perf_counter() - start, spent() - processor
    after, peak = resident(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    some = [rows[place] for place in range(0, len(rows), max(1, len(rows) // 1000))]
    tokens = sum(len(e.prompt) + sum(map(len, e.responses)) for e in some) / len(some)
    figures = {"tokens_a_row": tokens, "cpu_s": processor, "wall_s": wall}
    memory = {"before_mib": before, "after_mib": after, "peak_mib": peak, "and_1000_rows_mib": resident()}
    return {name: round(value, 1) for name, value in (figures | memory).items()}


def resident() -> float:
    """Return the resident MiB of this process, mapped files among them."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def spent() -> float:
    """Return the seconds of processor time of this process and of its children that have ended."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in whose)


if __name__ == "__main__":
    main()
