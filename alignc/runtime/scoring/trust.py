"""The verdict of the probe on a model of a run: made once for a kind of model, kept on disk, the same on all ranks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from ...contract.cache import PROBES, cache_folder
from ...contract.failure import Failure
from ..base import fsops
from ..data.example import Example
from ..kernels.attention import causal_lm
from ..kernels.tiles import LogitRule
from ..ranks.world import World
from .probe import Verdict, probe, probe_backbone

__all__ = ["trusted", "verdict_on"]

PROBE = 3
"""The number of the probe: another one forgets the verdicts of before."""
SEEN = 256
"""The numbers of a weight that its size is read from."""
DECIDING = ("torch", "transformers", "peft")


def trusted(
    model: nn.Module,
    examples: Sequence[Example] = (),
    *,
    packing: bool = True,
    scalar: bool = False,
    world: World | None = None,
) -> Verdict:
    """Probe a model, or read the verdict of before; all ranks of ``world`` get one verdict, the most careful of theirs.

    ``scalar`` models have a scalar head: their hidden states are compared. Failure E607 on every rank where one has it.
    """
    work = partial(verdict_on, model, examples, packing=packing, scalar=scalar)
    if world is None or world.size == 1:
        return work()
    outcomes: list[Verdict | Failure] = world.gather(outcome(work))
    for each in outcomes:
        if isinstance(each, Failure):
            raise each
    verdicts = [each for each in outcomes if isinstance(each, Verdict)]
    return min(verdicts, key=lambda verdict: (verdict.rule is not None, verdict.packed))


def outcome(work: Callable[[], Verdict]) -> Verdict | Failure:
    """Give the verdict, or the failure in its place: ranks wait for one another before they stop."""
    try:
        return work()
    except Failure as failure:
        return failure


def verdict_on(model: nn.Module, examples: Sequence[Example], *, packing: bool, scalar: bool) -> Verdict:
    """Read the verdict on this kind of model, or make it and keep it."""
    file = cache_folder() / PROBES / f"{kind_of(model, packing, scalar)}.json"
    known = read(file)
    if known is None:
        known = probe_backbone(model, examples) if scalar else probe(model, examples, packing=packing)
        keep(file, known)
    return known


def kind_of(model: nn.Module, packing: bool, scalar: bool) -> str:
    """Hash what decides how a model computes: class, configuration, adapter, type, versions, rough sizes of weights."""
    base = causal_lm(model)
    config: dict[str, Any] = base.config.to_dict()
    adapters = getattr(model, "peft_config", {})
    facts = [
        PROBE,
        packing,
        scalar,
        f"{type(base).__module__}.{type(base).__qualname__}",
        sorted((k, repr(v)) for k, v in config.items() if not k.startswith("_name")),
        base.config._attn_implementation,
        sorted((name, repr(sorted(vars(value).items(), key=str))) for name, value in adapters.items()),
        [str(base.dtype), str(next(model.parameters()).device.type)],
        [version(name) for name in DECIDING],
        sizes_of(model),
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def sizes_of(model: nn.Module) -> list[str]:
    """Give the rough size of each weight, from a few of its numbers: what is unseen in new weights may show later."""
    parts = [parameter.detach().flatten()[:SEEN] for parameter in model.parameters()]
    return [f"{float(part.abs().max()):.0e}" for part in parts if part.is_floating_point() and part.numel()]


def read(file: Path) -> Verdict | None:
    """Read a verdict; a missing or torn file is None."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        rule = None if data["rule"] is None else LogitRule(**data["rule"])
        return Verdict(bool(data["packed"]), rule, tuple(data["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(file: Path, verdict: Verdict) -> None:
    """Write a verdict in one step; a disk that takes none costs the next run a probe."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(f".{os.getpid()}.tmp")
        aside.write_text(json.dumps(verdict.as_dict()), encoding="utf-8")
        fsops.rename(aside, file)
    except OSError:
        return
