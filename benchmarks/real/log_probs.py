"""Compare log-probabilities of a real model by alignc and by plain transformers, row by row.

    python -m benchmarks.real.log_probs MODEL PAIRS [ROWS]

alignc scores all rows as one packed stream, in which the responses of a row share its prompt, and makes logits tile by
tile. transformers reads each response alone, with its prompt, and gives all logits at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignc.runtime.data.example import Example
from alignc.runtime.scoring.micro import BatchLayout
from alignc.runtime.scoring.outputs import score_rows
from alignc.runtime.scoring.probe import probe, use

LENGTH = 320


def example(number: int, row: dict[str, Any], tokenizer: Any) -> Example:
    """Turn a pair into token ids, with the chat template."""
    whole = {
        name: tokenizer.apply_chat_template([*row["prompt"], *row[name]], return_dict=False)
        for name in ("chosen", "rejected")
    }
    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
    responses = tuple(np.array(ids[len(prompt) : LENGTH]) for ids in whole.values())
    assert all(ids[: len(prompt)] == prompt for ids in whole.values())
    return Example(number, f"row {number}", np.array(prompt), responses, {})


@torch.no_grad()
def plain(model: Any, row: Example) -> list[np.ndarray]:
    """Give the log-probabilities of each response's tokens by transformers alone."""
    found = []
    for response in row.responses:
        ids = torch.tensor(np.concatenate([row.prompt, response])[None])
        logits = model(ids).logits[0].float().log_softmax(-1)
        after = logits[len(row.prompt) - 1 : -1]
        found.append(after.gather(1, ids[0, len(row.prompt) :, None])[:, 0].numpy())
    return found


def main(folder: str, pairs: Path, count: int) -> None:
    """Print the largest difference of a token, and of a response."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lines = pairs.read_text(encoding="utf-8").splitlines()[:count]
    rows = [example(number, json.loads(line), tokenizer) for number, line in enumerate(lines)]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = [plain(model, row) for row in rows]
    verdict = probe(model, rows)
    use(model, verdict)
    layout = BatchLayout(
        verdict.packed, tokenizer.pad_token_id or 0, torch.device("cpu"), None, torch.float32
    )
    found = score_rows(model, rows, [list(range(len(rows)))], layout)
    tokens = [
        np.abs(a - b).max() for x, y in zip(found, expected, strict=True) for a, b in zip(x, y, strict=True)
    ]
    sums = [
        abs(a.sum() - b.sum())
        for x, y in zip(found, expected, strict=True)
        for a, b in zip(x, y, strict=True)
    ]
    number = sum(len(response) for row in rows for response in row.responses)
    print(f"{'packed' if verdict.packed else 'padded'}; {len(rows)} pairs, {number} response tokens, float32")
    print(f"largest difference: {max(tokens):.2g} nat of a token, {max(sums):.2g} nat of a response")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 4)
