"""Every preset without a policy gradient, in every form that it has, and random rows to try it on."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from alignc.api import Compiled, lowered
from alignc.load.preset import built_in

__all__ = ["ALL", "Variant", "compiled", "example", "of_spec", "parameters"]


@dataclass(frozen=True)
class Variant:
    """A preset with parameters, on a kind of data. `same_as` names the reference loss."""

    preset: str
    kind: str = "pairwise"
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """An id for a test."""
        return "-".join([self.preset, self.kind, *(f"{k}_{v}" for k, v in self.given.items())])


def _all() -> list[Variant]:
    v = Variant
    pairs = [
        v("dpo"), v("dpo", given={"beta": 0.3, "label_smoothing": 0.2}), v("robust_dpo"),
        v("robust_dpo", given={"label_smoothing": 0.4}), v("ipo"), v("ipo", given={"tau": 0.7, "reduce": "mean"}),
        v("hinge"), v("slic"), v("slic", given={"delta": 3, "sft_weight": 0.4}), v("gpo_exponential"),
        v("simpo"), v("simpo", given={"beta": 10, "gamma": 3}), v("cpo"), v("orpo"),
        v("orpo", given={"lambda": 1.5}), v("r_dpo"), v("r_dpo", given={"alpha": 0.2}), v("dpo_sft"),
        *(v("f_dpo", given={"divergence": d}) for d in ("reverse_kl", "forward_kl", "js", "alpha")),
        v("f_dpo", given={"divergence": "alpha", "alpha": 0.2}), v("nca"), v("apo_zero"), v("apo_down"), v("exo"),
        v("exo", given={"epsilon": 0.2}), v("discopop"), v("dpop"), v("ld_dpo"), v("wpo"), v("cal_dpo"),
        v("cal_dpo", given={"beta": 0.2}), v("alphapo"), v("alphapo", given={"alpha": -0.7}), v("aot"),
        v("aot", given={"label_smoothing": 0.1}), v("reward_model"), v("reward_model", given={"center": 0.1}),
        v("kto"), v("bco"), v("sppo", given={"eta": 5, "hard": True}),
    ]  # fmt: skip
    single = [
        v("sft", "demonstrations"), v("kto", "pointwise"),
        v("kto", "pointwise", {"desirable_weight": 1.3, "undesirable_weight": 0.7}), v("bco", "pointwise"),
        v("dro", "pointwise"), v("dro", "pointwise", {"tau": 0.2}), v("sppo", "pointwise"),
    ]  # fmt: skip
    groups = [
        v("copg", "scored"), v("copg", "scored", {"normalized": False}), v("rebel", "scored"),
        v("rebel", "scored", {"eta": 2.5}), v("sppo", "scored", {"eta": 10}),
    ]  # fmt: skip
    online = [
        v("online_dpo", "prompts"), v("online_dpo", "self_play", {"beta": 0.4}), v("spin", "self_play"),
        v("copg", "prompts"), v("rebel", "prompts", {"eta": 2.5}), v("sppo", "self_play", {"eta": 10}),
    ]  # fmt: skip
    return [*pairs, *single, *groups, *online]


ALL = _all()


def parameters(variant: Variant) -> dict[str, Any]:
    """Give every parameter of a variant its value."""
    defaults = {name: p.default for name, p in built_in(variant.preset).parameters.items()}
    return {**defaults, **variant.given}


VERIFIER = {"kind": "verifier", "name": "exact_number"}
JUDGES: dict[str, dict[str, Any]] = {"prompts": {"reward": VERIFIER}, "self_play": {"oracle": VERIFIER}}


@cache
def _compiled(preset: str, kind: str, given: str) -> Compiled:
    return of_spec({"preset": preset, **json.loads(given)}, kind)


def compiled(variant: Variant) -> Compiled:
    """Load and lower a variant."""
    return _compiled(variant.preset, variant.kind, json.dumps(variant.given))


def of_spec(objective: dict[str, Any], kind: str = "pairwise", overrides: Sequence[str] = ()) -> Compiled:
    """Load and lower a spec with this objective."""
    policy = {"init": "llama", "tokenizer": "bytes"}
    data = {"kind": kind, "source": "x/y", **JUDGES.get(kind, {})}
    spec = {"objective": objective, "model": {"policy": policy}, "data": data}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
        return lowered(path, overrides)


BY_TOKEN = ("ld_dpo", "wpo")


def response(rng: random.Random, preset: str, spread: float = 1.0) -> dict[str, Any]:
    """Draw a response: as sums over its tokens, or as lists where the objective looks at tokens."""
    n = rng.randint(1, 40)
    logp = [-rng.expovariate(1.0) * spread - 1e-3 for _ in range(n)]
    reference = [p + rng.gauss(0, 0.5) * spread for p in logp]
    rollout = [p + rng.gauss(0, 0.2) * spread for p in logp]
    squares = [-rng.expovariate(1.0) for _ in logp]
    if preset in BY_TOKEN:
        return {"logp": logp, "ref_logp": reference, "log_sum_squares": squares}
    return {
        "logp": sum(logp), "ref_logp": sum(reference), "old_logp": sum(rollout), "length": n,
        "reward": rng.gauss(0, 2), "win_rate": rng.random(), "value": rng.gauss(0, 1), "score": rng.gauss(0, 2),
    }  # fmt: skip


def example(rng: random.Random, variant: Variant, spread: float = 1.0) -> dict[str, Any]:
    """Draw a row."""
    if variant.preset in ("online_dpo", "spin") or variant.kind == "pairwise":
        return {y: response(rng, variant.preset, spread) for y in ("chosen", "rejected")}
    if variant.kind in ("scored", "prompts", "self_play"):
        members = [response(rng, variant.preset, spread) for _ in range(rng.randint(2, 6))]
        return {"completions": members}
    row: dict[str, Any] = {"completion": response(rng, variant.preset, spread)}
    return {**row, "label": rng.random() < 0.5} if variant.kind == "pointwise" else row
