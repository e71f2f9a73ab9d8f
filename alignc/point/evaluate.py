"""`--at`: examples given as numbers, their loss and its gradient in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from alignc.contract.outputs import OUTPUTS
from alignc.contract.responses import COMPLETIONS
from alignc.graph.build import constant, in_unit
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Logp, Named, NamedRole, Node, Output, Reduce
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.types import GraphTypeError
from alignc.graph.walk import walk
from alignc.lower.loss import Loss, alone
from alignc.point.reading import (
    UNEVEN,
    PointError,
    bends,
    check_groups,
    check_keys,
    check_lists,
    check_probabilities,
    examples_of,
    number,
    values_of,
)

__all__ = ["PointError", "at_mixture", "at_point"]


def at_point(loss: Loss, point: Any, *, possible: bool = True) -> dict[str, Any]:
    """Evaluate a loss at given examples: the mean, and by example its loss and gradient.

    Each example is a batch of its own; the reference point of a batch is the point's `z0`, or 0. Raises PointError:
    E002 for unknown keys, E006 for missing ones, E003 and E004 for values that are no finite numbers, E105 for a group
    of one. Log-probabilities above 0 are E004 as well; without `possible` the loss is the function of any numbers
    that it is.
    """
    responses = loss.view.responses
    examples = examples_of(point, responses)
    if possible:
        check_probabilities(examples, responses)
    own = _with_point(alone(loss.root), number(point.get("z0", 0.0), "z0"))
    own = _with_advantages(own, examples)
    if any(isinstance(n, Reduce) and n.kind == "pairs" for n in walk(own)):
        check_groups(examples)
    if any(map(bends, walk(own))):
        check_lists(examples, responses)
    trained = [n for n in inputs(own) if n.type.trained]
    slopes = {node: gradient(own, node) for node in trained}
    done = [_one(own, slopes, example, f"examples[{i}]") for i, example in enumerate(examples)]
    for index, found in enumerate(done):
        _check_finite(found, examples[index], f"examples[{index}]")
    return {"loss": sum(e["loss"] for e in done) / len(done), "examples": done}


def _check_finite(found: Mapping[str, Any], example: Mapping[str, Any], path: str) -> None:
    """Refuse what JSON cannot say: E105 for a group of one, which has no others to be compared with, else E004."""
    if all(map(math.isfinite, _numbers(found))):
        return
    if len(example.get(COMPLETIONS, "..")) < 2:
        check_groups([example])
    raise PointError("E004", "the loss or its gradient has no finite value at this point", path)


def _numbers(found: Any) -> Iterator[float]:
    if isinstance(found, Mapping | list):
        for inner in found.values() if isinstance(found, Mapping) else found:
            yield from _numbers(inner)
    else:
        yield found


def at_mixture(losses: Mapping[str, Loss], point: Any) -> dict[str, Any]:
    """Evaluate the losses of several sources at examples of each, `{"sources": {NAME: POINT, …}}`; raises as above.

    The loss is the sum; a source that is left out is left out of it.
    """
    if not isinstance(point, dict):
        raise PointError("E003", "the point must be an object", "")
    check_keys(point, ("sources",), "")
    given = point.get("sources")
    if not isinstance(given, dict) or not given:
        raise PointError(
            "E006", "missing key `sources`: write an object with the name of each source and its point", ""
        )
    check_keys(given, tuple(losses), "sources")
    found = {}
    for name, inner in given.items():
        try:
            found[name] = at_point(losses[name], inner)
        except PointError as error:
            path = ".".join(p for p in ("sources", name, error.path) if p)
            raise PointError(error.code, str(error), path) from None
    return {"loss": sum(part["loss"] for part in found.values()), "sources": found}


def _with_point(own: Node, z0: float) -> Node:
    """Put the given number in the place of what only a batch can say."""
    points: dict[Node, Node] = {
        n: in_unit(constant(z0), n.type.unit)
        for n in walk(own)
        if isinstance(n, Named) and n.role is NamedRole.REFERENCE_POINT
    }
    return substitute(own, points)


def _with_advantages(own: Node, examples: list[Mapping[str, Any]]) -> Node:
    """Take the advantages as given, where every response gives one, in the place of what would be computed."""
    members = [r for example in examples for r in example.get(COMPLETIONS, ()) if isinstance(r, dict)]
    if not members or any("advantage" not in r for r in members):
        return own
    token = any(isinstance(r["advantage"], list) for r in members)
    given: dict[Node, Node] = {
        n: Column("advantage", COMPLETIONS, n.type.unit, token=token)
        for n in walk(own)
        if isinstance(n, Named) and n.role is NamedRole.ADVANTAGE and not isinstance(n.argument, Column)
    }
    try:
        whole = substitute(own, given)
    except GraphTypeError:
        whole = None
    if whole is None or whole.type.axis != own.type.axis:
        message = "`advantage` must be one number: the loss has one ratio per response, not one per token"
        raise PointError("E003", message, "examples")
    return whole


def _one(own: Node, slopes: dict[Node, Node], example: Mapping[str, Any], path: str) -> dict[str, Any]:
    given = dict(values_of([own, *slopes.values()], example, path))
    try:
        value = _of_row(evaluate(own, given))
        known = {node: _of_row(evaluate(slope, given)) for node, slope in slopes.items()}
    except ValueError as error:
        message = f"{UNEVEN}: {error}"
        raise PointError("E003", message, path) from None
    found: dict[str, Any] = {}
    for node, slope in known.items():
        _lay(found, node, slope, example)
    return {"loss": value, "gradient": found}


def _of_row(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _lay(found: dict[str, Any], node: Node, slope: Any, example: Mapping[str, Any]) -> None:
    """Put a slope where the example has the number it belongs to, and in its shape."""
    assert isinstance(node, Logp | Output)
    key = "logp" if isinstance(node, Logp) else OUTPUTS[node.quantity].at
    name = node.response
    if name != COMPLETIONS:
        found.setdefault(name, {})[key] = _mirrored(slope, example[name][key])
        return
    members = example[name]
    rows = found.setdefault(name, [{} for _ in members])
    slopes = slope if isinstance(slope, list) else [slope] * len(members)
    for row, one, member in zip(rows, slopes, members, strict=True):
        row[key] = _mirrored(one, member[key])


def _mirrored(slope: Any, given: Any) -> Any:
    """Give one slope a token where tokens were given, and one number where their sum was."""
    if isinstance(given, list):
        return slope if isinstance(slope, list) else [slope] * len(given)
    return slope[0] if isinstance(slope, list) else slope
