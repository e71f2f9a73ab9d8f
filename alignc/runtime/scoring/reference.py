"""Reference log-probabilities, computed once per token and kept on disk by content.

The rows are cut into chunks by their lengths alone, so that a value never depends on the number of ranks or
on where an earlier run was killed. A chunk's file is named by a hash of what decides its values: the model's
weights, the way they are computed, and the token ids of the chunk's rows. Later epochs, later runs and sweeps
read it back.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from ...contract.cache import cache_folder
from ...contract.job import Job
from ...contract.sizes import CHUNK_TOKENS
from ..base import fsops
from ..base.progress import Progress
from ..data.example import Example
from ..kernels.attention import causal_lm
from ..kernels.heads import head_rule
from ..models.adapters import is_adapted, settings_of
from ..models.critic import parted
from .micro import BatchLayout
from .outputs import RowValues
from .scorer import Scorer

__all__ = ["chunks", "model_key", "read_rows", "reference_log_probs"]


def chunks(examples: Sequence[Example], tokens: int = CHUNK_TOKENS) -> list[list[Example]]:
    """Cut rows into runs of about ``tokens`` tokens: a function of their lengths alone."""
    cut: list[list[Example]] = []
    held = tokens
    for example in examples:
        length = len(example.prompt) + sum(len(response) for response in example.responses)
        if held + length > tokens:
            cut.append([])
            held = 0
        cut[-1].append(example)
        held += length
    return cut


def model_key(model: nn.Module, layout: BatchLayout, *, adapter_off: bool = False) -> str:
    """Hash everything that decides a model's log-probabilities: weights, layout, types and torch's version."""
    digest = hashlib.sha256(
        f"2 {layout.describe()} {head_rule(causal_lm(model))} {torch.__version__}".encode()
    )
    config: dict[str, Any] = causal_lm(model).config.to_dict()
    digest.update(repr(sorted((k, v) for k, v in config.items() if not k.startswith("_name"))).encode())
    if is_adapted(model) and not adapter_off:  # the same factors in another kind or scale are another model
        digest.update(repr(settings_of(model)).encode())
    for name, value in sorted(parted(model.state_dict())[0].items()):
        if not (adapter_off and (".lora_" in name or ".modules_to_save." in name)):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            raw: Any = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            digest.update(memoryview(raw))
    return digest.hexdigest()[:32]


def chunk_key(chunk: Sequence[Example]) -> str:
    """Hash the token ids of a chunk's rows."""
    digest = hashlib.sha256()
    for example in chunk:
        for ids in (example.prompt, *example.responses):
            digest.update(np.int64(len(ids)).tobytes() + np.ascontiguousarray(ids, dtype="<i4").tobytes())
        digest.update(b"\xff")
    return digest.hexdigest()[:32]


def read_rows(folder: Path, examples: Sequence[Example]) -> list[RowValues] | None:
    """Read every row's log-probabilities from a model's cache, or None where a chunk is missing."""
    rows: list[RowValues] = []
    for chunk in chunks(examples):
        of_chunk = read_chunk(folder, chunk)
        if of_chunk is None:
            return None
        rows += of_chunk
    return rows


def read_chunk(folder: Path, chunk: Sequence[Example]) -> list[RowValues] | None:
    """Read one chunk; a missing, torn or foreign file is None."""
    lengths = [len(response) for example in chunk for response in example.responses]
    try:
        values = load_file(folder / f"{chunk_key(chunk)}.safetensors")["logps"]
    except (OSError, SafetensorError, KeyError):
        return None
    if len(values) != sum(lengths):
        return None
    pieces = iter(np.split(values, np.cumsum(lengths)[:-1]))
    return [tuple(next(pieces) for _ in example.responses) for example in chunk]


def write_chunk(folder: Path, chunk: Sequence[Example], values: np.ndarray) -> None:
    """Write one chunk in one step."""
    target = folder / f"{chunk_key(chunk)}.safetensors"
    aside = target.with_suffix(f".{os.getpid()}.tmp")
    save_file({"logps": values}, aside)
    fsops.sync(aside)
    fsops.rename(aside, target)


def reference_log_probs(
    job: Job,
    examples: Sequence[Example],
    model: nn.Module,
    layout: BatchLayout,
    *,
    rank: int = 0,
    world: int = 1,
    each: Callable[[], bool] = lambda: True,
    what: str = "reference",
) -> str:
    """Compute this rank's chunks (rank, rank + world, …) that the cache lacks; return the model's key.

    ``each`` is asked before every chunk and stops the work by False. Read the rows with `read_rows` when
    every rank is done. The first rank says how far it is with its own rows. ``what`` names the anchor; one other than
    the reference is a model of its own.
    """
    adapter_off = what == "reference" and job.spec.model.reference.kind == "adapter_off"
    key = model_key(model, layout, adapter_off=adapter_off)
    folder = cache_folder() / "reference" / key
    folder.mkdir(parents=True, exist_ok=True)
    training = model.training
    model.eval()
    with torch.no_grad(), disabled(model) if adapter_off else nullcontext():
        mine = chunks(examples)[rank::world]
        with Progress(what, "rows", sum(map(len, mine)), shown=rank == 0) as progress:
            for chunk, values in scored(mine, folder, Scorer(model), layout, each, progress):
                write_chunk(folder, chunk, values)
    model.train(training)
    return key


def scored(
    cut: Sequence[list[Example]],
    folder: Path,
    scorer: nn.Module,
    layout: BatchLayout,
    each: Callable[[], bool],
    progress: Progress,
) -> Iterator[tuple[list[Example], np.ndarray]]:
    """Score the chunks that the cache lacks: their responses' log-probabilities, end to end."""
    for chunk in cut:
        if not each():
            return
        cached = read_chunk(folder, chunk) is not None
        if not cached:
            batch = layout.batch(chunk)
            with layout.precision():
                logps = scorer(batch)
            yield chunk, logps[batch.mask].cpu().numpy()
        progress.add(len(chunk), free=cached)


def disabled(model: Any) -> Any:
    """Switch a model's adapter off for a while."""
    return model.disable_adapter()
