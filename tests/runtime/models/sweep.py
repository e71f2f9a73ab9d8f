"""Every causal language model of transformers that can be made small: scored, adapted and sampled as alignc does.

`python -m tests.runtime.models.sweep` writes docs/architectures.json and docs/architectures.md. It compares
log-probabilities and gradients with plain `model(...).logits`, row by row, and greedy samples with `generate`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alignc.contract.failure import Failure
from alignc.runtime.data.example import Example
from alignc.runtime.samplers.sample import sample
from alignc.runtime.samplers.sampling import Sampling
from alignc.runtime.scoring.layout import pack, pad
from alignc.runtime.scoring.probe import probe, use
from alignc.runtime.scoring.scorer import Scorer

from .page import DATA, PAGE, VERSIONS, page
from .small import NAMES, WORDS, model_of, stirred

EXACT = {torch.float64: 5e-6, torch.float32: 5e-5}
"""The most that a log-probability may differ from the model's own, in nat or as a share of those above 1 nat."""
SHAPES = ((9, 5, 8), (1, 6, 1), (12, 2, 7))
TOKENS = 6
Slopes = tuple[Tensor | None, ...]


def rows() -> list[Example]:
    """Draw rows that are none of the probe's."""
    draw = np.random.default_rng(5)
    ids = [[draw.integers(3, WORDS, n).astype(np.int32) for n in shape] for shape in SHAPES]
    return [Example(at, "", row[0], tuple(row[1:])) for at, row in enumerate(ids)]


def plain(model: nn.Module, examples: Sequence[Example]) -> Tensor:
    """Score every response by itself with plain transformers, in the order of the rows."""
    values = []
    for row in examples:
        for response in row.responses:
            ids = torch.tensor(np.concatenate([row.prompt, response]), dtype=torch.long)[None]
            logits = model(input_ids=ids, use_cache=False).logits[0, len(row.prompt) - 1 : -1]
            values.append(logits.log_softmax(-1).gather(1, ids[0, len(row.prompt) :, None])[:, 0])
    return torch.cat(values)


def slopes(model: nn.Module, scores: Tensor) -> Slopes:
    """Differentiate a sum in which each token weighs differently."""
    trained = [p for p in model.parameters() if p.requires_grad]
    weights = torch.linspace(0.5, 1.5, len(scores), dtype=scores.dtype)
    return torch.autograd.grad((scores * weights).sum(), trained, allow_unused=True)


def slopes_apart(ours: Slopes, theirs: Slopes) -> float:
    """Compare gradients, as a share of the largest of each weight."""
    worst = 0.0
    largest = max((float(b.abs().max()) for b in theirs if b is not None), default=1.0)
    for a, b in zip(ours, theirs, strict=True):
        if b is not None:
            other = torch.zeros_like(b) if a is None else a
            worst = max(worst, float((other - b).abs().max()) / largest)
    return worst


def compared(model: nn.Module) -> dict[str, Any]:
    """Probe a model, score rows as its verdict says, and compare with plain transformers."""
    examples = rows()
    try:
        verdict = probe(model, examples[:1])
    except Failure as failure:
        return {"refused": failure.message}
    expected = plain(model, examples)
    theirs = slopes(model, expected)
    use(model, verdict)
    batch = pack(examples) if verdict.packed else pad(examples)
    found = Scorer(model)(batch)[batch.mask]
    off = (found - expected).detach().abs() / expected.detach().abs().clamp_min(1.0)
    rule = verdict.rule
    return {
        "layout": "packed" if verdict.packed else "padded",
        "head": "own code" if rule is None else dataclasses.asdict(rule),
        "notes": list(verdict.notes),
        "off": float(off.max()),
        "slopes": slopes_apart(slopes(model, found), theirs),
    }


def adapted(model: nn.Module) -> dict[str, Any]:
    """Put an adapter on all linear layers, and compare again."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
    )
    try:
        wrapped: nn.Module = get_peft_model(model, config)
    except Exception as problem:
        return {"refused": first_line(problem)}
    return compared(wrapped.eval())


def sampled(model: nn.Module) -> dict[str, Any]:
    """Compare greedy samples with `generate`."""
    draw = np.random.default_rng(6)
    prompts = [draw.integers(3, WORDS, n).astype(np.int32) for n in (5, 3)]
    greedy = Sampling(1, TOKENS, 0.0, 1.0, (), 0)
    try:
        found = sample(model, prompts, [0, 1], greedy, seed=0, batch_size=2, each=lambda: None)
    except Failure as failure:
        return {"refused": failure.message}
    options: dict[str, Any] = {
        "max_new_tokens": TOKENS,
        "do_sample": False,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    same = []
    for prompt, (ours, *_) in zip(prompts, found, strict=True):
        ids = torch.from_numpy(prompt.astype(np.int64))[None]
        whole: Any = model.generate(ids, attention_mask=torch.ones_like(ids), **options)  # type: ignore[operator]
        same.append(whole[0, len(prompt) :].tolist() == ours.tolist())
    return {"same": all(same)}


def first_line(problem: BaseException) -> str:
    """Take the first line of what an exception says."""
    return f"{type(problem).__name__}: {(str(problem).strip().splitlines() or [''])[0][:160]}"


def told(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do work, and tell an exception in the place of its result."""
    try:
        return work()
    except Exception as problem:
        return {"crashed": first_line(problem)}


@torch.no_grad()
def computes(model: nn.Module) -> bool:
    """Tell whether a model computes in its type: some do so in float32 alone, and some masks overflow in float64."""
    ids = torch.arange(3, 27).view(1, 24).repeat(2, 1)
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    try:
        return not bool(model(input_ids=ids, attention_mask=mask, use_cache=False).logits.isnan().any())
    except Exception:
        return False


def examined(name: str) -> dict[str, Any]:
    """Examine one architecture."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    from transformers.utils import logging

    logging.set_verbosity_error()
    dtype, found = torch.float64, dict[str, Any]()
    try:
        model = model_of(name, dtype)
    except Exception as problem:
        return {"name": name, "built": first_line(problem)}
    if not computes(model):
        dtype = torch.float32
        model = model_of(name, dtype)
    drawn = told(lambda: {"layout": "packed" if probe(model).packed else "padded"})
    stirred(model)
    found = {"name": name, "class": type(model).__name__, "dtype": str(dtype).removeprefix("torch.")}
    found["drawn"] = drawn
    found["scored"] = told(lambda: compared(model))
    found["sampled"] = told(lambda: sampled(model))
    found["adapted"] = told(lambda: adapted(stirred(model_of(name, dtype))))
    return found


def silent(found: dict[str, Any]) -> list[str]:
    """List what differs from plain transformers without a word."""
    if "built" in found:
        return []
    limit = EXACT[getattr(torch, found["dtype"])]
    wrong = [
        f"{found['name']}: {part} {measure} {found[part][measure]:.2g}"
        for part in ("scored", "adapted")
        for measure, most in (("off", limit), ("slopes", 20 * limit))
        if measure in found[part] and not found[part][measure] <= most
    ]
    wrong += [
        f"{found['name']}: {part} {found[part]['crashed']}"
        for part in ("scored",)
        if "crashed" in found[part]
    ]
    wrong += [f"{found['name']}: sampled otherwise"] if found["sampled"].get("same") is False else []
    return wrong


def sweep(names: Sequence[str], jobs: int) -> list[dict[str, Any]]:
    """Examine architectures, each in a process that can't spoil the next."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {name: pool.submit(examined, name) for name in names}
        found = []
        for name, future in futures.items():
            try:
                found.append(future.result())
            except Exception as problem:
                found.append({"name": name, "built": first_line(problem)})
            print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    """Run the sweep, and write its data and its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="architectures; all of them where left out, and then files are written"
    )
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    found = sweep(options.names or NAMES, options.jobs)
    for line in (line for each in found for line in silent(each)):
        print(f"DIFFERS {line}")
    if not options.names:
        write(found)


def write(found: Sequence[dict[str, Any]]) -> None:
    """Write the data and the page."""
    missing = sorted(set(NAMES) - {each["name"] for each in found})
    versions = {name: version(name) for name in VERSIONS}
    data = {"versions": versions, "architectures": list(found), "missing": missing}
    DATA.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(data), encoding="utf-8")


if __name__ == "__main__":
    main()
