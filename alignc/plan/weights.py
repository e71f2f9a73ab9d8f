"""The sizes of the models of a job: exact for `init:` and local folders, else from a given count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from alignc.contract.adapters import ALL_LINEAR
from alignc.load.folder import headers, json_of, text_config
from alignc.plan.shapes import ARCHITECTURES, BYTES_VOCABULARY, Layout, Shape, count, layout_of, parameters

__all__ = ["Weights", "adapter_shapes", "of_folder", "of_init", "of_source", "spared_bytes", "unknown"]

WIDTH = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
BLOCK, NESTED = 64, 256
"""Weights under one scale of 4 bits, and scales under one scale of theirs."""
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


def adapter_shapes(weights: Weights, adapter: Mapping[str, Any]) -> dict[str, Shape]:
    """List what an adapter adds: two factors to each target matrix, and the copies of modules that are trained whole.

    `adapter` is the section of the spec. DoRA also adds the size of each row.
    """
    found: dict[str, Shape] = {}
    for name, (rows, columns) in _matrices(weights.shapes):
        module = name.removesuffix(".weight")
        if _is_target(module, adapter["target_modules"]):
            rank = _rank(module, adapter)
            found |= {f"{name}.lora_A": (rank, columns), f"{name}.lora_B": (rows, rank)}
            found |= {f"{name}.magnitude": (rows,)} if adapter.get("use_dora") else {}
    kept = adapter.get("modules_to_save") or []
    copies = {n: s for n, s in weights.shapes.items() if any(f".{k}." in f".{n}" for k in kept)}
    ends = [shape for name, shape in weights.shapes.items() if "embed_tokens" in name or "wte" in name]
    if "lm_head" in kept and ends and not any("lm_head" in name for name in copies):
        copies["lm_head.weight"] = ends[0]  # tied to the embeddings before: the copy is one of its own
    return found | {f"{name}.copy": shape for name, shape in copies.items()}


def _is_target(module: str, targets: str | list[str]) -> bool:
    """Tell whether a matrix gets an adapter, as PEFT decides it: by the end of its name, or by a pattern of all."""
    if targets == ALL_LINEAR:
        return True
    if isinstance(targets, str) and not re.fullmatch(r"[\w.]+", targets):
        return re.fullmatch(targets, module) is not None
    names = [targets] if isinstance(targets, str) else targets
    return any(module == name or module.endswith(f".{name}") for name in names)


def _rank(module: str, adapter: Mapping[str, Any]) -> int:
    """Find the rank of a module, which a pattern may change."""
    patterns: Mapping[str, int] = adapter.get("rank_pattern") or {}
    own = (rank for name, rank in patterns.items() if re.match(rf"(.*\.)?({name})$", module))
    return int(next(own, adapter["r"]))


def spared_bytes(weights: Weights, quantization: Mapping[str, Any] | None) -> int:
    """Count the bytes that 4 or 8 bits spare of the matrices inside layers.

    A block of 64 weights has a scale of 4 bytes; with `double` a scale has 1 byte, and 256 scales share 4 bytes. In 8
    bits a row has a scale of 4 bytes.
    """
    if quantization is None:
        return 0
    spared = 0
    for _, (rows, columns) in _matrices(weights.shapes):
        numbers = rows * columns
        if quantization["bits"] == 8:
            held = numbers + 4 * rows
        else:
            blocks = -(-numbers // BLOCK)
            scales = blocks + 4 * -(-blocks // NESTED) if quantization["double"] else 4 * blocks
            held = -(-numbers // 2) + scales
        spared += numbers * weights.width - held
    return spared


def _matrices(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, shape in shapes.items():
        if len(shape) == 2 and not any(part in name for part in BEYOND_LAYERS):
            yield name, (shape[0], shape[1])
