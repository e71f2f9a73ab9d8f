"""A first spec for a method, for the docs and for `alignc init`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alignc.contract.kinds import ONLINE
from alignc.contract.rewards import VERIFIER
from alignc.load.preset import Preset
from alignc.yaml.scalars import resolve_scalar

__all__ = ["TINY", "Start", "flow", "judged", "sample_rows", "smallest", "starter"]

TINY: Mapping[str, Any] = {
    "init": "llama",
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "tokenizer": "bytes",
}
"""A new model with random weights, which trains on a laptop."""

_PLAIN = re.compile(r"[\w./][\w./-]*")


@dataclass(frozen=True)
class Start:
    """The contents of a first spec: the method, its model and its data."""

    name: str
    preset: str
    policy: str | Mapping[str, Any]
    kind: str
    source: str
    columns: Mapping[str, str] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    judge: Mapping[str, Any] = field(default_factory=dict)
    schema: str | None = None


def starter(start: Start) -> str:
    """Write a first spec of at most 12 lines."""
    data: dict[str, Any] = {"kind": start.kind, "source": start.source}
    if start.columns:
        data["columns"] = dict(start.columns)
    sections: dict[str, Any] = {
        "version": 1,
        "name": start.name,
        "objective": {"preset": start.preset},
        "model": {"policy": start.policy},
        "data": data | dict(start.judge),
        **({"train": dict(start.train)} if start.train else {}),
        "output_dir": f"runs/{start.name}",
    }
    modeline = [f"# yaml-language-server: $schema={start.schema}"] if start.schema else []
    return "\n".join([*modeline, *(f"{key}: {flow(value)}" for key, value in sections.items())]) + "\n"


def smallest(preset: Preset) -> str:
    """Write the smallest spec of a method."""
    kind = preset.data[0]
    source = {"pairwise": "pairs", "self_play": "prompts"}.get(kind, kind)
    data = {"kind": kind, "source": f"{source}.jsonl", **judged(preset, kind)}
    return (
        f"objective: {{preset: {preset.preset}}}\n"
        "model: {policy: Qwen/Qwen2.5-0.5B-Instruct}\n"
        f"data: {flow(data)}\n"
    )


def judged(preset: Preset, kind: str) -> dict[str, Any]:
    """Return a reward for sampled responses, or an oracle if the preset needs win rates."""
    if kind not in ONLINE or any(term.get("pairs") == "demonstration" for term in preset.terms):
        return {}
    wins = any("win_rate" in (t.get("reward"), (t.get("target") or {}).get("kind")) for t in preset.terms)
    return {"oracle" if wins else "reward": {"kind": VERIFIER.name, "name": "exact_number"}}


def flow(value: Any) -> str:
    """Write a value on one line of YAML; text is quoted if it would have another meaning without quotes."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and resolve_scalar(value) == value
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def sample_rows(kind: str) -> list[dict[str, Any]]:
    """Make 64 rows of sums with a correct answer and an answer that is off by one."""
    sums = [(left, right) for left in range(2, 10) for right in range(2, 10)]
    return [_row(kind, f"{left}+{right}=", left + right, index) for index, (left, right) in enumerate(sums)]


def _row(kind: str, prompt: str, answer: int, index: int) -> dict[str, Any]:
    right, wrong = str(answer), str(answer + 1)
    good = index % 2 == 0
    rows: dict[str, dict[str, Any]] = {
        "pairwise": {"chosen": right, "rejected": wrong},
        "demonstrations": {"completion": right},
        "pointwise": {
            "completion": right if good else wrong,
            "label": good,
            "reward": float(good),
            "win_rate": 0.75 if good else 0.25,
        },
        "scored": {"completions": [right, wrong], "rewards": [1.0, 0.0], "win_rates": [0.75, 0.25]},
    }
    rows["self_play"] = {"answer": right, "completion": right}
    return {"prompt": prompt, **rows.get(kind, {"answer": right})}
