"""Show a separation as points that `explain --at` takes, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alignc.contract.outputs import OUTPUTS, Per
from alignc.contract.responses import CHOSEN, COMPLETION, COMPLETIONS, GROUP, REJECTED, SINGLE
from alignc.diff.atoms import PRIME, atom_name
from alignc.diff.model import Witness
from alignc.diff.sample import Row, adds_up, by_token, spread_tokens, values, vary_tokens
from alignc.diff.separate import Separation
from alignc.diff.sides import Side
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Column, Length, Logp, Node, Output, Position
from alignc.graph.rewrite import inputs
from alignc.graph.walk import walk
from alignc.lower.loss import Loss, alone
from alignc.point.evaluate import PointError, at_point
from alignc.point.reading import bends, logp_key

__all__ = ["witness"]


def witness(found: Separation, sides: tuple[Side, Side], losses: tuple[Loss, Loss], coupled: bool) -> Witness:
    """Show a separation as points that `explain --at` takes, and what it answers; a coupled batch as a whole."""
    shown = []
    for side, loss, slopes in zip(sides, losses, found.slopes, strict=True):
        point = _point(found, side, loss)
        answer = None if coupled else _answer(loss, point)
        shown.append({"point": point, **(answer or _batches(found, side, slopes))})
    count = "one point" if len(found.at) == 1 else "two points"
    words = f"at {count} no positive factor turns the gradient of A into the gradient of B"
    return Witness(words if not coupled else words.replace("point", "batch"), *shown)


def _answer(loss: Loss, point: dict[str, Any]) -> dict[str, Any] | None:
    """Evaluate a point as `--at` does; None where it has no finite answer in float64."""
    try:
        done = at_point(loss, point)["examples"]
    except PointError:
        return None
    return {"loss": [e["loss"] for e in done], "gradient": [e["gradient"] for e in done]}


def _batches(found: Separation, side: Side, slopes: Sequence[Node]) -> dict[str, Any]:
    """Evaluate batches whose rows depend on each other: losses, and by response the gradient of every row."""
    losses = [float(evaluate(side.root, values([side.root], at))) for at in found.at]
    rows = [
        {atom_name(x): evaluate(s, values([s], at)) for x, s in zip(found.leaves, slopes, strict=True)}
        for at in found.at
    ]
    return {"loss": losses, "gradient": rows}


def _point(found: Separation, side: Side, loss: Loss) -> dict[str, Any]:
    own = loss.view.responses
    rows = [(row, k) for at in found.at for row, k in zip(at.rows, at.sizes, strict=True)]
    tokens = any(isinstance(n, Position) or _is_logarithm(n) or by_token(n) for n in inputs(side.root))
    tokens = tokens or any(map(bends, walk(alone(loss.root))))
    point: dict[str, Any] = {"examples": [e for row, k in rows for e in _examples(row, k, side, own, tokens)]}
    z0 = next((row[n] for row, _ in rows for n in ("z0", "delta") if n in row), None)
    return point if z0 is None else {**point, "z0": z0}


def _is_logarithm(node: Node) -> bool:
    return isinstance(node, Output) and OUTPUTS[node.quantity].logarithm


def _examples(row: Row, k: int, side: Side, own: tuple[str, ...], tokens: bool) -> list[dict[str, Any]]:
    """Write a row as an example of the spec's own shape."""

    def response(suffix: str, member: str = "") -> dict[str, Any]:
        return _response(row, suffix, member, side, tokens)

    if own == GROUP:
        members = (
            [response("i", f"#{i}") for i in range(k)] if own == side.responses else [*map(response, "wl")]
        )
        return [{COMPLETIONS: members, **_row_values(row, side)}]
    if own == side.responses == SINGLE:
        return [{COMPLETION: response("y"), **_row_values(row, side)}]
    if own == SINGLE and side.responses == GROUP:
        return [{COMPLETION: response("i", f"#{i}"), **_row_values(row, side)} for i in range(k)]
    if own == SINGLE:
        return [{COMPLETION: response(y), **_row_values(row, side), "label": y == "w"} for y in "wl"]
    return [{CHOSEN: response("w"), REJECTED: response("l"), **_row_values(row, side)}]


def _row_values(row: Row, side: Side) -> dict[str, Any]:
    """List the columns that belong to a row rather than to a response."""
    own = (n for n in inputs(side.root) if isinstance(n, Column) and n.response is None)
    found: dict[str, Any] = {n.name: row[n.name] for n in own if n.name not in ("z0", "delta")}
    return {**found, "label": bool(row["label"])} if "label" in row else found


def _response(row: Row, suffix: str, member: str, side: Side, tokens: bool) -> dict[str, Any]:
    known = {
        atom_name(n): (n, key)
        for n in inputs(side.root)
        if (key := _key(n, side.models)) and atom_name(n)[-2:] == f"_{suffix}"
    }
    count = int(row.get(f"n_{suffix}{member}", 1))
    found: dict[str, Any] = {}
    for name, (node, key) in known.items():
        number = row[name + member]
        if tokens and adds_up(node):
            found[key] = spread_tokens(number, count, name + member)
        elif by_token(node):
            found[key] = vary_tokens(number, count, name + member)
        else:
            found[key] = number
    return {**found, "value": row["V"]} if "V" in row else found


def _key(node: Node, models: Mapping[str, str]) -> str:
    """Name an input as `--at` does."""
    match node:
        case Logp(model=model):
            return logp_key(models.get(model, model))
        case Length():
            return "length"
        case Output(quantity=quantity):
            return "" if OUTPUTS[quantity].per == Per.PROMPT else OUTPUTS[quantity].at
        case Column(name=name):
            return name.rstrip(PRIME)
    return ""
