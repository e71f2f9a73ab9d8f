"""What responses are worth: sources of a reward, and oracles that prefer one response to another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

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
    """What every source has: its weight in the sum."""

    weight: float = field(1.0, "Factor of this reward in the sum.")


class AnswerVerifier(Weighted):
    """A comparison with the answer that the row gives: 1 where they agree, else 0."""

    kind: Literal["verifier"] = field(..., "A check of the response's text.")
    name: Literal["exact_number", "exact_match"] = field(
        ...,
        "`exact_number`: the last numbers of both agree; `exact_match`: the texts do, but for space around them.",
    )
    answer: str = field("answer", "Column of the answer; dotted paths reach into objects.", min_length=1)


class RegexVerifier(Weighted):
    """A regular expression: 1 where it is found in the response, else 0."""

    kind: Literal["verifier"] = field(..., "A check of the response's text.")
    name: Literal["regex"] = field(..., "A regular expression is found.")
    pattern: Expression = field(
        ..., "The expression, as Python's `re` reads it.", min_length=1, max_length=1000
    )


class LengthVerifier(Weighted):
    """A limit of length: 1 where the response keeps to it, else 0."""

    kind: Literal["verifier"] = field(..., "A check of the response's text.")
    name: Literal["length"] = field(..., "The response is no longer than the limit.")
    limit: int = field(..., "Characters that a response may have.", unit="character", ge=0)


class JsonVerifier(Weighted):
    """Valid JSON: 1 where the response is one JSON value (and the one that the row gives), else 0."""

    kind: Literal["verifier"] = field(..., "A check of the response's text.")
    name: Literal["json"] = field(..., "The response is one JSON value.")
    answer: str | None = field(
        None, "Column of the value that it must equal; left out: any value will do.", min_length=1
    )


class ModelReward(Weighted):
    """The scalar head of a reward model, which reads the text with its own tokenizer."""

    kind: Literal["model"] = field(..., "A reward model.")
    path: ModelSource = field(..., "A hub id, a folder or `{run: SPEC}` of a `reward_model`.")


class FunctionReward(Weighted):
    """A Python function of prompts and completions, in a process of its own."""

    kind: Literal["function"] = field(..., "A Python function, which `alignc.toml` or a flag must allow.")
    name: str = field(
        ...,
        "`module:function`; it gets lists `prompts` and `completions` and each column by its name, and returns "
        "as many numbers.",
        pattern=FUNCTION,
        max_length=200,
    )
    timeout: float = field(30.0, "Time that one call may take.", unit="second", gt=0)


class HttpReward(Weighted):
    """An HTTP endpoint."""

    kind: Literal["http"] = field(..., "An endpoint, whose host `alignc.toml` or a flag must allow.")
    url: str = field(
        ...,
        'Gets `{"prompts", "completions", "columns"}` by POST, and answers `{"scores": […]}`.',
        pattern=URL,
        max_length=2000,
    )
    timeout: float = field(30.0, "Time that one attempt may take.", unit="second", gt=0)
    retries: int = field(2, "Further attempts where the connection fails or the server is busy.", ge=0, le=10)


class ColumnReward(Weighted):
    """A number that the row gives, the same for each of its responses."""

    kind: Literal["column"] = field(..., "A column of the data.")
    name: str = field(..., "Column of the number; dotted paths reach into objects.", min_length=1)


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

    kind: Literal["bradley_terry"] = field(..., "A reward, read as the strength of a player.")
    reward: Reward = field(..., "A source, or a weighted list of them.")
    scale: float = field(1.0, "Factor of the difference of rewards.", gt=0)


class FunctionOracle(Spec):
    """A Python function of two responses, intransitive ones included, in a process of its own."""

    kind: Literal["function"] = field(..., "A Python function, which `alignc.toml` or a flag must allow.")
    name: str = field(
        ...,
        "`module:function`; it gets lists `prompts`, `first` and `second` and each column by its name, and returns "
        "as many probabilities that the first response wins.",
        pattern=FUNCTION,
        max_length=200,
    )
    timeout: float = field(30.0, "Time that one call may take.", unit="second", gt=0)
    both_orders: bool = field(
        False, "Ask for each pair in both orders and take the mean, against a preference for the first place."
    )


Oracle = Annotated[
    Verifier | ModelReward | HttpReward | ColumnReward | BradleyTerry | FunctionOracle,
    Field(discriminator="kind"),
]


def sources(spec: Mapping[str, Any]) -> Iterator[tuple[NodePath, Mapping[str, Any]]]:
    """Walk every source of a spec's rewards and oracles, as plain data, with its path."""
    data = spec.get("data")
    for name in ("reward", "oracle"):
        yield from _below(("data", name), data.get(name) if isinstance(data, Mapping) else None)


def _below(path: NodePath, value: Any) -> Iterator[tuple[NodePath, Mapping[str, Any]]]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _below((*path, index), inner)
    elif isinstance(value, Mapping) and value.get("kind") == "bradley_terry":
        yield from _below((*path, "reward"), value.get("reward"))
    elif isinstance(value, Mapping):
        yield path, value
