"""Choose names for the values of a loss that have a line of their own in its source."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping

from alignc.contract.models import INITIAL, POLICY
from alignc.contract.responses import CHOSEN, MISMATCHED, PAIR, REJECTED
from alignc.graph.nodes import (
    Add,
    Apply,
    Column,
    GroupSize,
    Length,
    Logp,
    Multiply,
    Named,
    Node,
    Output,
    Reduce,
)
from alignc.graph.rewrite import inputs
from alignc.graph.walk import walk
from alignc.lower.loss import Loss
from alignc.lower.scores import SUFFIX
from alignc.printers.terms import term_label

__all__ = ["RESERVED", "Names", "roles"]

TOOLS = {
    "at_most", "global_token_mean", "group_mean", "group_size", "group_sum", "length", "log1mexp", "log_odds",
    "number", "pair_sum", "part", "position", "present", "row_mean", "token_mean", "token_sum",
}  # fmt: skip
MODULE = {"F", "Tensor", "annotations", "loss", "penalty", "statistics", "torch"}
LOCAL = {"batch", "mask", "max", "metrics", "share", "totals"}
RESERVED = frozenset({*TOOLS, *MODULE, *LOCAL, *keyword.kwlist})
"""The names that no value may have."""
MODELS: Mapping[str, str] = {POLICY: "", INITIAL: "reference_"}
"""The first part of the names of log-probabilities, if it is not the name of the model."""


class Names:
    """The names of one function, each given once."""

    def __init__(self, taken: Iterable[str], known: Mapping[Node, str]) -> None:
        self.taken, self.roles = {*RESERVED, *taken}, known

    def choose(self, node: Node, values: Mapping[Node, str]) -> str:
        """Choose the natural name of a value, or else `part_1`, `part_2`, …; for one response of a pair `part_w`."""
        name = self.natural(node, values) or f"part_{_suffix(node) or 1}"
        base = name.removesuffix("_1")
        tries = (name, *(f"{base}_{i}" for i in range(2, 1000)))
        found = next(n for n in tries if n not in self.taken)
        self.taken.add(found)
        return found

    def natural(self, node: Node, values: Mapping[Node, str]) -> str | None:
        """Find the name that the field has for a value; None if there is none."""
        return _input(node) or self.roles.get(node) or _made(node, values)


def _suffix(node: Node) -> str | None:
    """Find the response of a pair that a value depends on, if there is only one."""
    along = node.type.axis.response
    read = {along} if along else {getattr(n, "response", None) for n in inputs(node)} - {None}
    only = read.pop() if len(read) == 1 else None
    return SUFFIX[only] if only in PAIR else None


def _input(node: Node) -> str | None:
    """Name an input by its model and response."""
    match node:
        case Logp(model=model, response=response):
            return f"{MODELS.get(model, f'{model}_')}logp{_of(response)}"
        case Column(name=name, response=response):
            return f"{name}{_of(response)}"
        case Output(quantity=quantity, response=response):
            return f"{quantity}{_of(response)}"
        case Length(response=response):
            return f"tokens{_of(response)}"
        case GroupSize():
            return "k"
    return None


def _of(response: str | None) -> str:
    return f"_{SUFFIX[response]}" if response in (CHOSEN, REJECTED, MISMATCHED) else ""


def _made(node: Node, values: Mapping[Node, str]) -> str | None:
    """Name a value that many losses compute from inputs."""
    match node:
        case Reduce(kind="sum", over="token", argument=Logp() as tokens):
            return (_input(tokens) or "").replace("logp", "logps")
        case Apply(function="clip", arguments=(Named() as of, *_)) if of in values:
            return f"{values[of]}_clipped"
        case Apply(function="min", arguments=arguments) if any(
            isinstance(n, Apply) and n.function == "clip" for n in walk(*arguments)
        ):
            return "surrogate"
        case Apply(function="min", arguments=(Length(), Length())):
            return "shorter"
        case Add() | Multiply() if node.type.axis.by_token and not node.type.trained:
            return f"weight{_of(node.type.axis.response)}"
    return None


def roles(loss: Loss) -> dict[Node, str]:
    """Name the values that terms and metrics average."""
    found: dict[Node, str] = {}
    many = len(loss.terms) > 1
    for term in loss.terms:
        what = averaged(term.value)
        kind = "token" if what.type.axis.by_token else "response"
        label = f"{term_label(term)}_" if many else ""
        if what.type.axis.grouped or what.type.axis.by_token:
            found.setdefault(what, f"{label}{kind}_loss")
    for metric in loss.metrics[1:]:
        found.setdefault(averaged(metric.value), _named_as(metric.name))
    return found


def _named_as(metric: str) -> str:
    group, _, name = metric.rpartition("/")
    return f"{group.removesuffix('s')}_{name}" if group in ("rewards", "logps") else name.removesuffix("_avg")


def averaged(node: Node) -> Node:
    """Find the value that is averaged over tokens, responses and rows."""
    match node:
        case Named(argument=argument) | Reduce(argument=argument):
            return averaged(argument)
        case Multiply(factors=factors):
            sums = [f for f in factors if isinstance(f, Reduce) and f.kind == "sum"]
            return averaged(sums[0]) if len(sums) == 1 else node
    return node
