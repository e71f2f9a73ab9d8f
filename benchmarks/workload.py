"""The workload: model shapes, lengths of real and synthetic preference data, and counts of FLOP and memory."""

from __future__ import annotations

import ctypes
import gc
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from alignc.runtime.data.example import Example

GSM8K = Path(__file__).resolve().parents[2] / "shared" / "data" / "gsm8k" / "model_solutions.jsonl"
SOLVERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
MEDIANS = {  # tokens of prompt, chosen, rejected
    "gsm8k": (58, 107, 102),
    "hh": (127, 55, 55),
    "ultrafeedback": (121, 288, 270),
    "long-prompt": (700, 110, 110),
}
SPREAD = 0.5  # of the logarithm of a length, where lengths are drawn
LONGEST = 1024


@dataclass(frozen=True)
class Shape:
    hidden: int
    layers: int
    vocabulary: int

    @property
    def inner(self) -> int:
        return 64 * round(self.hidden * 8 / 3 / 64)

    @property
    def backbone(self) -> int:
        return self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.inner)

    @property
    def head(self) -> int:
        return self.vocabulary * self.hidden

    def model(self) -> LlamaForCausalLM:
        torch.manual_seed(0)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=self.vocabulary,
                hidden_size=self.hidden,
                intermediate_size=self.inner,
                num_hidden_layers=self.layers,
                num_attention_heads=self.hidden // 64,
                max_position_embeddings=4096,
                pad_token_id=0,
            )
        )


SHAPES = {"A": Shape(512, 4, 32_768), "B": Shape(512, 4, 131_072), "C": Shape(768, 12, 8_192)}


def draw(kind: str, rows: int, vocabulary: int) -> list[Example]:
    """Draw preference rows with the lengths of ``kind``; the token ids themselves are uniform."""
    random = np.random.default_rng(0)
    lengths = _gsm8k(rows, random) if kind == "gsm8k" and GSM8K.exists() else _lognormal(kind, rows, random)
    return [_example(number, row, random, vocabulary) for number, row in enumerate(lengths)]


def _example(number: int, lengths: tuple[int, ...], random: np.random.Generator, vocabulary: int) -> Example:
    prompt, *responses = (random.integers(1, vocabulary, n).astype(np.int32) for n in lengths)
    return Example(number, f"drawn:{number}", prompt, tuple(responses))


def _lognormal(kind: str, rows: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    drawn = random.lognormal(np.log(MEDIANS[kind]), SPREAD, (rows, 3))
    return [tuple(row) for row in drawn.clip(4, LONGEST).astype(int)]


def _gsm8k(rows: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    """Take the lengths of a question, a right and a wrong solution, in pieces as a tokenizer would cut them."""
    pairs = []
    for line in GSM8K.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        by_mark = {row[name]["is_correct"]: row[name]["solution"] for name in SOLVERS}
        if len(by_mark) == 2:
            pairs.append(tuple(_pieces(text) for text in (row["question"], by_mark[True], by_mark[False])))
    return [pairs[i] for i in random.permutation(len(pairs))[:rows]]


def _pieces(text: str) -> int:
    """Count words, single digits and signs, with one more for BOS or EOS."""
    return 1 + len(re.findall(r"[A-Za-z]+|\d|[^\w\s]|\n", text))


def tokens(rows: list[Example]) -> dict[str, int]:
    """Count tokens: prompts shared, prompts repeated for each response, completions."""
    prompt = sum(len(row.prompt) for row in rows)
    completion = sum(len(response) for row in rows for response in row.responses)
    return {"shared": prompt + completion, "repeated": 2 * prompt + completion, "completion": completion}


def useful_flop(shape: Shape, rows: list[Example]) -> tuple[float, float]:
    """Return the FLOP that a DPO step with a cached reference cannot avoid: backbone, head."""
    count = tokens(rows)
    return 6 * shape.backbone * count["shared"], 6 * shape.head * count["completion"]


def gemm_rate(repeats: int = 5) -> float:
    """Measure FLOP/s of a float32 matrix product of 1,024³ in processor time: the best of a few."""
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.process_time()
        left @ right
        best = min(best, time.process_time() - start)
    return 2 * 1024**3 / best


def resident() -> int:
    """Return this process's resident bytes, after giving freed ones back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status("VmRSS")


def forget_peak() -> None:
    """Set the kernel's mark of the highest resident size back to the present one."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """Return the highest resident bytes since `forget_peak`."""
    return _status("VmHWM")


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) * 1024
