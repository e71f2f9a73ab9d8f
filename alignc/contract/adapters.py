"""What a spec can say of an adapter: where it starts, how its factors are drawn, and what that makes of the base.

An adapter that starts `new` with factors whose product is 0 leaves the policy as it was: switched off, the policy is
the model that training began with. Other adapters do not: one that the policy brings, and one whose factors are taken
out of the base (PiSSA, OLoRA). Their start can only be had by keeping it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "ADAPTER_CONFIG",
    "ALL_LINEAR",
    "NEW",
    "PISSA",
    "POLICY_OWN",
    "changes_base",
    "described",
    "disagreements",
    "off_is_start",
]

ADAPTER_CONFIG = "adapter_config.json"
"""PEFT's file: a folder that has it holds an adapter."""
ALL_LINEAR = "all-linear"

NEW, POLICY_OWN = "new", "policy"
"""Where an adapter starts: new on the policy, or the one that the policy brings."""
PISSA = r"^pissa_niter_[1-9][0-9]*$"
"""PiSSA with a fast SVD of so many iterations."""


def changes_base(init: bool | str) -> bool:
    """Tell whether an adapter's first factors are taken out of the weights of the base."""
    return init in ("pissa", "olora") or (isinstance(init, str) and re.match(PISSA, init) is not None)


def off_is_start(start: str, init: bool | str) -> bool:
    """Tell whether the policy without its adapter is the policy as training began, to the last bit.

    The factors of `orthogonal` multiply to 0 up to rounding only.
    """
    return start == NEW and not changes_base(init) and init != "orthogonal"


def described(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give what PEFT's settings of an adapter say in the words of a spec.

    {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], …}: {"r": 4, "alpha": 8.0, "target_modules": ["q_proj"], …}.
    """
    modules = config.get("target_modules") or []
    return {
        "r": config.get("r"),
        "alpha": float(config.get("lora_alpha") or 0),
        "dropout": float(config.get("lora_dropout") or 0),
        "target_modules": modules if isinstance(modules, str) else sorted(modules),
        "rank_pattern": dict(config.get("rank_pattern") or {}),
        "use_rslora": bool(config.get("use_rslora")),
        "use_dora": bool(config.get("use_dora")),
        "modules_to_save": sorted(config.get("modules_to_save") or []),
    }


def disagreements(asked: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """List the written values of a spec that an adapter as `described` contradicts: the name, the one, the other.

    `all-linear` agrees with any names here: which modules those are, only a loaded model tells.
    """
    for name, value in asked.items():
        if name == "init_lora_weights":
            yield name, shown(value), "its own factors"
        elif name in held and not agrees(value, held[name]):
            yield name, shown(value), shown(held[name])


def agrees(value: Any, held: Any) -> bool:
    """Compare two values; the order of names says nothing, and one name is a list of one."""
    if value == ALL_LINEAR and isinstance(held, list):
        return True
    one, other = ([each] if isinstance(each, str) else each for each in (value, held))
    return sorted(one) == sorted(other) if isinstance(one, list) and isinstance(other, list) else one == other


def shown(value: Any) -> str:
    """Write a value as YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {inner}' for name, inner in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)
