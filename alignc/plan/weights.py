"""The sizes of the models of a job: exact for `init:` and local folders, else from a given count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from alignc.load.folder import headers, json_of, text_config
from alignc.plan.shapes import ARCHITECTURES, BYTES_VOCABULARY, Layout, Shape, count, layout_of, parameters

__all__ = ["Weights", "adapter_shapes", "of_folder", "of_init", "of_source", "unknown"]

WIDTH = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
BEYOND_LAYERS = ("embed", "wte", "wpe", "lm_head", "score")


@dataclass(frozen=True)
class Weights:
    """The weights of a model: names and shapes if known, their number, bytes per number, and the certainty."""

    source: str
    number: int | None
    width: int
    sure: str
    shapes: Mapping[str, Shape]
    layout: Layout | None
    note: str = ""

    @property
    def bytes(self) -> int:
        """The bytes of all weights, or 0 if their number is not known."""
        return (self.number or 0) * self.width

    @property
    def linear(self) -> int:
        """The number of weights in matrices outside embeddings and heads, by which each token is multiplied."""
        inside = {n: s for n, s in self.shapes.items() if not any(part in n for part in BEYOND_LAYERS)}
        matrices = sum(prod(shape) for shape in inside.values() if len(shape) == 2)
        return matrices if self.shapes else (self.number or 0)


def unknown(source: str, given: int | None, width: int | None, why: str) -> Weights:
    """Return unknown weights of a model that must be loaded first; `given` is the count from the user."""
    sure = "unknown" if given is None else "assumed"
    return Weights(source, given, width or 2, sure, {}, None, why)


def of_init(policy: Mapping[str, Any], width: int | None, *, rewards: bool = False) -> Weights:
    """Count the weights of a new model from its configuration."""
    architecture, tokenizer = str(policy["init"]), str(policy.get("tokenizer") or "bytes")
    vocabulary = BYTES_VOCABULARY if tokenizer == "bytes" else _tokens(Path(tokenizer))
    if vocabulary is None:
        return unknown(architecture, None, width or 4, f"the tokenizer in {tokenizer} does not give its size")
    shapes = parameters(architecture, policy, vocabulary, rewards=rewards)
    layout = layout_of(architecture, policy, vocabulary)
    return Weights(f"a new {architecture}", count(shapes), width or 4, "exact", shapes, layout)


def _tokens(folder: Path) -> int | None:
    """Count the tokens of a tokenizer, with its added tokens."""
    data = json_of(folder / "tokenizer.json")
    model, added = data.get("model") or {}, data.get("added_tokens") or []
    listed = model.get("vocab") or {}
    ids = set(listed.values()) if isinstance(listed, dict) else set(range(len(listed)))
    return len(ids | {token["id"] for token in added}) or None


def of_folder(folder: Path, width: int | None, *, rewards: bool | None = None) -> Weights | None:
    """Count the weights in a model's folder from its configuration and the headers of its files.

    None where there is no model. An adapter counts with the base it names, if that is a folder.
    """
    adapter = json_of(folder / "adapter_config.json")
    if adapter:
        base = of_folder(Path(str(adapter.get("base_model_name_or_path"))), width, rewards=rewards)
        return None if base is None else replace(base, source=f"{base.source}, with the adapter in {folder}")
    known = headers(folder)
    shapes = {name: shape for name, (shape, _) in known.items()}
    config = text_config(folder)
    if not shapes or not config:
        return None
    if rewards and "score.weight" not in shapes:
        hidden = int(config.get("hidden_size") or config.get("n_embd") or 0)
        shapes = {n: s for n, s in shapes.items() if "lm_head" not in n} | {"score.weight": (1, hidden)}
    name = str(config.get("model_type"))
    stored = max(WIDTH.get(kind, 2) for _, kind in known.values())
    try:
        layout = layout_of(name, config)
    except KeyError:
        layout = None
    note = "" if name in ARCHITECTURES else f"the activations of {name} are estimated as for llama"
    return Weights(str(folder), count(shapes), width or stored, "exact", shapes, layout, note)


def of_source(
    source: Any,
    width: int | None,
    *,
    given: int | None = None,
    rewards: bool = False,
    maker: Callable[[str], Mapping[str, Any] | str | None] = lambda folder: None,
) -> Weights:
    """Count the weights of a `policy` or of the path of another model.

    `maker` tells what a folder that another spec will fill was made from, where there is nothing in it yet.
    """
    if isinstance(source, Mapping) and "init" in source:
        return of_init(source, width, rewards=rewards)
    name = str(source)
    if not name.startswith("/"):
        return unknown(name, given, width, "a model of the hub: not known until it is loaded")
    found = of_folder(Path(name), width, rewards=rewards)
    if found is not None:
        return found
    origin = maker(name)
    if origin is not None and origin != name:
        made = of_source(origin, width, given=given, rewards=rewards, maker=maker)
        return replace(made, source=f"{name}, made from {made.source}")
    return unknown(name, given, width, "the folder does not exist yet")


def adapter_shapes(weights: Weights, rank: int, targets: str | list[str]) -> dict[str, Shape]:
    """List the two factors that low-rank adaptation adds to each target matrix."""
    return {
        f"{name}.{side}": shape
        for name, (rows, columns) in _matrices(weights.shapes)
        if targets == "all-linear" or name.removesuffix(".weight").rpartition(".")[2] in targets
        for side, shape in (("lora_A", (rank, columns)), ("lora_B", (rows, rank)))
    }


def _matrices(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, shape in shapes.items():
        if len(shape) == 2 and not any(part in name for part in BEYOND_LAYERS):
            yield name, (shape[0], shape[1])
