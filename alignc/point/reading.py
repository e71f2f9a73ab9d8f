"""Read the examples of `--at`: which keys there are, of which shape, and which input of a graph each number is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from alignc.contract.baselines import PARTITIONS
from alignc.contract.models import MODELS, is_other
from alignc.contract.outputs import OUTPUTS, ModelOutput, Per, Quantity
from alignc.contract.responses import COMPLETIONS
from alignc.graph.nodes import Apply, Column, GroupSize, Length, Logp, Multiply, Node, Output, Position, Power
from alignc.graph.rewrite import inputs
from alignc.graph.walk import children
from alignc.load.check import shown

__all__ = [
    "UNEVEN",
    "PointError",
    "bends",
    "check_groups",
    "check_keys",
    "check_lists",
    "check_probabilities",
    "examples_of",
    "logp_key",
    "members_of",
    "number",
    "values_of",
]

LOGARITHMS = tuple(dict.fromkeys(row.at for row in MODELS.values()))
BY_RESPONSE = (
    *LOGARITHMS, "length", "reward", "win_rate", OUTPUTS[Quantity.VALUE].at, "advantage",
    OUTPUTS[Quantity.SCORE].at, "return", OUTPUTS[Quantity.TOKEN_VALUE].stored,
)  # fmt: skip
KEYS = tuple(
    dict.fromkeys(
        (
            *BY_RESPONSE,
            *(row.at for row in OUTPUTS.values()),
            *(r.stored for r in OUTPUTS.values() if r.stored),
        )
    )
)
"""What a response of an example may give: sums over tokens in nat, or lists by token."""
UNEVEN = "each list of a response must have one number for each of its tokens"
OTHER = re.compile(r"other\d*_logp")
ROW_KEYS = ("label", "margin", *PARTITIONS)


def logp_key(model: str) -> str:
    """Name a model's log-probabilities as an example of `--at` gives them."""
    return f"{model}_logp" if is_other(model) else MODELS[model].at


class PointError(ValueError):
    """A point that cannot be evaluated: its code, and the JSON path of what is wrong."""

    def __init__(self, code: str, message: str, path: str) -> None:
        super().__init__(message)
        self.code, self.path = code, path


def examples_of(point: Any, responses: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """List the examples of a point, each of the keys that it may have; raises PointError."""
    if not isinstance(point, dict):
        raise PointError("E003", "the point must be an object", "")
    check_keys(point, ("examples", "z0"), "")
    examples = point.get("examples")
    if examples is None:
        raise PointError("E006", "missing key `examples`", "")
    if not isinstance(examples, list) or not examples:
        raise PointError("E003", "`examples` must be a list with at least one example", "examples")
    for index, example in enumerate(examples):
        _check_example(example, responses, f"examples[{index}]")
    for index, example in enumerate(examples):
        for response in responses:
            for inner, at in members_of(example[response], response, f"examples[{index}].{response}"):
                _check_tokens(inner, at)
    return examples


def _check_example(example: Any, responses: tuple[str, ...], path: str) -> None:
    if not isinstance(example, dict):
        raise PointError("E003", "an example must be an object", path)
    check_keys(example, (*responses, *ROW_KEYS), path)
    for response in responses:
        if response not in example:
            raise PointError("E006", f"missing key `{response}`", path)
        for inner, at in members_of(example[response], response, f"{path}.{response}"):
            if not isinstance(inner, dict):
                raise PointError("E003", f"`{response}` must be an object", at)
            check_keys(inner, (*KEYS, *filter(OTHER.fullmatch, inner)), at)


def logarithms(response: Mapping[str, Any]) -> list[str]:
    """List the keys of a response that hold log-probabilities."""
    return [*LOGARITHMS, *filter(OTHER.fullmatch, response)]


def _check_tokens(response: Mapping[str, Any], path: str) -> None:
    """Refuse lists that are not one number a token: PointError E003."""
    counts = {k: float(len(response[k])) for k in logarithms(response) if isinstance(response.get(k), list)}
    if counts and "length" in response:
        counts["length"] = number(response["length"], f"{path}.length")
    first = next(iter(counts), "")
    for key, count in counts.items():
        if count != counts[first]:
            said = f"`length` is {count:g}" if key == "length" else f"`{key}` has {count:g} numbers"
            message = f"{UNEVEN}: {said}, but `{first}` has {counts[first]:g}"
            raise PointError("E003", message, f"{path}.{key}")


def check_probabilities(examples: list[Mapping[str, Any]], responses: tuple[str, ...]) -> None:
    """Refuse logarithms above 0, which no probability has: PointError E004."""
    for index, example in enumerate(examples):
        for response in responses:
            for inner, path in members_of(example[response], response, f"examples[{index}].{response}"):
                for value, at in (each for key in logarithms(inner) for each in _each(inner, key, path)):
                    if number(value, at) > 0:
                        raise PointError("E004", f"a log-probability must be at most 0, found {value:g}", at)


def _each(response: Mapping[str, Any], key: str, path: str) -> list[tuple[Any, str]]:
    value = response.get(key, [])
    if isinstance(value, list):
        return [(each, f"{path}.{key}[{index}]") for index, each in enumerate(value)]
    return [(value, f"{path}.{key}")]


def check_groups(examples: list[Mapping[str, Any]]) -> None:
    """Refuse groups of one response, where responses are compared: PointError E105."""
    for index, example in enumerate(examples):
        if len(example[COMPLETIONS]) < 2:
            message = "the loss compares the responses of a group: give two or more responses"
            raise PointError("E105", message, f"examples[{index}].completions")


def bends(node: Node) -> bool:
    """Tell whether a node makes of each token's numbers what no sum over the tokens tells."""
    by_token = [c for c in children(node) if c.type.axis.by_token]
    return (isinstance(node, Apply | Power) and bool(by_token)) or (
        isinstance(node, Multiply) and len(by_token) > 1
    )


def check_lists(examples: list[Mapping[str, Any]], responses: tuple[str, ...]) -> None:
    """Refuse sums over tokens where the loss looks at every token: PointError E003."""
    for index, example in enumerate(examples):
        for response in responses:
            for inner, at in members_of(example[response], response, f"examples[{index}].{response}"):
                if inner.get("length", 1) != 1 and not isinstance(inner.get("logp", []), list):
                    message = (
                        "the loss reads each token: give lists with one number per token instead of sums"
                    )
                    raise PointError("E003", message, f"{at}.logp")


def members_of(value: Any, response: str, path: str) -> list[tuple[Any, str]]:
    """List the responses that stand under a name, each with its path: one, or those of a group."""
    if response != COMPLETIONS:
        return [(value, path)]
    if not isinstance(value, list) or not value:
        raise PointError("E003", "`completions` must be a list with at least one response", path)
    return [(inner, f"{path}[{i}]") for i, inner in enumerate(value)]


def check_keys(given: Mapping[str, Any], keys: tuple[str, ...], path: str) -> None:
    """Refuse keys that nothing reads: PointError E002."""
    for key in given:
        if key not in keys:
            raise PointError("E002", f"unknown key `{key}`; the keys are {', '.join(keys)}", path)


def values_of(roots: list[Node], example: Mapping[str, Any], path: str) -> Iterator[tuple[Node, Any]]:
    """Find each input of the graphs in an example, as a batch of one row; raises PointError."""
    for node in inputs(*roots):
        if isinstance(node, GroupSize):
            yield node, [float(len(example[COMPLETIONS]))]
        elif isinstance(node, Column) and node.response is None:
            yield node, [_row_value(example, node.name, path)]
        else:
            yield node, [_of_response(node, example, path)]


def _row_value(example: Mapping[str, Any], name: str, path: str) -> float:
    value = _needed(example, name, path)
    return float(value) if isinstance(value, bool) and name == "label" else number(value, f"{path}.{name}")


def _of_response(node: Any, example: Mapping[str, Any], path: str) -> Any:
    name = node.response
    members = members_of(example[name], name, f"{path}.{name}")
    values = [_read(node, response, at) for response, at in members]
    return values if name == COMPLETIONS else values[0]


def _read(node: Node, response: Mapping[str, Any], path: str) -> Any:
    match node:
        case Logp(model=model):
            return _tokens(response, logp_key(model), path)
        case Length():
            return _length(response, path)
        case Position():
            return [float(i + 1) for i in range(len(_tokens(response, "logp", path)))]
        case Output(quantity=quantity):
            return _output(OUTPUTS[quantity], response, path)
        case Column(name=name, token=True):
            return _spread(response, name, path)
        case Column(name=name):
            return number(_needed(response, name, path), f"{path}.{name}")
    raise TypeError(type(node).__name__)


def _output(row: ModelOutput, response: Mapping[str, Any], path: str) -> Any:
    if row.per != Per.TOKEN:
        return number(_needed(response, row.at, path), f"{path}.{row.at}")
    return (_tokens if row.logarithm else _spread)(response, row.at, path)


def _needed(response: Mapping[str, Any], key: str, path: str) -> Any:
    if key not in response:
        raise PointError("E006", f"missing key `{key}`", path)
    return response[key]


def _tokens(response: Mapping[str, Any], key: str, path: str) -> list[float]:
    value = _needed(response, key, path)
    if isinstance(value, list):
        return [number(v, f"{path}.{key}") for v in value]
    return [number(value, f"{path}.{key}")]


def _spread(response: Mapping[str, Any], key: str, path: str) -> list[float]:
    """Read one number a token; a single one stands for all tokens."""
    given, count = _tokens(response, key, path), len(_tokens(response, "logp", path))
    if len(given) not in (1, count):
        raise PointError("E003", f"`{key}` has {len(given)} numbers, but `logp` has {count}", f"{path}.{key}")
    return given if len(given) == count else given * count


def _length(response: Mapping[str, Any], path: str) -> float:
    if "length" not in response and isinstance(response.get("logp"), list):
        return float(len(response["logp"]))
    length = number(_needed(response, "length", path), f"{path}.length")
    if length <= 0:
        raise PointError("E004", f"`length` must be above 0, found {length:g}", f"{path}.length")
    return length


def number(value: Any, path: str) -> float:
    """Read a finite number; raises PointError E003 or E004."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PointError("E003", f"must be a number, found {shown(value)}", path)
    if not -1e300 < value < 1e300:
        raise PointError("E004", f"must be a finite number, found {value}", path)
    return float(value)
