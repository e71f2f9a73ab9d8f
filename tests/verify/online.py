"""Online specs for tests: a preset or a term on sampled data, lowered, and rows to try it on."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

from alignc.load.load import Loaded, load
from alignc.lower.loss import Loss
from alignc.lower.lower import lower
from alignc.point.evaluate import at_point

__all__ = ["coefficients", "drawn", "judged", "online", "preset", "term"]

REWARD = {"kind": "verifier", "name": "length", "limit": 5}


def online(objective: dict[str, Any], k: int = 2, kind: str = "prompts") -> tuple[Loaded, Loss]:
    """Load and lower an objective on sampled data, unchecked."""
    source = (
        {"reward": REWARD} if kind == "prompts" else {"oracle": {"kind": "bradley_terry", "reward": REWARD}}
    )
    data = {"kind": kind, "source": "x/y", "completions_per_prompt": k, "max_new_tokens": 8, **source}
    spec = {"objective": objective, "model": {"policy": "x/y"}, "data": data}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(json.dumps(spec), "utf-8")
        loaded = load(path)
        return loaded, lower(loaded.lookup)


def preset(name: str, k: int = 2, policy: dict[str, Any] | None = None, **given: Any) -> Loss:
    """Lower a preset with parameters, and axes of its term `policy` replaced."""
    changed = {"terms": {"policy": policy}} if policy else {}
    return online({"preset": name, **given, **changed}, k)[1]


def term(k: int = 2, **axes: Any) -> tuple[Loaded, Loss]:
    """Lower a policy gradient with these axes."""
    return online({"terms": [{"name": "policy", "kind": "policy_gradient", **axes}]}, k)


def drawn(seed: int, k: int, *, moved: float = 0.0, tokens: bool = False) -> list[dict[str, Any]]:
    """Draw a group of responses; `moved`: how far the policy is from the sampler."""
    rng, found = random.Random(seed), []
    for _ in range(k):
        n = rng.randint(2, 5)
        logp = [-rng.expovariate(1.0) - 0.01 for _ in range(n)]
        old = [p + moved * rng.gauss(0, 1) for p in logp]
        ref = [p + rng.gauss(0, 0.4) for p in logp]
        lists = {"logp": logp, "old_logp": old, "ref_logp": ref}
        numbers = {name: values if tokens else sum(values) for name, values in lists.items()}
        found.append({**numbers, "length": n, "reward": rng.gauss(0, 1)})
    return found


def judged(loss: Loss, group: list[dict[str, Any]]) -> dict[str, Any]:
    """Evaluate a loss on one group."""
    made: dict[str, Any] = at_point(loss, {"examples": [{"completions": group}]}, possible=False)["examples"][
        0
    ]
    return made


def coefficients(loss: Loss, group: list[dict[str, Any]]) -> list[Any]:
    """Give ∂ℓ/∂log π of every response."""
    return [r["logp"] for r in judged(loss, group)["gradient"]["completions"]]
