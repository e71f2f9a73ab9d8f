"""Memory of one process, item by item and phase by phase. Bytes; the formulas are spelt out beside each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alignc.contract.engines import zero_stage
from alignc.contract.kinds import ONLINE
from alignc.contract.optimizers import OPTIMIZERS, OptimizerRow
from alignc.contract.sizes import CHUNK_TOKENS, KEEP_BYTES, TILE_BYTES
from alignc.plan.schedule import Tokens
from alignc.plan.shapes import Layout
from alignc.plan.weights import Weights

__all__ = [
    "Item",
    "Models",
    "Phase",
    "beside_policy",
    "layer_bytes",
    "phases",
    "training_bytes",
    "width_in_memory",
]

FACTOR = 2.0
"""An estimate is within this factor of what is measured, either way."""


@dataclass(frozen=True)
class Item:
    """Bytes of one thing; `sure`: exact, formula (of the sharding), estimate (within a factor of 2), bound, unknown."""

    role: str
    what: str
    bytes: int
    sure: str
    where: str = "device"


@dataclass(frozen=True)
class Phase:
    """What is in memory at once in one process."""

    name: str
    items: tuple[Item, ...]

    @property
    def total(self) -> int:
        """Bytes on the device."""
        return sum(item.bytes for item in self.items if item.where == "device")

    @property
    def least(self) -> int:
        """Bytes that there are at the least: an estimate counts by the factor less, a bound not at all."""
        share = {"exact": 1.0, "formula": 1.0, "assumed": 1.0, "estimate": 1 / FACTOR}
        found = (item.bytes * share.get(item.sure, 0.0) for item in self.items if item.where == "device")
        return int(sum(found))

    @property
    def known(self) -> Phase:
        """The phase with what is known to the byte alone: weights, gradients, optimizer states; nothing estimated."""
        return Phase(self.name, tuple(item for item in self.items if item.sure in ("exact", "formula")))


@dataclass(frozen=True)
class Models:
    """The models of a job: the policy with what is trained of it, and those that stand beside it."""

    policy: Weights
    trained: int
    added: int
    tensors: int
    reference: Weights | None = None
    reference_stays: bool = False
    critic: Weights | None = None
    rewards: tuple[Weights, ...] = ()
    spared: int = 0
    """Bytes that the base of an adapter takes less in 4 or 8 bits."""

    @property
    def sure(self) -> str:
        """How sure the policy's size is."""
        return self.policy.sure

    @property
    def adapted(self) -> bool:
        """Whether an adapter alone is trained; peft keeps it in float32 at the least."""
        return self.trained == self.added and self.added > 0


def layer_bytes(layout: Layout, width: int) -> int:
    """Bytes a token leaves in one layer for the backward, read off the operations of the models.

    Norms keep their input, its normalised form and their output; attention keeps queries, keys and values, the latter
    repeated for every head, its output and the output laid out anew; a gated layer keeps four inner vectors. GPT-2's
    norms keep only their input, and its activation is a chain of seven operations.
    """
    h, q, kv, inner = layout.hidden, layout.query, layout.key_value, layout.inner
    attention = 2 * q + 2 * (q if kv != q else kv) + q
    numbers = 6 * h + attention + 4 * inner if layout.gated else 4 * h + attention + 7 * inner
    return numbers * width


def training_bytes(layout: Layout, tokens: int, scored: int, width: int, *, checkpointing: bool) -> int:
    """Bytes that a micro-batch leaves for its backward: the layers', the last norm's, and the kept logits."""
    exact = 8 if width == 8 else 4
    logits = scored * layout.vocabulary * exact
    kept = logits if logits <= KEEP_BYTES else min(logits, TILE_BYTES)
    layers = layout.layers * tokens * (layout.hidden * width if checkpointing else layer_bytes(layout, width))
    again = tokens * layer_bytes(layout, width) if checkpointing else 0
    return layers + again + 3 * tokens * layout.hidden * width + scored * layout.hidden * width + kept


def working_bytes(layout: Layout, tokens: int, scored: int, width: int) -> int:
    """Bytes of a forward without a backward: the widest part of one layer, and a tile of logits."""
    exact = 8 if width == 8 else 4
    widest = 3 * layout.hidden + max(4 * layout.query, 3 * layout.inner)
    return tokens * widest * width + min(scored * layout.vocabulary * exact, TILE_BYTES)


def phases(
    spec: Mapping[str, Any],
    models: Models,
    tokens: Tokens,
    all_tokens: int | None = None,
    beside: tuple[Item, ...] | None = None,
) -> tuple[Phase, ...]:
    """Lay out the phases of a run, in their order. `all_tokens`: of the data, which a small set has few of.

    `beside`: the models beside the policy, where they are not those of `models` alone.
    """
    train = spec["train"]
    resident = tuple(_resident(spec, models))
    state = tuple(_state(spec, models))
    beside = tuple(beside_policy(models)) if beside is None else beside
    rows, held = train["per_device_train_batch_size"], train["per_device_eval_batch_size"]
    found = [Phase("load", (*resident, *beside))]
    if models.reference is not None and not models.reference_stays:
        found.append(
            Phase(
                "reference pass",
                (*resident, *_reference_pass(spec, models, min(CHUNK_TOKENS, all_tokens or CHUNK_TOKENS))),
            )
        )
    if spec["data"]["kind"] in ONLINE:
        found.append(Phase("rollout", (*resident, *state, *beside, *_generation(spec, models, tokens))))
    gradients = tuple(_gradients(spec, models))
    step = tuple(_step(spec, models, tokens, rows))
    found.append(Phase("train step", (*resident, *gradients, *state, *beside, *step)))
    if spec["data"].get("eval"):
        forward = _forward(
            "forward", spec, models, held * tokens.longest_backbone, held * tokens.longest_scored
        )
        found.append(Phase("eval", (*resident, *state, *beside, *forward)))
    found.append(Phase("save", (*resident, *state, *beside, *_copies(spec, models))))
    return tuple(found)


def stage_of(spec: Mapping[str, Any]) -> int:
    """Give ZeRO's stage; 0 where every process has all."""
    return zero_stage(spec["launch"]["engine"], int(spec["launch"]["zero_stage"]))


def _split(spec: Mapping[str, Any], size: int, from_stage: int) -> int:
    stage, processes = stage_of(spec), spec["launch"]["num_processes"]
    return -(-size // processes) if stage >= from_stage else size


def _optimizer(spec: Mapping[str, Any]) -> OptimizerRow:
    return OPTIMIZERS[spec["train"]["optim"]]


def _asked(spec: Mapping[str, Any]) -> str | None:
    """What the spec says of the precision of products."""
    asked: str | None = spec["launch"]["mixed_precision"]
    return asked or {True: "bf16", False: "no"}.get(spec["train"]["bf16"])


def _narrow(spec: Mapping[str, Any]) -> bool:
    """Whether products are bfloat16 on any device: what a GPU chooses by itself is not counted."""
    asked = _asked(spec)
    return asked == "bf16" or (asked is None and spec["model"]["dtype"] == "bfloat16")


def width_in_memory(spec: Mapping[str, Any], stored: int) -> int:
    """Bytes of a weight of the policy in memory: float32 at the least where all weights are trained.

    Under an adapter the weights stay as they are stored. DeepSpeed narrows the model itself, autocast does not.
    """
    if (stage_of(spec) and _narrow(spec)) or not _optimizer(spec).wide:
        return 2
    kept = spec["model"]["adapter"] is not None and _asked(spec) != "no"
    return stored if kept else max(4, stored)


def weight_width(spec: Mapping[str, Any], models: Models) -> int:
    """Bytes of a weight of the policy in memory."""
    return width_in_memory(spec, models.policy.width)


def trained_width(spec: Mapping[str, Any], models: Models) -> int:
    """Bytes of a weight that is trained."""
    width = weight_width(spec, models)
    return max(4, width) if models.adapted and not stage_of(spec) else width


def compute_width(spec: Mapping[str, Any], models: Models) -> int:
    """Bytes of an activation."""
    return 2 if _narrow(spec) else weight_width(spec, models)


def _sure(models: Models, spec: Mapping[str, Any]) -> str:
    return "formula" if models.sure == "exact" and stage_of(spec) else models.sure


def _numbers(models: Models) -> int:
    critic = models.critic.number or 0 if models.critic else 0
    return (models.policy.number or 0) + models.added + critic


def _resident(spec: Mapping[str, Any], models: Models) -> Iterator[Item]:
    width = weight_width(spec, models)
    policy = (models.policy.number or 0) * width + models.added * trained_width(spec, models)
    policy -= models.spared
    yield Item("policy", "weights", _split(spec, policy, 3), _sure(models, spec))
    if models.critic is not None:
        own = (models.critic.number or 0) * width
        yield Item("critic", "weights", _split(spec, own, 3), models.critic.sure)


def beside_policy(models: Models) -> Iterator[Item]:
    """List the models that stay in memory beside the policy."""
    if models.reference is not None and models.reference_stays:
        yield Item("reference", "weights", models.reference.bytes, models.reference.sure)
    for reward in models.rewards:
        yield Item("reward model", "weights", reward.bytes, reward.sure)


def _trained(models: Models) -> int:
    critic = models.critic.number or 0 if models.critic else 0
    return models.trained + critic


def _gradients(spec: Mapping[str, Any], models: Models) -> Iterator[Item]:
    size = _trained(models) * trained_width(spec, models)
    yield Item("policy", "gradients", _split(spec, size, 2), _sure(models, spec))


def _state(spec: Mapping[str, Any], models: Models) -> Iterator[Item]:
    optimizer, trained = _optimizer(spec), _trained(models)
    where = "host" if spec["launch"]["offload"] else "device"
    if stage_of(spec):
        master, size = "float32 copy of the weights", optimizer.state_bytes * trained
        yield Item("policy", master, _split(spec, 4 * trained, 1), _sure(models, spec), where)
        yield Item("policy", "optimizer", _split(spec, size, 1), _sure(models, spec), where)
        return
    counters = 4 * models.tensors if optimizer.counter else 0
    doubled = 2 if trained_width(spec, models) == 8 else 1
    yield Item("policy", "optimizer", doubled * optimizer.state_bytes * trained + counters, models.sure)


def _step(spec: Mapping[str, Any], models: Models, tokens: Tokens, rows: int) -> Iterator[Item]:
    width = compute_width(spec, models)
    if _narrow(spec) and not stage_of(spec) and weight_width(spec, models) > 2:
        yield Item("policy", "weights cast by autocast", 2 * models.policy.linear, "estimate")
    for role, layout, copies in _towers(models):
        if layout is None:
            yield Item(role, "activations", 0, "unknown")
            continue
        size = training_bytes(
            layout,
            rows * tokens.longest_backbone * copies,
            rows * tokens.longest_scored if role == "policy" else 0,
            width,
            checkpointing=spec["train"]["activation_checkpointing"],
        )
        yield Item(role, "activations", size, _of_rows(tokens))


def _towers(models: Models) -> Iterator[tuple[str, Layout | None, int]]:
    yield "policy", models.policy.layout, 1
    if models.critic is not None:
        yield "critic", models.critic.layout, 1


def _of_rows(tokens: Tokens) -> str:
    """An activation figure is an estimate where lengths are known, else a bound from `max_length`."""
    return "estimate" if tokens.sure == "estimate" else "bound"


def _forward(what: str, spec: Mapping[str, Any], models: Models, tokens: int, scored: int) -> Iterator[Item]:
    layout = models.policy.layout
    if layout is not None:
        size = working_bytes(layout, tokens, scored, compute_width(spec, models))
        yield Item("policy", what, size, "estimate")


def _reference_pass(spec: Mapping[str, Any], models: Models, chunk: int) -> Iterator[Item]:
    reference = models.reference
    if reference is not None and reference is not models.policy:
        yield Item("reference", "weights", reference.bytes, reference.sure)
    yield from _forward("forward", spec, models, chunk, chunk)


def _generation(spec: Mapping[str, Any], models: Models, tokens: Tokens) -> Iterator[Item]:
    """Keys and values of all responses that are decoded at once: 2 · layers · kv heads · head size · tokens · bytes."""
    layout, data, train = models.policy.layout, spec["data"], spec["train"]
    if layout is None:
        return
    width = compute_width(spec, models)
    at_once = train["per_device_eval_batch_size"] * data["completions_per_prompt"]
    length = min(train["max_length"], tokens.longest_backbone // (1 if tokens.packed else tokens.responses))
    length = min(length, int(tokens.longest_backbone - tokens.longest_scored) + data["max_new_tokens"])
    cache = 2 * layout.layers * layout.key_value * length * at_once * width
    yield Item("policy", "keys and values of sampled responses", cache, "bound")
    yield Item("policy", "logits of one token per response", at_once * layout.vocabulary * 4, "bound")


def _copies(spec: Mapping[str, Any], models: Models) -> Iterator[Item]:
    """Under ZeRO rank 0 gathers full weights and optimizer state in the host's memory."""
    if stage_of(spec):
        whole = (4 + _optimizer(spec).state_bytes) * _trained(models)
        yield Item("policy", "gathered weights and optimizer state, on rank 0", whole, "formula", "host")
