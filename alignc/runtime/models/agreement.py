"""The settings of an adapter that goes on: those of its folder. What a spec says beside them must be the same."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from ...contract.adapters import ALL_LINEAR, described, disagreements
from ...contract.failure import Failure
from ...contract.job import Job
from ..kernels.attention import causal_lm
from .adapters import config_of, holds_adapter
from .quantized import as_asked, quantization_in

__all__ = ["require_agreement", "require_all_linear"]

SETTINGS = (
    "r",
    "alpha",
    "dropout",
    "target_modules",
    "rank_pattern",
    "use_rslora",
    "use_dora",
    "init_lora_weights",
    "modules_to_save",
)


def require_agreement(job: Job) -> None:
    """Stop (Failure E616) where the policy brings no adapter, or another one than the spec describes."""
    section = job.spec.model
    assert section.adapter is not None
    source = section.policy
    if not isinstance(source, str) or not holds_adapter(source, section.revision):
        named = f"`{source}`" if isinstance(source, str) else "a model made from a configuration"
        raise Failure(
            "E616",
            f"`start: policy` goes on with the adapter of the policy, but {named} brings none",
            help="set `start: new`",
            **place(job, "start"),
        )
    found = config_of(source, section.revision).to_dict()
    asked = {name: getattr(section.adapter, name) for name in SETTINGS if written(job, name)}
    for name, wanted, held in disagreements(asked, described(found)):
        raise contradiction(job, name, wanted, held)
    require_bits(job, source)


def require_bits(job: Job, source: str) -> None:
    """Stop (Failure E616) where an adapter was trained on a base in other bits than the spec asks for."""
    trained = quantization_in(source)
    if trained is None:
        return
    asked, held = job.spec.model.quantization, as_asked(trained)
    if asked is None or (asked.bits, asked.bits == 4 and (asked.type, asked.double)) != (
        held.bits,
        held.bits == 4 and (held.type, held.double),
    ):
        told = f"{held.bits} bits" + (
            f", {held.type}, double: {str(held.double).lower()}" if held.bits == 4 else ""
        )
        raise Failure(
            "E616",
            f"the adapter that goes on was trained on a base of {told}, and `model.quantization` is not that",
            why=f"`start: policy` goes on with the adapter in `{source}`, and on another base it is another policy",
            help="set `model.quantization` to the same, or set `start: new`, which merges the adapter",
            **place(job, "start"),
        )


def require_all_linear(job: Job, model: nn.Module) -> None:
    """Stop (Failure E616) where the spec says `all-linear` and the adapter that goes on leaves some layer out."""
    assert job.spec.model.adapter is not None
    if job.spec.model.adapter.target_modules != ALL_LINEAR or not written(job, "target_modules"):
        return
    base = causal_lm(model)
    head = base.get_output_embeddings()
    inside = {part for module in base.modules() if hasattr(module, "base_layer") for part in module.modules()}
    left = [
        name
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear) and module is not head and module not in inside
    ]
    if left:
        raise contradiction(job, "target_modules", ALL_LINEAR, f"nothing on `{left[0]}`")


def written(job: Job, name: str) -> bool:
    """Tell whether a user wrote a setting of the adapter, and not the default."""
    found = origin_of(job, name)
    return found is not None and found != "default"


def origin_of(job: Job, name: str) -> str | None:
    """Find where a setting comes from; of a list or a mapping, where its first value does."""
    path = f"model.adapter.{name}"
    return next((o for key, o in job.origins.items() if key == path or key.startswith(f"{path}.")), None)


def place(job: Job, name: str) -> dict[str, Any]:
    """Give the place of a setting in the spec, as a failure takes it."""
    found = re.fullmatch(r"(.+):(\d+):(\d+)", origin_of(job, name) or "")
    return {"file": found[1], "line": int(found[2]), "column": int(found[3])} if found else {}


def contradiction(job: Job, name: str, wanted: str, held: str) -> Failure:
    """Say that a value of the spec is not that of the adapter."""
    assert job.spec.model.adapter is not None
    return Failure(
        "E616",
        f"`{name}` is {wanted}, but the adapter that goes on has {held}",
        why=f"`start: policy` goes on with the adapter in `{job.spec.model.policy}`, whose settings apply",
        help=f"delete `{name}`, or set `start: new` for a new adapter",
        **place(job, name),
    )
