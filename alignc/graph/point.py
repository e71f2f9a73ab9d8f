"""`--at`: examples given as numbers, their loss and its gradient in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.loss import Loss, alone
from alignc.graph.nodes import Column, Length, Logp, Node
from alignc.graph.rewrite import inputs

__all__ = ["KEYS", "PointError", "at_point"]

KEYS = (
    "logp", "ref_logp", "old_logp", "length", "reward", "win_rate", "value", "advantage", "score", "return",
    "old_value",
)  # fmt: skip
"""What a response of an example may give: sums over tokens in nat, or lists by token."""


class PointError(ValueError):
    """A point that cannot be evaluated: its code, and the JSON path of what is wrong."""

    def __init__(self, code: str, message: str, path: str) -> None:
        super().__init__(message)
        self.code, self.path = code, path


def at_point(loss: Loss, responses: tuple[str, ...], point: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate a loss at given examples: the mean, and by example its loss and gradient.

    Each example is a batch of its own. Raises PointError: E002 for unknown keys, E006 for missing ones, E003 and
    E004 for values that are no finite numbers.
    """
    examples = _examples(point, responses)
    own = alone(loss.root)
    slopes = {y: gradient(own, Logp("policy", y)) for y in responses}
    done = [_one(own, slopes, example, f"examples[{i}]") for i, example in enumerate(examples)]
    return {"loss": sum(e["loss"] for e in done) / len(done), "examples": done}


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
    _known(example, (*responses, "label"), path)
    for response in responses:
        if response not in example:
            raise PointError("E006", f"missing key `{response}`", path)
        if not isinstance(example[response], dict):
            raise PointError("E003", f"`{response}` must be an object", f"{path}.{response}")
        _known(example[response], KEYS, f"{path}.{response}")


def _known(given: Mapping[str, Any], keys: tuple[str, ...], path: str) -> None:
    for key in given:
        if key not in keys:
            raise PointError("E002", f"unknown key `{key}`; keys: {', '.join(keys)}", path)


def _one(own: Node, slopes: dict[str, Node], example: Mapping[str, Any], path: str) -> dict[str, Any]:
    given = dict(_given(own, slopes, example, path))
    found = {y: {"logp": _unrowed(evaluate(slope, given))} for y, slope in slopes.items()}
    return {"loss": _unrowed(evaluate(own, given)), "gradient": found}


def _given(
    own: Node, slopes: dict[str, Node], example: Mapping[str, Any], path: str
) -> Iterator[tuple[Node, Any]]:
    for node in inputs(own, *slopes.values()):
        match node:
            case Logp(model=model, response=response):
                key = {"policy": "logp", "rollout": "old_logp"}.get(model, "ref_logp")
                yield node, [_tokens(example[response], key, f"{path}.{response}")]
            case Length(response=response):
                yield node, [_length(example[response], f"{path}.{response}")]
            case Column(name=name, response=str() as response):
                yield node, [_number(_needed(example[response], name, f"{path}.{response}"), path)]


def _needed(response: Mapping[str, Any], key: str, path: str) -> Any:
    if key not in response:
        raise PointError("E006", f"missing key `{key}`", path)
    return response[key]


def _tokens(response: Mapping[str, Any], key: str, path: str) -> list[float]:
    value = _needed(response, key, path)
    if isinstance(value, list):
        return [_number(v, f"{path}.{key}") for v in value]
    return [_number(value, f"{path}.{key}")]


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


def _unrowed(value: Any) -> Any:
    """Take the one row, and the one token where the objective sees sums alone."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value
