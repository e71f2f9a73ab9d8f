"""The objective after expansion: a weighted sum of typed terms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignc.spec.axes import Link, LogisticLink, Margin, NoMargin, Score, UtilityLink
from alignc.spec.base import Spec, field
from alignc.spec.kl import KLPlacement
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
    """What every term has."""

    name: str = field(
        ..., "Name of the term: overrides and messages use it.", pattern="^[a-z][a-z0-9_]*$", max_length=40
    )
    weight: float = field(1.0, "Factor of the term in the loss.", symbol="λ")
    data: str | None = field(None, "Name of the source of its rows, where `data` has several.")


class Preference(TermBase):
    """link(score(chosen) − score(rejected) − margin)."""

    kind: Literal["preference"] = field(..., "A preference between two responses to one prompt.")
    score: Score = field(Score(), "What a response is worth.")
    margin: Margin = field(NoMargin(), "What the chosen response must be ahead by.")
    link: Link = field(LogisticLink(kind="logistic"), "How the distance becomes a loss.")
    pairs: Literal["best_worst", "all", "demonstration"] = field(
        "best_worst",
        "Of several responses: the best and the worst, every pair (squared link alone), or in self-play the "
        "row's demonstration against the policy's own response.",
    )
    order: Literal["row", "sorted"] = field(
        "row", "Compare within the row, or sorted over the global batch (optimal transport)."
    )
    sample_weight: Literal["none", "likelihood"] = field(
        "none", "Weigh a pair by how likely the policy finds both responses, without gradient."
    )
    center: float = field(
        0.0, "Weight of (score(chosen) + score(rejected))², which holds scores around 0.", ge=0
    )


class Pointwise(TermBase):
    """link of one response's score against a target and a reference point."""

    kind: Literal["pointwise"] = field(..., "One response, judged by itself.")
    on: Literal["completion", "chosen", "rejected", "completions"] = field(
        "completion", "The response; of pairs, `completion` takes both, the chosen one as desirable."
    )
    direction: Literal["label", "up", "down"] = field(
        "label", "Whether the score should rise: as the label says, always, or never."
    )
    score: Score = field(Score(), "What the response is worth.")
    target: Target = field(NoTarget(), "What the score is compared with.")
    reference_point: ReferencePoint = field(NoPoint(), "What is subtracted from every score of the batch.")
    link: Link = field(UtilityLink(kind="utility"), "How the distance becomes a loss.")
    desirable_weight: float = field(1.0, "Weight of responses whose score should rise.", symbol="λ_D", ge=0)
    undesirable_weight: float = field(1.0, "Weight of responses whose score should fall.", symbol="λ_U", ge=0)


class Likelihood(TermBase):
    """The negative log-likelihood of one response."""

    kind: Literal["likelihood"] = field(..., "Supervised fine-tuning.")
    on: Literal["completion", "chosen", "rejected"] = field("completion", "The response that is imitated.")
    reduce: Literal["token_mean", "response_mean", "sum"] = field(
        "token_mean", "Mean over all tokens of the global batch, over each response, or the sum."
    )


class KLTerm(TermBase):
    """An estimate of the divergence to an anchor, in the loss; u = log π/anchor of a response or a token."""

    kind: Literal["kl"] = field(..., "A pull to the anchor, by an estimator of the KL.")
    on: Literal["completion", "chosen", "rejected", "completions"] = field(
        "completion", "The response; of pairs, `completion` takes both."
    )
    estimator: str = field(
        "k2",
        "`k1` u, `k2` u²/2, `k3` e^−u − 1 + u, `abs` |u|, `full` (the whole vocabulary, on the policy's own samples), "
        "or a formula κ(u).",
        max_length=400,
    )
    gradient: str | None = field(
        None, "An estimator that gives the gradient, where `estimator` gives the value alone.", max_length=400
    )
    granularity: Literal["token", "sequence"] = field(
        "sequence", "An estimate of the whole response, or the sum of one for every token."
    )
    correction: Literal["none", "importance", "ratio"] = field(
        "none",
        "For responses of another policy: nothing, the importance ratio without gradient, or with its gradient.",
    )
    anchor: KLAnchor | None = field(
        None,
        "The model that the policy is held to, by its name, or another one: a folder, a hub id (each with a slash) or "
        "`{run: SPEC}`. Left out: `initial`.",
    )
    clamp: float | None = field(None, "Largest |u| that counts.", unit="nat", gt=0)


class PolicyGradient(TermBase):
    """−advantage · surrogate, on responses that the policy sampled."""

    kind: Literal["policy_gradient"] = field(..., "A policy gradient on the policy's own responses.")
    reward: Literal["reward", "win_rate"] = field(
        "reward", "What a response earns: its reward, or its win rate by the oracle."
    )
    kl: KLPlacement | None = field(None, "How the policy is held to its reference; left out: not at all.")
    baseline: Baseline = field(NoBaseline(), "What is subtracted from the reward.")
    surrogate: Surrogate = field(Reinforce(), "What carries the gradient.")
    ratio: Literal["token", "sequence", "sequence_mean"] = field(
        "token", "The ratio ρ of policy to sampler: of each token, of the response, or its geometric mean."
    )
    aggregation: Literal["token_mean", "sequence_mean", "global_token_mean", "fixed_length"] = field(
        "sequence_mean",
        "`token_mean`: mean over a response's tokens, then over responses; `sequence_mean`: sum over its tokens, "
        "mean over responses; `global_token_mean`: over all tokens of the global batch; `fixed_length`: sum over "
        "tokens divided by `max_new_tokens`.",
    )
    whiten: bool = field(False, "Give the advantages of a rollout mean 0 and variance 1.")
    discount: float = field(1.0, "What a reward is worth a token earlier.", symbol="γ", gt=0, le=1)
    gae_lambda: float = field(
        0.95, "Of `baseline: value`: 1 trusts the rewards alone, 0 the critic.", symbol="λ", ge=0, le=1
    )


class Value(TermBase):
    """The critic's regression on the returns."""

    kind: Literal["value"] = field(..., "½·(V − G)², with a clip.")
    clip_range: float | None = field(
        None, "How far a value moves from that of the rollout; left out: freely.", symbol="ε_v", gt=0
    )


class Entropy(TermBase):
    """A bonus for the entropy of the policy."""

    kind: Literal["entropy"] = field(..., "−H(π(·|s)), averaged over the tokens of the global batch.")


Term = Annotated[
    Preference | Pointwise | Likelihood | KLTerm | PolicyGradient | Value | Entropy,
    Field(discriminator="kind"),
]


class Objective(Spec):
    """A weighted sum of terms; a preset is expanded to this before it is checked."""

    preset: str | None = field(None, "Name of a preset, or the path of one's own.")
    terms: list[Term] = field(..., "The terms of the loss.", min_length=1)
