"""Tell apart what two rollouts compute under one name: advantages, returns, estimates of a log-partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from alignc.contract.baselines import BASELINES, BATCH_MEAN, CONSTANT, NO_BASELINE, PARTITIONS
from alignc.contract.needs import Advantage, LossNeeds
from alignc.diff.atoms import PRIME
from alignc.diff.normal import Normal
from alignc.diff.polynomial import TooLargeError
from alignc.diff.sides import Side
from alignc.graph.nodes import Column, Node
from alignc.graph.rewrite import inputs, substitute
from alignc.lower.loss import Loss

__all__ = ["Computed", "computed", "told_apart"]

NONE = "no"
SHIFTS = (CONSTANT.name, BATCH_MEAN.name)
"""Baselines that are one number for the whole batch, which whitening takes off anyway."""


@dataclass(frozen=True)
class Computed:
    """What a rollout computes: of each column, the settings that its numbers depend on."""

    columns: Mapping[str, Mapping[str, Any]]


def computed(loss: Loss, needs: LossNeeds) -> Computed:
    """Describe the columns that a rollout computes for a loss."""
    found: dict[str, dict[str, Any]] = {}
    for index, term in enumerate(t for t in loss.terms if t.advantage is not None):
        mark = f" of term {index + 1}" if index else ""
        settings = _settings(term.advantage, term.penalty)  # type: ignore[arg-type]
        found["advantage"] = found.get("advantage", {}) | {k + mark: v for k, v in settings.items()}
    if "advantage" in found:
        found["return"] = {k: v for k, v in found["advantage"].items() if not k.startswith("whiten")}
    if needs.baseline is not None:
        for name in PARTITIONS:
            found[name] = {
                "kind": needs.baseline.kind,
                "eta": needs.baseline.eta,
                "samples": needs.baseline.samples,
            }
    return Computed(found)


def _settings(how: Advantage, penalty: Node | None) -> dict[str, Any]:
    """List what the numbers depend on, without what changes nothing."""
    baseline = how.baseline.kind
    critic = BASELINES[baseline].levels is None
    settings: dict[str, Any] = {
        "reward": how.reward,
        "discount": how.discount,
        "whiten": how.whiten,
        "baseline": NO_BASELINE.name if how.whiten and baseline in SHIFTS else baseline,
        "penalty": _shown(penalty) if how.penalty and penalty is not None else NONE,
    }
    if settings["baseline"] != NO_BASELINE.name:
        settings |= {f"baseline.{k}": v for k, v in sorted(how.baseline.settings.items())}
    if critic and how.discount > 0:
        settings["gae_lambda"] = how.gae_lambda
    if settings["penalty"] != NONE:
        settings |= {"granularity": how.granularity, "adaptive": how.adaptive}
    return settings


def _shown(penalty: Node) -> str:
    try:
        return str(Normal({}).of(penalty))
    except (TooLargeError, ZeroDivisionError, RecursionError):
        return str(penalty)


def told_apart(a: Side, b: Side, mine: Computed, theirs: Computed) -> tuple[Side, tuple[str, ...]]:
    """Rename the columns of B that its rollout computes in another way than that of A, and say in what they differ."""
    read = {n.name for n in inputs(a.root, b.root) if isinstance(n, Column)}
    words: list[str] = []
    renamed: dict[Node, Node] = {}
    for name in sorted(read & {*mine.columns, *theirs.columns}):
        one, other = mine.columns.get(name), theirs.columns.get(name)
        if one is None or other is None or one == other:
            continue
        keys = [k for k in dict.fromkeys((*one, *other)) if one.get(k) != other.get(k)]
        changes = "; ".join(f"{k} {one.get(k, NONE)} in A and {other.get(k, NONE)} in B" for k in keys)
        words.append(f"the rollouts compute `{name}` in different ways: {changes}")
        renamed |= {
            n: replace(n, name=n.name + PRIME)
            for n in inputs(b.root)
            if isinstance(n, Column) and n.name == name
        }
    return (replace(b, root=substitute(b.root, renamed)) if renamed else b), tuple(words)
