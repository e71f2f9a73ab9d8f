"""The rows that a job learns from: given ones, and prompts whose responses the policy makes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from alignc.contract.samplers import IN_PROCESS, SamplerName
from alignc.contract.support import limits
from alignc.spec.base import Spec, field
from alignc.spec.model_source import form
from alignc.spec.rewards import Oracle, Reward

__all__ = ["ONLINE", "Data", "Given", "Sources"]

ONLINE = ("prompts", "self_play")
"""The kinds of data whose responses the policy samples while it trains."""


SourceName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", max_length=40)]


class HeldOutSource(Spec):
    """Held-out rows of a source of their own."""

    source: str = field(..., "File, folder or hub id.", min_length=1)
    split: str = field("train", "Split of the source.")


class HeldOutFraction(Spec):
    """Held-out rows taken out of the training source."""

    fraction: float = field(..., "Share of the rows that is held out.", gt=0, lt=1)


def _held_out_form(value: Any) -> str:
    if isinstance(value, dict):
        return form(value, "source", "fraction")
    return "(fraction)" if isinstance(value, HeldOutFraction) else "(source)"


HeldOut = Annotated[
    Annotated[HeldOutSource, Tag("(source)")] | Annotated[HeldOutFraction, Tag("(fraction)")],
    Discriminator(_held_out_form),
]


class Rows(Spec):
    """What every kind of data has."""

    source: str = field(..., "JSONL, parquet or CSV file, a folder of them, or a hub id.", min_length=1)
    split: str = field("train", "Split of a hub data set or folder.")
    chat_template: str | None = field(None, "Jinja file in place of the tokenizer's template.")
    max_rows: int | None = field(None, "Take this many rows at the most.", ge=1)
    eval: HeldOut | None = field(None, "Held-out rows: a source of their own, or a fraction.")
    on_bad_row: Literal["error", "quarantine"] = field(
        "error", "Stop at bad rows, or set them aside in `quarantine.jsonl`."
    )
    max_refused: int = field(0, "Bad rows that are allowed.", ge=0)
    max_cut: float = field(0.2, "Share of rows whose completion may be cut.", ge=0, le=1)


class PairwiseColumns(Spec):
    """Where a pair's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    chosen: str = field("chosen", "The response that is preferred.")
    rejected: str = field("rejected", "The other response.")
    score_chosen: str = field("score_chosen", "Reward of the preferred response.")
    score_rejected: str = field("score_rejected", "Reward of the other response.")
    margin: str = field("margin", "What the preferred response should be ahead by.")


class DemonstrationColumns(Spec):
    """Where a demonstration's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    completion: str = field("completion", "The response that is imitated.")
    messages: str = field("messages", "A conversation, in place of prompt and completion.")


class Pairwise(Rows):
    """Pairs of responses to one prompt, one of them preferred."""

    kind: Literal["pairwise"] = field(..., "Rows of prompt, chosen, rejected.")
    columns: PairwiseColumns = field(PairwiseColumns(), "Names of the columns.")


class Demonstrations(Rows):
    """Responses to imitate."""

    kind: Literal["demonstrations"] = field(..., "Rows of prompt and completion, or messages.")
    columns: DemonstrationColumns = field(DemonstrationColumns(), "Names of the columns.")


class MarkedColumns(Spec):
    """Where a judged response's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    completion: str = field("completion", "The response.")
    label: str = field("label", "True where the response is desirable.")
    reward: str = field("reward", "A number: the higher the better.")
    win_rate: str = field("win_rate", "Probability that it beats the policy's own response.")


class ScoredColumns(Spec):
    """Where a group's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    completions: str = field("completions", "A list of responses.")
    rewards: str = field("rewards", "A list of their rewards.")
    win_rates: str = field("win_rates", "A list of their win rates.")


class Marked(Rows):
    """Single responses, each with a label, a reward or a win rate."""

    kind: Literal["pointwise"] = field(..., "Rows of prompt, completion and label, reward or win_rate.")
    columns: MarkedColumns = field(MarkedColumns(), "Names of the columns.")


class Scored(Rows):
    """Several responses to a prompt, each with a reward."""

    kind: Literal["scored"] = field(..., "Rows of prompt, completions and rewards.")
    columns: ScoredColumns = field(ScoredColumns(), "Names of the columns.")


class PromptColumns(Spec):
    """Where a prompt's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    answer: str = field("answer", "What a verifier compares with, where it needs that.")
    completion: str = field("completion", "A demonstration, where the objective has one.")


class PolicyOpponent(Spec):
    """The policy itself."""

    kind: Literal["policy"] = field("policy", "Responses are compared with one another.")


class MixtureOpponent(Spec):
    """The geometric mixture of policy and reference (Munos et al. 2023)."""

    kind: Literal["mixture"] = field(
        ..., "Each response is compared with one of π^(1−weight)·ref^weight, made anew."
    )
    weight: float = field(0.5, "Share of the reference in the mixture.", gt=0, le=1)


Opponent = Annotated[PolicyOpponent | MixtureOpponent, Field(discriminator="kind")]


class Sampled(Rows):
    """Prompts that the policy answers while it trains."""

    columns: PromptColumns = field(PromptColumns(), "Names of the columns.")
    completions_per_prompt: int = field(1, "Responses to each prompt.", symbol="k", unit="response", ge=1)
    max_new_tokens: int = field(64, "Longest response.", unit="token", ge=1)
    temperature: float = field(
        1.0, f"Of sampling; the policy's own law has 1. {limits('data.temperature')}", ge=0
    )
    top_p: float = field(1.0, "Keep the likeliest tokens of this total probability.", gt=0, le=1)
    sampler: SamplerName = field(IN_PROCESS.name, f"What generates. {limits('data.sampler')}")
    reward: Reward | None = field(None, "What a response is worth: a source, or a weighted list of several.")
    oracle: Oracle | None = field(None, "Which of two responses is better, and how probably.")
    opponent: Opponent = field(PolicyOpponent(), "What the oracle compares a response with.")
    missing_eos_reward: float | None = field(
        None, "Reward of a response that was cut off, in place of its own; left out: its own.", unit="reward"
    )


class Prompts(Sampled):
    """Prompts; a step's responses are sampled just before it."""

    kind: Literal["prompts"] = field(..., "Rows of prompt, and what the reward needs.")


class SelfPlay(Sampled):
    """Prompts that are answered in iterations; each is fitted before the next is sampled."""

    kind: Literal["self_play"] = field(..., "Rows of prompt, and what the oracle needs.")
    iterations: int = field(3, "Rounds of sampling all prompts and fitting.", symbol="T", ge=1)


Given = Annotated[Pairwise | Demonstrations | Marked | Scored, Field(discriminator="kind")]


class Sources(Spec):
    """Several sources of given rows, each for the terms that name it; a step takes a batch of each."""

    kind: Literal["sources"] = field("sources", "Known by `sources`; need not be written.")
    sources: dict[SourceName, Given] = field(
        ..., "The sources by name: a term's `data` picks one.", min_length=1
    )


Data = Annotated[
    Pairwise | Demonstrations | Marked | Scored | Prompts | SelfPlay | Sources, Field(discriminator="kind")
]
