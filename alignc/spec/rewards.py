"""Rewards and oracles: sources of the reward of a response, and of preferences between two responses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from alignc.contract.rewards import REWARDS
from alignc.spec.base import Spec, field
from alignc.spec.model_source import ModelSource
from alignc.yaml.source import NodePath

__all__ = [
    "AnswerVerifier",
    "BradleyTerry",
    "ColumnReward",
    "FunctionOracle",
    "FunctionReward",
    "HttpReward",
    "JsonVerifier",
    "LengthVerifier",
    "ModelReward",
    "Oracle",
    "RegexVerifier",
    "Reward",
    "Source",
    "sources",
]

FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
URL = r"^https?://[^\s/?#@]+([/?]\S*)?$"


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        reason = "not a regular expression: {reason}"
        raise PydanticCustomError("regular_expression", reason, {"reason": str(error)}) from error
    return text


Expression = Annotated[str, AfterValidator(_expression)]


class Weighted(Spec):
    """The field of each source: its weight in the sum."""

    weight: float = field(1.0, "Factor of this reward in the sum.")


class AnswerVerifier(Weighted):
    """A comparison of the response with the answer of the row: 1 if they agree, else 0."""

    kind: Literal["verifier"] = field(..., "A check of the response's text.")
    name: Literal["exact_number", "exact_match"] = field(
        ...,
        "`exact_number`: the last numbers of both texts agree; `exact_match`: both texts agree, except outer space.",
    )
    answer: str = field(
        "answer", "Column of the answer; a dotted path names a value inside an object.", min_length=1
    )


class RegexVerifier(Weighted):
    """A regular expression: 1 if the response contains a match, else 0."""

    kind: Literal["verifier"] = field(..., "A check of the response's text.")
    name: Literal["regex"] = field(..., "The response contains a match of a regular expression.")
    pattern: Expression = field(
        ..., "The expression, in the syntax of Python's `re`.", min_length=1, max_length=1000
    )


class LengthVerifier(Weighted):
    """A limit of length: 1 if the response is not longer than the limit, else 0."""

    kind: Literal["verifier"] = field(..., "A check of the response's text.")
    name: Literal["length"] = field(..., "The response is no longer than the limit.")
    limit: int = field(..., "Largest number of characters in a response.", unit="character", ge=0)


class JsonVerifier(Weighted):
    """Valid JSON: 1 if the response is one JSON value, and equals the value of the row if given, else 0."""

    kind: Literal["verifier"] = field(..., "A check of the response's text.")
    name: Literal["json"] = field(..., "The response is one JSON value.")
    answer: str | None = field(
        None, "Column of the required value; by default any value is accepted.", min_length=1
    )


class ModelReward(Weighted):
    """The scalar head of a reward model, which reads the text with its own tokenizer."""

    kind: Literal["model"] = field(..., "A reward model.")
    path: ModelSource = field(..., "A hub id, a folder or `{run: SPEC}` of a `reward_model`.")


class FunctionReward(Weighted):
    """A Python function of prompts and completions, which runs in a separate process."""

    kind: Literal["function"] = field(..., "A Python function; `alignc.toml` or a flag must allow it.")
    name: str = field(
        ...,
        "`module:function`. The function gets the lists `prompts` and `completions`, and each column by its name. "
        "It returns a list with one number per completion.",
        pattern=FUNCTION,
        max_length=200,
    )
    timeout: float = field(30.0, "Time limit of one call.", unit="second", gt=0)


class HttpReward(Weighted):
    """An HTTP endpoint."""

    kind: Literal["http"] = field(..., "An endpoint; `alignc.toml` or a flag must allow its host.")
    url: str = field(
        ...,
        'Address. The endpoint gets `{"prompts", "completions", "columns"}` by POST, and answers `{"scores": […]}`.',
        pattern=URL,
        max_length=2000,
    )
    timeout: float = field(30.0, "Time limit of one attempt.", unit="second", gt=0)
    retries: int = field(
        2, "Number of further attempts if the connection fails or the server is busy.", ge=0, le=10
    )


class ColumnReward(Weighted):
    """A number of the row, which is the same for each response to the prompt."""

    kind: Literal["column"] = field(..., "A column of the data.")
    name: str = field(
        ..., "Column of the number; a dotted path names a value inside an object.", min_length=1
    )


Verifier = Annotated[
    AnswerVerifier | RegexVerifier | LengthVerifier | JsonVerifier, Field(discriminator="name")
]
Source = Annotated[
    Verifier | ModelReward | FunctionReward | HttpReward | ColumnReward, Field(discriminator="kind")
]


def _one_or_several(value: Any) -> str:
    return "(several)" if isinstance(value, list) else "(one)"


Reward = Annotated[
    Annotated[Source, Tag("(one)")]
    | Annotated[Annotated[list[Source], Field(min_length=1)], Tag("(several)")],
    Discriminator(_one_or_several),
]


class BradleyTerry(Spec):
    """The probability that the better of two rewards wins: σ(scale · (r₁ − r₂))."""

    kind: Literal["bradley_terry"] = field(..., "A reward that decides how probably a response wins.")
    reward: Reward = field(..., "One source, or a weighted list of sources.")
    scale: float = field(1.0, "Factor of the difference of rewards.", gt=0)


class FunctionOracle(Spec):
    """A Python function of two responses, which runs in a separate process; it may be intransitive."""

    kind: Literal["function"] = field(..., "A Python function; `alignc.toml` or a flag must allow it.")
    name: str = field(
        ...,
        "`module:function`. The function gets the lists `prompts`, `first` and `second`, and each column by its name. "
        "It returns a list with one probability per pair that the first response wins.",
        pattern=FUNCTION,
        max_length=200,
    )
    timeout: float = field(30.0, "Time limit of one call.", unit="second", gt=0)
    both_orders: bool = field(
        False, "Judge each pair in both orders and take the mean, which removes a bias for the first place."
    )


Oracle = Annotated[
    Verifier | ModelReward | HttpReward | ColumnReward | BradleyTerry | FunctionOracle,
    Field(discriminator="kind"),
]


def sources(spec: Mapping[str, Any]) -> Iterator[tuple[NodePath, Mapping[str, Any]]]:
    """Yield each source of the rewards and oracles of a spec with its path, as plain data."""
    data = spec.get("data")
    for section, rows in _sections(data if isinstance(data, Mapping) else {}):
        for name in ("reward", "oracle"):
            yield from _below((*section, name), rows.get(name))


def _sections(data: Mapping[str, Any]) -> Iterator[tuple[NodePath, Mapping[str, Any]]]:
    """Walk the sections of rows: `data` itself, or each of its sources."""
    several = data.get("sources")
    if not isinstance(several, Mapping):
        yield ("data",), data
        return
    for name, rows in several.items():
        if isinstance(rows, Mapping):
            yield ("data", "sources", name), rows


def _below(path: NodePath, value: Any) -> Iterator[tuple[NodePath, Mapping[str, Any]]]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _below((*path, index), inner)
    elif isinstance(value, Mapping):
        row = REWARDS.get(str(value.get("kind")))
        if row is None or row.rewards is None:
            yield path, value
        else:
            yield from _below((*path, row.rewards), value.get(row.rewards))
