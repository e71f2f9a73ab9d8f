"""`--at`: examples given as numbers, their loss and its gradient in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alignc.graph.build import constant
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.loss import Loss, alone
from alignc.graph.nodes import Column, GroupSize, Length, Logp, Named, Node, Output, Position, Reduce, walk
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.scope import carried
from alignc.graph.types import GraphTypeError

__all__ = ["PointError", "at_mixture", "at_point"]

KEYS = (
    "logp", "ref_logp", "old_logp", "length", "reward", "win_rate", "value", "advantage", "score", "return",
    "old_value", "log_sum_squares", "entropy",
)  # fmt: skip
"""What a response of an example may give: sums over tokens in nat, or lists by token."""
ROW_KEYS = ("label", "margin")


class PointError(ValueError):
    """A point that cannot be evaluated: its code, and the JSON path of what is wrong."""

    def __init__(self, code: str, message: str, path: str) -> None:
        super().__init__(message)
        self.code, self.path = code, path


def at_point(loss: Loss, point: Any) -> dict[str, Any]:
    """Evaluate a loss at given examples: the mean, and by example its loss and gradient.

    Each example is a batch of its own; the reference point of a batch is the point's `z0`, or 0. Raises PointError:
    E002 for unknown keys, E006 for missing ones, E003 and E004 for values that are no finite numbers, E105 for a group
    of one.
    """
    responses = loss.view.responses
    examples = _examples(point, responses)
    own = _with_point(alone(loss.root), _number(point.get("z0", 0.0), "z0"))
    own = _with_advantages(own, examples)
    if any(isinstance(n, Reduce) and n.kind == "pairs" for n in walk(own)):
        _check_groups(examples)
    trained = [n for n in inputs(own) if n.type.trained]
    slopes = {node: gradient(own, node) for node in trained}
    done = [_one(own, slopes, example, f"examples[{i}]") for i, example in enumerate(examples)]
    return {"loss": sum(e["loss"] for e in done) / len(done), "examples": done}


def at_mixture(losses: Mapping[str, Loss], point: Any) -> dict[str, Any]:
    """Evaluate the losses of several sources at examples of each, `{"sources": {NAME: POINT, …}}`; raises as above.

    The loss is the sum; a source that is left out is left out of it.
    """
    if not isinstance(point, dict):
        raise PointError("E003", "the point must be an object", "")
    _known(point, ("sources",), "")
    given = point.get("sources")
    if not isinstance(given, dict) or not given:
        raise PointError("E006", "missing key `sources`: an object of points by the name of their source", "")
    _known(given, tuple(losses), "sources")
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
        n: carried(constant(z0), n.type.unit)
        for n in walk(own)
        if isinstance(n, Named) and n.name.startswith("z0")
    }
    return substitute(own, points)


def _with_advantages(own: Node, examples: list[Mapping[str, Any]]) -> Node:
    """Take the advantages as given, where every response gives one, in the place of what would be computed."""
    members = [r for example in examples for r in example.get("completions", ()) if isinstance(r, dict)]
    if not members or any("advantage" not in r for r in members):
        return own
    token = any(isinstance(r["advantage"], list) for r in members)
    given: dict[Node, Node] = {
        n: Column("advantage", "completions", n.type.unit, token=token)
        for n in walk(own)
        if isinstance(n, Named) and n.name.startswith("advantage") and not isinstance(n.argument, Column)
    }
    try:
        return substitute(own, given)
    except GraphTypeError:
        message = "`advantage` must be one number: the loss has one ratio a response, and not one a token"
        raise PointError("E003", message, "examples") from None


def _examples(point: Any, responses: tuple[str, ...]) -> list[Mapping[str, Any]]:
    if not isinstance(point, dict):
        raise PointError("E003", "the point must be an object", "")
    _known(point, ("examples", "z0"), "")
    examples = point.get("examples")
    if examples is None:
        raise PointError("E006", "missing key `examples`", "")
    if not isinstance(examples, list) or not examples:
        raise PointError("E003", "`examples` must be a list that is not empty", "examples")
    for index, example in enumerate(examples):
        _check_example(example, responses, f"examples[{index}]")
    return examples


def _check_example(example: Any, responses: tuple[str, ...], path: str) -> None:
    if not isinstance(example, dict):
        raise PointError("E003", "an example must be an object", path)
    _known(example, (*responses, *ROW_KEYS), path)
    for response in responses:
        if response not in example:
            raise PointError("E006", f"missing key `{response}`", path)
        for inner, at in _members(example[response], response, f"{path}.{response}"):
            if not isinstance(inner, dict):
                raise PointError("E003", f"`{response}` must be an object", at)
            _known(inner, KEYS, at)


def _check_groups(examples: list[Mapping[str, Any]]) -> None:
    for index, example in enumerate(examples):
        if len(example["completions"]) < 2:
            message = "a response is compared with the others of its group: give two or more"
            raise PointError("E105", message, f"examples[{index}].completions")


def _members(value: Any, response: str, path: str) -> list[tuple[Any, str]]:
    if response != "completions":
        return [(value, path)]
    if not isinstance(value, list) or not value:
        raise PointError("E003", "`completions` must be a list that is not empty", path)
    return [(inner, f"{path}[{i}]") for i, inner in enumerate(value)]


def _known(given: Mapping[str, Any], keys: tuple[str, ...], path: str) -> None:
    for key in given:
        if key not in keys:
            raise PointError("E002", f"unknown key `{key}`; keys: {', '.join(keys)}", path)


def _one(own: Node, slopes: dict[Node, Node], example: Mapping[str, Any], path: str) -> dict[str, Any]:
    given = dict(_given([own, *slopes.values()], example, path))
    value = _of_row(evaluate(own, given))
    found: dict[str, Any] = {}
    for node, slope in slopes.items():
        _lay(found, node, _of_row(evaluate(slope, given)), example)
    return {"loss": value, "gradient": found}


def _of_row(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _lay(found: dict[str, Any], node: Node, slope: Any, example: Mapping[str, Any]) -> None:
    """Put a slope where the example has the number it belongs to, and in its shape."""
    assert isinstance(node, Logp | Output)
    key = "logp" if isinstance(node, Logp) else {"token_value": "value"}.get(node.quantity, node.quantity)
    name = node.response
    if name != "completions":
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


def _given(roots: list[Node], example: Mapping[str, Any], path: str) -> Iterator[tuple[Node, Any]]:
    for node in inputs(*roots):
        if isinstance(node, GroupSize):
            yield node, [float(len(example["completions"]))]
        elif isinstance(node, Column) and node.response is None:
            yield node, [_row_value(example, node.name, path)]
        else:
            yield node, [_of_response(node, example, path)]


def _row_value(example: Mapping[str, Any], name: str, path: str) -> float:
    value = _needed(example, name, path)
    return float(value) if isinstance(value, bool) and name == "label" else _number(value, f"{path}.{name}")


def _of_response(node: Any, example: Mapping[str, Any], path: str) -> Any:
    name = node.response
    members = _members(example[name], name, f"{path}.{name}")
    values = [_read(node, response, at) for response, at in members]
    return values if name == "completions" else values[0]


def _read(node: Node, response: Mapping[str, Any], path: str) -> Any:
    match node:
        case Logp(model=model):
            return _tokens(response, {"policy": "logp", "rollout": "old_logp"}.get(model, "ref_logp"), path)
        case Length():
            return _length(response, path)
        case Position():
            return [float(i + 1) for i in range(len(_tokens(response, "logp", path)))]
        case Output(quantity="log_sum_squares"):
            return _tokens(response, "log_sum_squares", path)
        case Output(quantity="token_value"):
            return _spread(response, "value", path)
        case Output(quantity="entropy"):
            return _spread(response, "entropy", path)
        case Column(name=name, token=True):
            return _spread(response, name, path)
        case Output(quantity=quantity):
            return _number(_needed(response, quantity, path), f"{path}.{quantity}")
        case Column(name=name):
            return _number(_needed(response, name, path), f"{path}.{name}")
    raise TypeError(type(node).__name__)


def _needed(response: Mapping[str, Any], key: str, path: str) -> Any:
    if key not in response:
        raise PointError("E006", f"missing key `{key}`", path)
    return response[key]


def _tokens(response: Mapping[str, Any], key: str, path: str) -> list[float]:
    value = _needed(response, key, path)
    if isinstance(value, list):
        return [_number(v, f"{path}.{key}") for v in value]
    return [_number(value, f"{path}.{key}")]


def _spread(response: Mapping[str, Any], key: str, path: str) -> list[float]:
    """Read one number a token; a single one stands for all tokens."""
    given, count = _tokens(response, key, path), len(_tokens(response, "logp", path))
    if len(given) not in (1, count):
        raise PointError("E003", f"`{key}` has {len(given)} numbers, and `logp` has {count}", f"{path}.{key}")
    return given if len(given) == count else given * count


def _length(response: Mapping[str, Any], path: str) -> float:
    if "length" not in response and isinstance(response.get("logp"), list):
        return float(len(response["logp"]))
    length = _number(_needed(response, "length", path), f"{path}.length")
    if length <= 0:
        raise PointError("E004", f"`length` must be above 0, found {length:g}", f"{path}.length")
    return length


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PointError("E003", f"must be a number, found {value!r}", path)
    if not -1e300 < value < 1e300:
        raise PointError("E004", f"must be a finite number, found {value}", path)
    return float(value)
