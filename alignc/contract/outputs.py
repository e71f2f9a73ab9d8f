"""What a model gives beside log-probabilities: a row each, with everything that either side says of it.

The formulas are templates over these names: `{response}` is a response such as `y_w`, `{before}` is the state before
each token of it such as `y_w,<t`, `{model}` and `{reference}` are policies such as `π` and `π_ref`. For example, the
row of `divergence` prints as `KL(π‖π_ref)(x, y_i,<t)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["OUTPUTS", "ModelOutput", "Per", "Quantity", "by_token"]


class Quantity(StrEnum):
    """The outputs of a model, by the names that a job and its loss have for them."""

    VALUE = "value"
    TOKEN_VALUE = "token_value"
    SCORE = "score"
    LOG_SUM_SQUARES = "log_sum_squares"
    ENTROPY = "entropy"
    DIVERGENCE = "divergence"


class Per(StrEnum):
    """What an output has one number for."""

    PROMPT = "prompt"
    RESPONSE = "response"
    TOKEN = "token"


@dataclass(frozen=True)
class ModelOutput:
    """An output of a model: what it is, whether it is trained, and how it reads.

    `unit` is `nat`, `reward` or `1`. `atom` names the output where two losses are compared, and `at` is its key in an
    example of `--at`. `explain` lists the gradient of an output with `moves`: ∂L/∂`letter`, and what a step does to the
    output. A `logarithm` is at most 0, and adds up over the tokens of a response as log-probabilities do. `stored` is
    the column with the output of the policy that sampled.
    """

    name: Quantity
    per: Per
    unit: str
    trained: bool
    text: str
    latex: str
    atom: str
    at: str
    words: str
    letter: str = ""
    moves: str = ""
    logarithm: bool = False
    stored: str = ""


_ROWS = (
    ModelOutput(
        Quantity.VALUE, Per.PROMPT, "reward", True, "V(x)", "V(x)", "V", "value", "value of the policy"
    ),
    ModelOutput(
        Quantity.TOKEN_VALUE,
        Per.TOKEN,
        "reward",
        True,
        "V(x, {before})",
        "V(x, {before})",
        "token_value",
        "value",
        "token_value of the policy",
        letter="V",
        moves="moves the value of a state towards its return",
        stored="old_value",
    ),
    ModelOutput(
        Quantity.SCORE,
        Per.RESPONSE,
        "1",
        True,
        "r(x, {response})",
        "r(x, {response})",
        "s",
        "score",
        "score of the policy",
    ),
    ModelOutput(
        Quantity.LOG_SUM_SQUARES,
        Per.TOKEN,
        "nat",
        False,
        "log Σ_v π({response},t=v)²",
        r"\log \sum_v \pi_\theta(v \mid {{{response}}}_{{<t}})^2",
        "log_sum_squares",
        "log_sum_squares",
        "log_sum_squares of the policy",
        logarithm=True,
    ),
    ModelOutput(
        Quantity.ENTROPY,
        Per.TOKEN,
        "nat",
        True,
        "H(π(·|x, {before}))",
        r"H\left(\pi_\theta(\cdot \mid x, {before})\right)",
        "entropy",
        "entropy",
        "entropy of the policy",
        letter="H",
        moves="raises the entropy of the next token",
    ),
    ModelOutput(
        Quantity.DIVERGENCE,
        Per.TOKEN,
        "nat",
        True,
        "KL({model}‖{reference})(x, {before})",
        r"\mathrm{{KL}}\left({model} \,\middle\|\, {reference}\right)(x, {before})",
        "divergence",
        "divergence",
        "divergence of the next token from the reference",
        letter="D",
        moves="lowers the divergence of the next token from the reference",
        stored="old_divergence",
    ),
)

OUTPUTS: Mapping[Quantity, ModelOutput] = {row.name: row for row in _ROWS}


def by_token() -> tuple[ModelOutput, ...]:
    """List the outputs that have one number for each token."""
    return tuple(row for row in OUTPUTS.values() if row.per == Per.TOKEN)
