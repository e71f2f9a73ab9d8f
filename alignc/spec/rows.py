"""The rows that a job learns from: given rows, and prompts whose responses the policy samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from alignc.contract.kinds import ONLINE
from alignc.contract.samplers import IN_PROCESS, SamplerName
from alignc.contract.support import limits
from alignc.spec.base import Spec, field
from alignc.spec.model_source import form
from alignc.spec.rewards import Oracle, Reward

__all__ = ["Data", "OneSource", "Sources", "sampled_source"]


TemplateName = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$", max_length=80)]
SourceName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", max_length=40)]


class HeldOutSource(Spec):
    """Held-out rows from a separate source."""

    source: str = field(..., "File, folder or hub id.", min_length=1)
    split: str = field("train", "Split of the source.")


class HeldOutFraction(Spec):
    """Held-out rows that are taken from the training source."""

    fraction: float = field(..., "Share of held-out rows.", gt=0, lt=1)


def _held_out_form(value: Any) -> str:
    if isinstance(value, dict):
        return form(value, "source", "fraction")
    return "(fraction)" if isinstance(value, HeldOutFraction) else "(source)"


HeldOut = Annotated[
    Annotated[HeldOutSource, Tag("(source)")] | Annotated[HeldOutFraction, Tag("(fraction)")],
    Discriminator(_held_out_form),
]


class Rows(Spec):
    """The fields of each kind of data."""

    source: str = field(
        ...,
        "JSONL, JSON, parquet, CSV or TSV file, a pattern or a folder of them, or a hub id.",
        min_length=1,
    )
    split: str = field("train", "Split of a hub data set or folder.")
    name: str | None = field(None, "Configuration of a hub data set.")
    revision: str | None = field(None, "Branch, tag or commit of a hub data set.")
    data_files: str | list[str] | None = field(
        None, "Files of the data set or folder, by name or pattern; by default those of the split."
    )
    streaming: bool = field(
        False, "Read a hub data set over the network without storing it; the token ids are stored."
    )
    chat_template: str | None = field(None, "Jinja file that replaces the template of the tokenizer.")
    chat_template_kwargs: dict[TemplateName, bool | int | float | str] = field(
        {}, "Values that the chat template reads, by name: for example `enable_thinking: false`."
    )
    chat_template_date: str | None = field(
        None,
        "Date, as YYYY-MM-DD, that the chat template writes as today's; by default the date on which the run began.",
        pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$",
    )
    max_rows: int | None = field(None, "Largest number of rows to use.", ge=1)
    eval: HeldOut | None = field(None, "Held-out rows: a separate source, or a fraction of this source.")
    on_bad_row: Literal["error", "quarantine"] = field(
        "error", "`error`: stop at a bad row; `quarantine`: move bad rows to `quarantine.jsonl`."
    )
    max_refused: int = field(0, "Largest number of bad rows that is allowed.", ge=0)
    max_cut: float = field(0.2, "Largest share of rows with a cut completion that is allowed.", ge=0, le=1)


class FrameColumns(Spec):
    """The columns around a prompt, which become part of it; an empty name reads none."""

    system: str | None = field(None, "The system prompt; by default `system` or `system_prompt`.")
    history: str | None = field(
        None, "Earlier turns: pairs of a question and its answer, or messages; by default `history`."
    )
    input: str | None = field(
        None, "Text on a new line behind the prompt; by default `input`, if the prompt is `instruction`."
    )


class PairwiseColumns(FrameColumns):
    """The columns of a pair; a dotted path names a value inside an object."""

    prompt: str = field("prompt", "The prompt.")
    chosen: str = field("chosen", "The preferred response.")
    rejected: str = field("rejected", "The other response.")
    messages: str | None = field(None, "A conversation that replaces `prompt` and `chosen`.")
    score_chosen: str = field("score_chosen", "Reward of the preferred response.")
    score_rejected: str = field("score_rejected", "Reward of the other response.")
    margin: str = field("margin", "Required gap between the scores of the two responses.")


class DemonstrationColumns(FrameColumns):
    """The columns of a demonstration; a dotted path names a value inside an object."""

    prompt: str = field("prompt", "The prompt.")
    completion: str = field("completion", "The response to imitate.")
    messages: str = field("messages", "A conversation; it replaces prompt and completion.")


class Pairwise(Rows):
    """Pairs of a preferred and another response to one prompt."""

    kind: Literal["pairwise"] = field(..., "Rows of prompt, chosen and rejected.")
    columns: PairwiseColumns = field(PairwiseColumns(), "Names of the columns.")


class Demonstrations(Rows):
    """Responses to imitate."""

    kind: Literal["demonstrations"] = field(..., "Rows of prompt and completion, or of messages.")
    columns: DemonstrationColumns = field(DemonstrationColumns(), "Names of the columns.")


class MarkedColumns(FrameColumns):
    """The columns of a judged response; a dotted path names a value inside an object."""

    prompt: str = field("prompt", "The prompt.")
    completion: str = field("completion", "The response.")
    messages: str | None = field(None, "A conversation that replaces `prompt` and `completion`.")
    label: str = field("label", "True if the response is desirable.")
    reward: str = field("reward", "Reward of the response; a higher number is better.")
    win_rate: str = field("win_rate", "Probability that the response beats a response of the policy.")


class ScoredColumns(FrameColumns):
    """The columns of a group of responses; a dotted path names a value inside an object."""

    prompt: str = field("prompt", "The prompt.")
    completions: str = field("completions", "A list of responses.")
    rewards: str = field("rewards", "A list with the rewards of the responses.")
    win_rates: str = field("win_rates", "A list with the win rates of the responses.")


class Marked(Rows):
    """Single responses, each with a label, a reward or a win rate."""

    kind: Literal["pointwise"] = field(
        ..., "Rows of prompt and completion, with a label, reward or win_rate."
    )
    columns: MarkedColumns = field(MarkedColumns(), "Names of the columns.")


class Scored(Rows):
    """Several responses to a prompt, each with a reward."""

    kind: Literal["scored"] = field(..., "Rows of prompt, completions and rewards.")
    columns: ScoredColumns = field(ScoredColumns(), "Names of the columns.")


class PromptColumns(FrameColumns):
    """The columns of a prompt; a dotted path names a value inside an object."""

    prompt: str = field("prompt", "The prompt.")
    answer: str = field("answer", "The correct answer, for verifiers that compare responses with it.")
    completion: str = field("completion", "A demonstration, for objectives that use one.")


class PolicyOpponent(Spec):
    """The policy as its own opponent."""

    kind: Literal["policy"] = field("policy", "The responses to a prompt are compared with each other.")


class MixtureOpponent(Spec):
    """The geometric mixture of policy and reference (Munos et al. 2023)."""

    kind: Literal["mixture"] = field(
        ..., "Each response is compared with a new sample of π^(1−weight)·ref^weight."
    )
    weight: float = field(0.5, "Share of the reference in the mixture.", gt=0, le=1)


Opponent = Annotated[PolicyOpponent | MixtureOpponent, Field(discriminator="kind")]


class Sampled(Rows):
    """Prompts; the policy samples responses to them during training."""

    columns: PromptColumns = field(PromptColumns(), "Names of the columns.")
    completions_per_prompt: int = field(
        1, "Number of responses per prompt.", symbol="k", unit="response", ge=1
    )
    max_new_tokens: int = field(64, "Largest number of tokens in a response.", unit="token", ge=1)
    temperature: float = field(
        1.0, f"Sampling temperature; 1 samples from the policy itself. {limits('data.temperature')}", ge=0
    )
    top_p: float = field(
        1.0, "Sample from the most likely tokens with this total probability; 1 keeps all tokens.", gt=0, le=1
    )
    top_k: int | None = field(
        None, "Sample from this number of most likely tokens; null keeps all tokens.", ge=1
    )
    min_p: float = field(
        0.0,
        "Sample from the tokens that have at least this share of the probability of the most likely token. "
        f"{limits('data.min_p')}",
        ge=0,
        le=1,
    )
    stop: list[Annotated[str, Field(min_length=1)]] = field(
        [], "Strings that end a response, after the token that completes one of the strings.", max_length=16
    )
    sampler: SamplerName = field(
        IN_PROCESS.name, f"Library that generates the responses. {limits('data.sampler')}"
    )
    reward: Reward | None = field(None, "Reward of a response: one source, or a weighted list of sources.")
    oracle: Oracle | None = field(None, "Source of the probability that one response is better than another.")
    opponent: Opponent = field(
        PolicyOpponent(), "The opponent whose responses the oracle compares with a response."
    )
    missing_eos_reward: float | None = field(
        None,
        "Reward of a response that comes to no end within `max_new_tokens`; by default it keeps its own reward.",
        unit="reward",
    )

    @property
    def cuts(self) -> tuple[str, ...]:
        """The fields that cut the tail of the distribution off."""
        set_ = {"top_k": self.top_k is not None, "top_p": self.top_p < 1, "min_p": self.min_p > 0}
        return tuple(name for name, cut in set_.items() if cut)

    @property
    def law(self) -> str:
        """The settings that make samples of another distribution than the policy's own; empty without any."""
        heat = [f"temperature {self.temperature:g}"] * (self.temperature != 1)
        cuts = self.cuts if self.temperature > 0 else ()
        return " and ".join([*heat, *(f"{name} {getattr(self, name):g}" for name in cuts)])


class Prompts(Sampled):
    """Prompts whose responses are sampled just before each step."""

    kind: Literal["prompts"] = field(..., "Rows of prompt, and the columns of the reward.")


class SelfPlay(Sampled):
    """Prompts of self-play: each iteration samples responses to all prompts, and then trains on them."""

    kind: Literal["self_play"] = field(..., "Rows of prompt, and the columns of the oracle.")
    iterations: int = field(3, "Number of rounds of sampling and training.", symbol="T", ge=1)


OneSource = Annotated[
    Pairwise | Demonstrations | Marked | Scored | Prompts | SelfPlay, Field(discriminator="kind")
]


class Sources(Spec):
    """Several sources of rows; each term names its source, and each step takes a batch of each source.

    The policy samples the responses of at most one source; the rows of the other sources are given.
    """

    kind: Literal["sources"] = field(
        "sources", "The key `sources` decides this kind; it need not be written."
    )
    sources: dict[SourceName, OneSource] = field(
        ..., "The sources by name; the field `data` of a term names its source.", min_length=1
    )


Data = Annotated[
    Pairwise | Demonstrations | Marked | Scored | Prompts | SelfPlay | Sources, Field(discriminator="kind")
]


def sampled_source(sources: Mapping[str, Any]) -> str | None:
    """Find the first source whose responses the policy samples, by name.

    A source is a section of a typed spec or of plain data.
    """
    for name, rows in sources.items():
        kind = rows.get("kind") if isinstance(rows, Mapping) else getattr(rows, "kind", None)
        if kind in ONLINE:
            return name
    return None
