"""What goes with what: the combinations of settings that a job refuses, each with its reason and a way out.

A cell of the table is one value of every axis, such as `engine: deepspeed`, `zero_stage: 3`, `data: prompts`. A cell is
supported unless a row of `REFUSALS` matches it. The compiler asks this table when a spec is checked, and the job asks
it again before it starts, so that both give the same answer.

For example, this cell matches the row `zero3_online` alone:

    {"engine": "deepspeed", "zero_stage": "3", "data": "prompts", …}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .adapters import changes_base
from .engines import DEEPSPEED, ENGINES
from .failure import Failure
from .kinds import GIVEN, ONLINE
from .optimizers import BF16, OPTIMIZERS
from .samplers import SAMPLERS, VLLM
from .tables import look_up

__all__ = [
    "ABSENT",
    "AXES",
    "REFUSALS",
    "Cell",
    "Refusal",
    "cells_of",
    "limits",
    "refusal",
    "refused",
    "require_supported",
]

Cell = Mapping[str, str]
"""A value of every axis."""

VLLM_TEMPERATURES = (0.01, 2.0)
"""The temperatures above 0 that vLLM takes: the coolest and the hottest."""

AXES: Mapping[str, tuple[str, ...]] = {
    "engine": tuple(ENGINES),
    "zero_stage": ("none", "1", "2", "3"),
    "offload": ("none", "cpu"),
    "precision": ("auto", "no", "bf16"),
    "processes": ("one", "several"),
    "data": (*GIVEN, *ONLINE),
    "sampler": ("none", *SAMPLERS),
    "opponent": ("none", "policy", "mixture"),
    "temperature": ("none", "usual", "beyond_vllm"),
    "truncation": ("none", "usual", "min_p_and_top_p"),
    "reference": ("derived", "none", "initial", "path", "adapter_off", "previous_iterate", "ema"),
    "adapter": ("none", "lora", "lora_out_of_base"),
    "quantization": ("none", "4", "8"),
    "policy": ("given", "made"),
    "architecture": ("usual", "no_packed_attention", "no_cache"),
    "layout": ("auto", "packed", "padded"),
    "optimizer": tuple(OPTIMIZERS),
    "weights": ("auto", "float64", "float32", "bfloat16", "float16"),
}
"""Every axis and its values. `none`: the axis says nothing of this job.

The compiler leaves `architecture` out: only a loaded model tells it.
"""

ABSENT: Mapping[tuple[str, str], tuple[str, str]] = {
    ("launch.mixed_precision", "fp16"): (
        "float16 needs a loss scaler. A loss scaler skips steps, and a run that skips steps cannot be repeated",
        "set `mixed_precision: bf16` or `mixed_precision: no`",
    ),
    ("launch.engine", "fsdp"): (
        "alignc has no FSDP engine. DeepSpeed's ZeRO stage 3 shards the weights over the processes as FSDP does",
        "set `engine: deepspeed` and `zero_stage: 3`",
    ),
}
"""Values that other tools have and alignc does not: why, and a way out, by the field and the value."""


@dataclass(frozen=True)
class Refusal:
    """A row: the cells that it matches, and what a person is told of them.

    `when` gives the refused values of each axis that the row reads. `path` is the field of the spec that a finding
    points at; `note` is one sentence for the help of that field, and None where the model decides and not the spec.
    """

    name: str
    code: str
    when: Mapping[str, tuple[str, ...]]
    path: tuple[str, ...]
    message: str
    why: str
    help: str
    note: str | None = None

    def matches(self, cell: Cell) -> bool:
        """Tell whether the row refuses a cell. An axis that the cell leaves out matches nothing."""
        return all(cell.get(axis) in values for axis, values in self.when.items())

    def failure(self, **details: Any) -> Failure:
        """Make the failure of a job; `details` are what `said` takes."""
        return Failure(self.code, self.said(**details), why=self.why, help=self.help)

    def said(self, **details: Any) -> str:
        """Fill the braces of the message: with the values of a cell, or with the `model` that was loaded."""
        return self.message.format(**details)


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "zero3_online",
        "E605",
        {"engine": (DEEPSPEED.name,), "zero_stage": ("3",), "data": ONLINE},
        ("launch", "zero_stage"),
        "an online job samples from whole weights, and ZeRO stage 3 spreads the weights over the processes",
        "each process generates responses by itself, and it holds only a part of the weights under stage 3",
        "set `launch.zero_stage: 2`",
        "Stage 3 takes given rows alone.",
    ),
    Refusal(
        "ema_zero3",
        "E605",
        {"engine": (DEEPSPEED.name,), "zero_stage": ("3",), "reference": ("ema",)},
        ("model", "reference", "kind"),
        "a moving average needs whole weights, and ZeRO stage 3 spreads the weights over the processes",
        "the average is kept beside the policy, weight by weight, and a process holds only a part of them",
        "set `launch.zero_stage: 2`, or another `model.reference`",
        "`ema` does not go with ZeRO stage 3.",
    ),
    Refusal(
        "vllm_processes",
        "E605",
        {"sampler": (VLLM.name,), "processes": ("several",)},
        ("data", "sampler"),
        "`data.sampler: vllm` samples for one process, and several processes train here",
        "each process would start an engine of its own, on a device that is already in use",
        "set `launch.num_processes: 1`, or `data.sampler: transformers`",
        "`vllm` samples for one process alone.",
    ),
    Refusal(
        "vllm_mixture",
        "E602",
        {"sampler": (VLLM.name,), "opponent": ("mixture",)},
        ("data", "sampler"),
        "`data.sampler: vllm` cannot sample from a mixture of two models",
        "the geometric mixture takes the logits of both models at every token, and vLLM runs one model",
        "set `data.sampler: transformers`, or `data.opponent: {kind: policy}`",
        "`vllm` does not go with `opponent: {kind: mixture}`.",
    ),
    Refusal(
        "vllm_temperature",
        "E602",
        {"sampler": (VLLM.name,), "temperature": ("beyond_vllm",)},
        ("data", "temperature"),
        "`data.sampler: vllm` cannot sample at this temperature",
        f"vLLM takes 0, and temperatures from {VLLM_TEMPERATURES[0]} to {VLLM_TEMPERATURES[1]:g}",
        "set `data.sampler: transformers`, or another `data.temperature`",
        f"`sampler: vllm` takes 0, or {VLLM_TEMPERATURES[0]} to {VLLM_TEMPERATURES[1]:g}.",
    ),
    Refusal(
        "vllm_min_p_and_top_p",
        "E602",
        {"sampler": (VLLM.name,), "truncation": ("min_p_and_top_p",)},
        ("data", "min_p"),
        "`data.sampler: vllm` samples from another distribution where `min_p` and `top_p` are both set",
        "vLLM takes the tokens below `min_p` out before `top_p` counts probability, and alignc does so after it",
        "set one of the two, or `data.sampler: transformers`",
        "`sampler: vllm` takes `min_p` or `top_p`, not both.",
    ),
    Refusal(
        "moving_reference_given",
        "E004",
        {"reference": ("previous_iterate", "ema"), "data": GIVEN},
        ("model", "reference", "kind"),
        "`reference: {{kind: {reference}}}` changes from rollout to rollout, but given rows have no rollouts",
        "the reference scores given rows once, so it must not change",
        "set `kind: initial`, or sample online",
        "`previous_iterate` and `ema` need a policy that samples.",
    ),
    Refusal(
        "adapter_off_without_adapter",
        "E006",
        {"reference": ("adapter_off",), "adapter": ("none",)},
        ("model", "reference", "kind"),
        "`reference: {{kind: adapter_off}}` needs `model.adapter`",
        "without an adapter, the reference would be the policy itself",
        "add `adapter: {kind: lora}` to `model`, or set `reference: {kind: initial}`",
        "`adapter_off` needs `model.adapter`.",
    ),
    Refusal(
        "adapter_off_out_of_base",
        "E605",
        {"reference": ("adapter_off",), "adapter": ("lora_out_of_base",)},
        ("model", "reference", "kind"),
        "`reference: {{kind: adapter_off}}` does not go with factors that are taken out of the base",
        "PiSSA and OLoRA move a part of the weights into the adapter, so without it no whole model is left",
        "set `reference: {kind: initial}`: the policy as training began",
        "`adapter_off` does not go with `init_lora_weights: pissa` or `olora`.",
    ),
    Refusal(
        "quantized_without_adapter",
        "E006",
        {"quantization": ("4", "8"), "adapter": ("none",)},
        ("model", "quantization"),
        "`model.quantization` needs `model.adapter`",
        "weights of 4 or 8 bits cannot be trained; an adapter beside them can",
        "add `adapter: {kind: lora}` to `model`, or remove `quantization`",
        "It needs `model.adapter`.",
    ),
    Refusal(
        "quantized_deepspeed",
        "E605",
        {"quantization": ("4", "8"), "engine": (DEEPSPEED.name,)},
        ("model", "quantization"),
        "`model.quantization` does not go with `engine: deepspeed`",
        "DeepSpeed casts and shards all weights as numbers, and those of 4 or 8 bits are codes",
        "set `launch.engine: accelerate`",
        "It does not go with DeepSpeed.",
    ),
    Refusal(
        "quantized_made",
        "E605",
        {"quantization": ("4", "8"), "policy": ("made",)},
        ("model", "quantization"),
        "`model.quantization` needs a policy that some folder or the hub holds",
        "weights become codes while they are read, and a new model is not read",
        "train the new model first, and name its folder in `model.policy`",
        "It needs a policy that is read, not `{init: …}`.",
    ),
    Refusal(
        "packed_architecture",
        "E605",
        {"architecture": ("no_packed_attention",), "layout": ("packed",)},
        ("train", "layout"),
        "{model} takes no packed batches",
        "its attention cannot tell the rows of one stream apart",
        "set `train.layout: auto`",
    ),
    Refusal(
        "architecture_without_cache",
        "E607",
        {"architecture": ("no_cache",), "data": ONLINE},
        ("model", "policy"),
        "{model} keeps no cache of keys and values, so alignc cannot sample from it",
        "a prompt is read once for all of its responses, and each response grows from a copy of the cache",
        "take an architecture with attention alone: Llama, Qwen, Mistral, GPT-2 and similar ones",
    ),
    Refusal(
        "optimizer_sharded",
        "E605",
        {
            "engine": (DEEPSPEED.name,),
            "optimizer": tuple(name for name, row in OPTIMIZERS.items() if not row.sharded),
        },
        ("train", "optim"),
        "DeepSpeed cannot spread `optim: {optimizer}` over the processes",
        "DeepSpeed cuts all weights into equal pieces, and this optimizer needs whole matrices or blocks of them",
        "set `optim: adamw_torch_fused`, or `launch.engine: accelerate`",
        "DeepSpeed takes `adamw_torch_fused`, `adamw_torch`, `rmsprop` and `sgd`.",
    ),
    Refusal(
        "stochastic_wide",
        "E605",
        {"optimizer": (BF16.name,), "weights": ("float64", "float32", "float16")},
        ("train", "optim"),
        "`optim: adamw_bf16_stochastic` trains bfloat16 weights, but `model.dtype` is `{weights}`",
        "its rounding at random is made for bfloat16, and wider weights have no need of it",
        "set `dtype: bfloat16`, or `optim: adamw_torch_fused`",
        "`adamw_bf16_stochastic` needs `model.dtype: bfloat16`, or no `dtype`.",
    ),
)


def refused(cell: Cell) -> list[Refusal]:
    """List the rows that refuse a cell; an empty list means that the cell is supported."""
    return [row for row in REFUSALS if row.matches(cell)]


def refusal(name: str) -> Refusal:
    """Return a row by its name."""
    return next(row for row in REFUSALS if row.name == name)


def limits(path: str) -> str:
    """Return what the table says of a field of the spec, for the help of that field."""
    return " ".join(row.note for row in REFUSALS if row.note and ".".join(row.path) == path)


def cells_of(spec: Mapping[str, Any]) -> Iterator[tuple[str | None, Cell]]:
    """Give the cell of each source of rows, with the name of the source, or None where a spec has one source.

    `spec` is the whole spec as plain data, resolved or not.
    """
    sources = spec["data"].get("sources")
    for name, data in (sources or {None: spec["data"]}).items():
        yield name, {**_launch(spec["launch"]), **_model(spec), **_rows(data)}


def _launch(launch: Mapping[str, Any]) -> dict[str, str]:
    shards = look_up(ENGINES, launch["engine"], "engine").shards
    return {
        "engine": launch["engine"],
        "zero_stage": str(launch["zero_stage"]) if shards else "none",
        "offload": (launch["offload"] or "none") if shards else "none",
        "precision": launch["mixed_precision"] or "auto",
        "processes": "several" if launch["num_processes"] * launch["num_machines"] > 1 else "one",
    }


def _model(spec: Mapping[str, Any]) -> dict[str, str]:
    model = spec["model"]
    return {
        "reference": (model["reference"] or {"kind": "derived"})["kind"],
        "adapter": _adapter(model["adapter"]),
        "quantization": str((model.get("quantization") or {"bits": "none"})["bits"]),
        "policy": "given" if isinstance(model["policy"], str) or "run" in model["policy"] else "made",
        "layout": spec["train"]["layout"],
        "optimizer": spec["train"]["optim"],
        "weights": model["dtype"] or "auto",
    }


def _adapter(adapter: Mapping[str, Any] | None) -> str:
    if adapter is None:
        return "none"
    taken = changes_base(adapter.get("init_lora_weights", True))
    return f"{adapter['kind']}_out_of_base" if taken else str(adapter["kind"])


def _rows(data: Mapping[str, Any]) -> dict[str, str]:
    if data["kind"] not in ONLINE:
        return {"data": data["kind"]} | dict.fromkeys(
            ("sampler", "opponent", "temperature", "truncation"), "none"
        )
    coolest, hottest = VLLM_TEMPERATURES
    usual = data["temperature"] == 0 or coolest <= data["temperature"] <= hottest
    return {
        "data": data["kind"],
        "sampler": data["sampler"],
        "opponent": (data["opponent"] or {"kind": "policy"})["kind"],
        "temperature": "usual" if usual else "beyond_vllm",
        "truncation": "min_p_and_top_p" if data.get("min_p", 0) > 0 and data["top_p"] < 1 else "usual",
    }


def require_supported(spec: Mapping[str, Any]) -> None:
    """Stop a job whose settings the table refuses: raises the failure of the first row that matches."""
    for _, cell in cells_of(spec):
        for row in refused(cell):
            raise row.failure(**cell)
