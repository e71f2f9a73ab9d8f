"""The objective after expansion: a weighted sum of typed terms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignc.spec.aggregations import AggregationName
from alignc.spec.axes import Link, LogisticLink, Margin, NoMargin, Score, UtilityLink
from alignc.spec.base import Spec, field
from alignc.spec.kl import K2, KLPlacement
from alignc.spec.model_source import KLAnchor
from alignc.spec.policy import Baseline, NoBaseline, Reinforce, Surrogate
from alignc.spec.targets import NoPoint, NoTarget, ReferencePoint, Target

__all__ = [
    "Entropy",
    "KLTerm",
    "Likelihood",
    "Objective",
    "Pointwise",
    "PolicyGradient",
    "Preference",
    "Term",
    "Value",
]


class TermBase(Spec):
    """The fields of each term."""

    name: str = field(
        ...,
        "Name of the term; overrides and messages use this name.",
        pattern="^[a-z][a-z0-9_]*$",
        max_length=40,
    )
    weight: float = field(1.0, "Factor of the term in the loss.", symbol="λ")
    data: str | None = field(None, "Name of the source of the rows, if `data` has several sources.")


class Preference(TermBase):
    """link(score(chosen) − score(rejected) − margin)."""

    kind: Literal["preference"] = field(..., "A preference between two responses to one prompt.")
    score: Score = field(Score(), "Score of a response.")
    margin: Margin = field(NoMargin(), "Required gap between the two scores.")
    link: Link = field(LogisticLink(kind="logistic"), "Function that turns the distance into a loss.")
    pairs: Literal["best_worst", "all", "demonstration"] = field(
        "best_worst",
        "Pairs among several responses. `best_worst`: the best and the worst response; `all`: each pair (only with the "
        "squared link); `demonstration`: in self-play, the demonstration of the row and a response of the policy.",
    )
    order: Literal["row", "sorted"] = field(
        "row", "Compare within the row, or after sorting over the global batch (optimal transport)."
    )
    sample_weight: Literal["none", "likelihood"] = field(
        "none", "Weigh a pair by the likelihood of both responses under the policy, without gradient."
    )
    center: float = field(
        0.0, "Weight of (score(chosen) + score(rejected))²; this term keeps the scores near 0.", ge=0
    )


class Pointwise(TermBase):
    """link(score − target), where a reference point is subtracted from the score."""

    kind: Literal["pointwise"] = field(..., "One response that is judged by itself.")
    on: Literal["completion", "chosen", "rejected", "completions"] = field(
        "completion",
        "The response. For pairs, `completion` takes both responses, with the chosen response as desirable.",
    )
    direction: Literal["label", "up", "down"] = field(
        "label", "Direction of the score: `label` follows the label, `up` raises the score, `down` lowers it."
    )
    score: Score = field(Score(), "Score of the response.")
    target: Target = field(NoTarget(), "Target of the score.")
    reference_point: ReferencePoint = field(
        NoPoint(), "Reference point that is subtracted from each score of the batch."
    )
    link: Link = field(UtilityLink(kind="utility"), "Function that turns the distance into a loss.")
    desirable_weight: float = field(1.0, "Weight of responses whose score should rise.", symbol="λ_D", ge=0)
    undesirable_weight: float = field(1.0, "Weight of responses whose score should fall.", symbol="λ_U", ge=0)


class Likelihood(TermBase):
    """The negative log-likelihood of one response."""

    kind: Literal["likelihood"] = field(..., "Supervised fine-tuning.")
    on: Literal["completion", "chosen", "rejected"] = field("completion", "The response to imitate.")
    reduce: Literal["token_mean", "response_mean", "sum"] = field(
        "token_mean",
        "`token_mean`: mean over all tokens of the global batch; `response_mean`: mean over the tokens of each "
        "response; `sum`: sum over the tokens.",
    )


class KLTerm(TermBase):
    """An estimate of the divergence to an anchor, in the loss; u is log π/anchor of a response or a token."""

    kind: Literal["kl"] = field(..., "A KL estimator that pulls the policy to the anchor.")
    on: Literal["completion", "chosen", "rejected", "completions"] = field(
        "completion", "The response. For pairs, `completion` takes both responses."
    )
    estimator: str = field(
        K2.name,
        "`k1` u, `k2` u²/2, `k3` e^−u − 1 + u, `abs` |u|, `full` (the whole vocabulary, on samples of the policy), or "
        "a formula κ(u).",
        max_length=400,
    )
    gradient: str | None = field(
        None, "Estimator for the gradient; `estimator` then gives only the value.", max_length=400
    )
    granularity: Literal["token", "sequence"] = field(
        "sequence", "`sequence`: one estimate for the response; `token`: the sum of one estimate per token."
    )
    correction: Literal["none", "importance", "ratio"] = field(
        "none",
        "Correction for responses of another policy. `none`: no correction; `importance`: the importance ratio without "
        "gradient; `ratio`: the importance ratio with its gradient.",
    )
    anchor: KLAnchor | None = field(
        None,
        "The model that the KL pulls the policy to: a name, a folder or a hub id (with a slash), or `{run: SPEC}`. "
        "Default: `initial`.",
    )
    clamp: float | None = field(
        None, "Largest |u| of the estimator; larger values are clamped.", unit="nat", gt=0
    )


class PolicyGradient(TermBase):
    """−surrogate of the advantage, on responses that the policy sampled."""

    kind: Literal["policy_gradient"] = field(..., "A policy gradient on responses of the policy.")
    reward: Literal["reward", "win_rate"] = field(
        "reward", "Reward of a response: `reward` from `data.reward`, or the `win_rate` from the oracle."
    )
    kl: KLPlacement | None = field(None, "The KL to the reference; by default there is none.")
    baseline: Baseline = field(NoBaseline(), "Baseline that is subtracted from the reward.")
    surrogate: Surrogate = field(Reinforce(), "Surrogate of the advantage, which has the gradient.")
    ratio: Literal["token", "sequence", "sequence_mean"] = field(
        "token",
        "Probability ratio ρ of the policy to the rollout policy. `token`: of each token; `sequence`: of the response; "
        "`sequence_mean`: geometric mean over the tokens of the response.",
    )
    aggregation: AggregationName = field(
        "sequence_mean",
        "`token_mean`: mean over the tokens of a response, then mean over responses; `sequence_mean`: sum over tokens, "
        "then mean over responses; `global_token_mean`: mean over all tokens of the global batch; `fixed_length`: sum "
        "over tokens divided by `max_new_tokens`, then mean over responses.",
    )
    whiten: bool = field(False, "Normalise the advantages of a rollout to mean 0 and variance 1.")
    discount: float = field(
        1.0, "Discount factor of a reward for each earlier token.", symbol="γ", gt=0, le=1
    )
    gae_lambda: float = field(
        0.95,
        "For `baseline: value`: 1 uses only the rewards, and 0 relies on the critic.",
        symbol="λ",
        ge=0,
        le=1,
    )


class Value(TermBase):
    """The regression of the critic on the returns."""

    kind: Literal["value"] = field(..., "½·(V − G)², optionally with a clip.")
    clip_range: float | None = field(
        None,
        "Clip range: the largest distance of a value from the value at the rollout. By default there is no clip.",
        symbol="ε_v",
        gt=0,
    )


class Entropy(TermBase):
    """A bonus for the entropy of the policy."""

    kind: Literal["entropy"] = field(..., "−H(π(·|s)), averaged over the tokens of the global batch.")


Term = Annotated[
    Preference | Pointwise | Likelihood | KLTerm | PolicyGradient | Value | Entropy,
    Field(discriminator="kind"),
]


class Objective(Spec):
    """A weighted sum of terms; a preset is expanded to such a sum before the checks."""

    preset: str | None = field(None, "Name of a preset, or path of a preset file.")
    terms: list[Term] = field(..., "The terms of the loss.", min_length=1)
