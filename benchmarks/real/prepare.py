"""Write GSM8K as the conversations of a chat model: demonstrations, pairs of a right and a wrong solution, prompts.

    python -m benchmarks.real.prepare GSM8K_FOLDER FOLDER

`GSM8K_FOLDER` has `train.jsonl` and `model_solutions.jsonl`, as the repository openai/grade-school-math has them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Read a file of JSON lines."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def said(role: str, content: str) -> dict[str, str]:
    """Make a message."""
    return {"role": role, "content": content}


def demonstrations(source: Path) -> Iterator[dict[str, Any]]:
    """Give each question with its worked solution, as one conversation."""
    for row in rows_of(source / "train.jsonl"):
        yield {"messages": [said("user", row["question"]), said("assistant", row["answer"])]}


def pairs(source: Path) -> Iterator[dict[str, Any]]:
    """Give each question with a right and a wrong solution, where the models wrote both."""
    for row in rows_of(source / "model_solutions.jsonl"):
        solutions = [row[name] for name in MODELS if name in row]
        right = [each["solution"] for each in solutions if each["is_correct"]]
        wrong = [each["solution"] for each in solutions if not each["is_correct"]]
        if right and wrong:
            yield {
                "prompt": [said("user", row["question"])],
                "chosen": [said("assistant", right[0])],
                "rejected": [said("assistant", wrong[0])],
            }


def prompts(source: Path) -> Iterator[dict[str, Any]]:
    """Give each question with the number that ends its solution."""
    for row in rows_of(source / "train.jsonl"):
        number = row["answer"].rpartition("####")[2].strip().replace(",", "")
        yield {"prompt": [said("user", row["question"])], "answer": number}


def main(source: Path, folder: Path) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for make in (demonstrations, pairs, prompts):
        lines = [json.dumps(row, ensure_ascii=False) for row in make(source)]
        (folder / f"{make.__name__}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{folder / make.__name__}.jsonl: {len(lines):,} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
