"""Every online method, and every choice of a policy gradient, beside the same said to the reference implementation."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from alignc.api import Compiled, lowered

from .reference_policy import Method

__all__ = ["METHODS", "PRESETS", "Online", "compiled_online", "example", "response"]


@dataclass(frozen=True)
class Online:
    """An objective as a spec gives it, and what it means."""

    name: str
    objective: dict[str, Any]
    means: Method
    data: dict[str, Any] = field(default_factory=dict)
    waived: str = ""
    """The code of an objective that is unsound, and evaluated all the same."""


def _preset(preset: str, means: Method, **given: Any) -> Online:
    name = "-".join([preset, *(f"{k}_{v}" for k, v in given.items())])
    return Online(name, {"preset": preset, **given}, means)


def _term(name: str, means: Method, **axes: Any) -> Online:
    term = {"name": "policy", "kind": "policy_gradient", **axes}
    return Online(name, {"terms": [term]}, means)


CLIP = ("clipped", 0.2, 0.2, None)
K3 = ("k3", "loss", 0.04, "token")
GRPO_STD = ("group_std", 1, 1e-4)

PRESETS = [
    _preset(
        "ppo", Method(CLIP, aggregation="global_token_mean", given=True, value=(0.1, 0.2))
    ),
    _preset(
        "ppo",
        Method(("clipped", 0.1, 0.1, None), aggregation="global_token_mean", given=True, value=(0.5, 0.4)),
        clip_range=0.1, value_weight=0.5, value_clip_range=0.4, kl=None, whiten=False,
    ),
    _preset("reinforce", Method()),
    _preset("reinforce", Method(baseline=("constant", 0.5)), baseline={"kind": "constant", "value": 0.5}),
    _preset("reinforce", Method(baseline=("leave_one_out",)), baseline="leave_one_out"),
    _preset(
        "reinforce", Method(kl=("k2", "loss", 0.1, "sequence")),
        kl={"estimator": "k2", "placement": "loss", "beta": 0.1, "granularity": "sequence"},
    ),
    _preset("rloo", Method(baseline=("leave_one_out",), kl=("k1", "reward", 0.03, "sequence"))),
    _preset("rloo", Method(baseline=("leave_one_out",)), kl=None),
    _preset("grpo", Method(CLIP, aggregation="token_mean", baseline=GRPO_STD, kl=K3)),
    _preset("grpo", Method(CLIP, aggregation="token_mean", baseline=GRPO_STD), kl=None),
    _preset("dr_grpo", Method(CLIP, aggregation="fixed_length", baseline=("group_mean",))),
    _preset(
        "dapo", Method(("clipped", 0.2, 0.28, None), aggregation="global_token_mean", baseline=GRPO_STD)
    ),
    _preset("gspo", Method(("clipped", 3e-4, 4e-4, None), "sequence_mean", baseline=GRPO_STD)),
    _preset(
        "gspo", Method(("clipped", 0.05, 0.1, None), "sequence_mean", baseline=GRPO_STD),
        clip_low=0.05, clip_high=0.1,
    ),
    _preset("cispo", Method(("cispo", 1, 4), aggregation="global_token_mean", baseline=GRPO_STD)),
    _preset(
        "cispo", Method(("cispo", 0.1, 0.1), aggregation="global_token_mean", baseline=GRPO_STD),
        clip_low=0.1, clip_high=0.1,
    ),
    _preset("reinforce_pp", Method(CLIP, aggregation="global_token_mean", given=True)),
    Online(
        "nash_md", {"preset": "nash_md"},
        Method(reward="win_rate", baseline=("constant", 0.5), kl=("k2", "loss", 0.1, "token")),
        {"oracle": {"kind": "verifier", "name": "exact_number"}},
    ),
]  # fmt: skip


def _surrogates() -> list[Online]:
    """Every surrogate by every ratio."""
    kinds: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("importance",), {"kind": "importance"}),
        (("clipped", 0.1, 0.3, None), {"kind": "clipped", "low": 0.1, "high": 0.3}),
        (("clipped", 0.2, 0.2, 1.3), {"kind": "clipped", "dual": 1.3}),
        (("soft", 2.0), {"kind": "soft", "temperature": 2.0}),
        (("cispo", 0.2, 0.2), {"kind": "cispo", "low": 0.2, "high": 0.2}),
    ]
    return [
        _term(
            f"{'-'.join(map(str, means))}-{ratio}",
            Method(means, ratio, baseline=("group_mean",)),
            surrogate=said, ratio=ratio, baseline="group_mean",
        )
        for means, said in kinds
        for ratio in ("token", "sequence", "sequence_mean")
    ]  # fmt: skip


def _kls() -> list[Online]:
    """Every estimator in every place, by token and by response."""
    found = []
    for estimator in ("k1", "k2", "k3", "abs", "full"):
        for placement, granularity in (
            ("loss", "token"), ("loss", "sequence"), ("ratio", "token"), ("ratio", "sequence"),
            ("reward", "sequence"),
        ):  # fmt: skip
            kl = (estimator, placement, 0.2, granularity)
            said = dict(zip(("estimator", "placement", "beta", "granularity"), kl, strict=True))
            means = Method(("clipped", 0.2, 0.2, None), baseline=("leave_one_out",), kl=kl)
            axes = {"surrogate": "clipped", "baseline": "leave_one_out", "kl": said}
            sound = _term(f"{estimator}-{placement}-{granularity}", means, **axes)
            found.append(replace(sound, waived=UNSOUND.get((estimator, placement), "")))
    return found


UNSOUND = {
    ("k1", "loss"): "E201",
    ("k2", "reward"): "E203",
    ("k3", "reward"): "E204",
    ("abs", "reward"): "E205",
}


def _aggregations() -> list[Online]:
    """Every way from tokens to one number, the KL being of tokens too, or of responses."""
    found = []
    for how in ("token_mean", "sequence_mean", "global_token_mean", "fixed_length"):
        for granularity in ("token", "sequence")[: 1 if how == "global_token_mean" else 2]:
            kl = ("k3", "loss", 0.1, granularity)
            said = dict(zip(("estimator", "placement", "beta", "granularity"), kl, strict=True))
            axes = {"aggregation": how, "surrogate": "importance", "baseline": "other", "kl": said}
            means = Method(("importance",), aggregation=how, baseline=("other",), kl=kl)
            found.append(_term(f"{how}-{granularity}", means, **axes))
    return found


def _others() -> list[Online]:
    policy = {
        "name": "policy", "kind": "policy_gradient", "surrogate": "clipped", "baseline": "value",
        "aggregation": "global_token_mean",
    }  # fmt: skip
    means = Method(CLIP, aggregation="global_token_mean", given=True, value=(0.7, None), entropy=0.02)
    critic = {"name": "value", "kind": "value", "weight": 0.7}
    bonus = {"name": "entropy", "kind": "entropy", "weight": 0.02}
    ddof = {"kind": "group_mean", "std": True, "ddof": 0, "epsilon": 0.01}
    return [
        Online("critic-and-entropy", {"terms": [policy, critic, bonus]}, means),
        _term("ddof-0", Method(baseline=("group_std", 0, 0.01)), baseline=ddof),
        Online(
            "win-rates",
            {"terms": [{"name": "policy", "kind": "policy_gradient", "reward": "win_rate"}]},
            Method(reward="win_rate"),
            {"oracle": {"kind": "verifier", "name": "exact_number"}},
        ),
    ]


METHODS = [*PRESETS, *_surrogates(), *_kls(), *_aggregations(), *_others()]


def compiled_online(variant: Online) -> Compiled:
    """Load and lower a variant."""
    return _compiled(json.dumps(variant.objective), json.dumps(variant.data), variant.waived)


@cache
def _compiled(objective: str, data: str, waived: str) -> Compiled:
    rows = {"kind": "prompts", "source": "x/y", "completions_per_prompt": 2, "max_new_tokens": 64}
    judge = {"reward": {"kind": "verifier", "name": "exact_number"}}
    spec = {
        "objective": json.loads(objective),
        "model": {"policy": {"init": "llama", "tokenizer": "bytes"}},
        "data": {**rows, **(json.loads(data) or judge)},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        waiver = f"  # alignc: ignore[{waived}] its arithmetic is what is asked for" if waived else ""
        path.write_text(f"{json.dumps(spec)}{waiver}\n", encoding="utf-8")
        return lowered(path)


def response(rng: random.Random, spread: float = 0.2) -> dict[str, Any]:
    """Draw a response, token by token, with all that any objective reads of it."""
    n = rng.randint(1, 12)
    logp = [-rng.expovariate(1.0) - 1e-3 for _ in range(n)]

    def near(by: float) -> list[float]:
        return [p + rng.gauss(0, by) for p in logp]

    def around() -> list[float]:
        return [rng.gauss(0, 1) for _ in logp]

    return {
        "logp": logp, "ref_logp": near(2 * spread), "old_logp": near(spread), "reward": rng.gauss(0, 2),
        "win_rate": rng.random(), "advantage": around(), "value": around(), "return": around(),
        "old_value": around(), "entropy": [abs(x) for x in around()],
        "divergence": [abs(x) for x in around()], "old_divergence": [abs(x) for x in around()],
    }  # fmt: skip


def example(rng: random.Random, variant: Online, spread: float = 0.2) -> dict[str, Any]:
    """Draw a prompt's responses; advantages only where they are given."""
    members = [response(rng, spread) for _ in range(rng.randint(2, 6))]
    if not variant.means.given:
        for y in members:
            del y["advantage"]
    if variant.means.baseline == ("other",):
        members = members[:2]
    return {"completions": members}
