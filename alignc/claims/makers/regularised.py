"""What is known of a policy gradient before anything is stated: what stands beside its KL, and what scales it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from alignc.claims.kinds.descent import Counted, Lengths
from alignc.claims.model import Subject, When
from alignc.contract.baselines import BASELINES, Reads
from alignc.contract.kinds import ONLINE
from alignc.contract.models import MODELS
from alignc.lower.policy import sequential
from alignc.spec.aggregations import AGGREGATIONS, Divides
from alignc.spec.kl import FULL, KLPlacement
from alignc.spec.objective import PolicyGradient, Term, Value
from alignc.spec.policy import GroupMean
from alignc.spec.rows import Prompts, Sampled
from alignc.theory.kinds import Kind, Meaning
from alignc.theory.lengths import strong, varies, whole_ratio
from alignc.theory.soundness import stepwise

__all__ = ["MOVING", "Setting", "counted_of", "own_samples", "settings", "updates", "when_own"]

MOVING: Mapping[str, str] = {row.name: row.words for row in MODELS.values() if row.moving or row.sampled}


def updates(subject: Subject) -> int:
    """Count the updates of a rollout; 0 where an iteration of self-play makes as many as its rows give."""
    train = (subject.spec.whole or subject.spec).job.train
    if not isinstance(subject.spec.job.data, Prompts):
        return 0
    return train.rollout_epochs * train.rollout_minibatches


def when_own(subject: Subject) -> When:
    """Return the updates whose samples are the policy's own, where the policy samples."""
    return When.ALWAYS if updates(subject) == 1 else When.FIRST


def own_samples(subject: Subject) -> str:
    """Say why the responses are not samples of the policy itself; empty where they are."""
    data = subject.spec.job.data
    if data.kind not in ONLINE:
        return "the responses are given"
    assert isinstance(data, Sampled)
    if data.law:
        return "the responses are sampled from a changed distribution"
    view = subject.loss.view
    if view.convert == "demonstration":
        return "the chosen responses are given"
    if view.convert == "best_worst" and data.completions_per_prompt > 2:
        return "the best and the worst response of a group are not samples of the policy"
    return ""


@dataclass(frozen=True)
class Setting:
    """A policy gradient with what decides its claims."""

    subject: Subject
    term: PolicyGradient

    @property
    def kl(self) -> KLPlacement | None:
        """The KL, if its strength is above 0."""
        return strong(self.term)

    @property
    def several(self) -> bool:
        """Whether responses may have several tokens."""
        return getattr(self.subject.spec.job.data, "max_new_tokens", 2) > 1

    @property
    def power(self) -> int:
        """The power of its length that the advantage of a response is weighted by."""
        term = self.term
        averaged = AGGREGATIONS[term.aggregation].divides is Divides.OWN_TOKENS
        if not whole_ratio(term):
            return -1 if averaged else 0
        return (1 if sequential(term) and not averaged else 0) - (1 if term.ratio == "sequence_mean" else 0)

    @property
    def kl_power(self) -> int:
        """The power of its length that the KL of a response is weighted by."""
        kl = self.kl
        if kl is None or kl.placement == "reward":
            return self.power
        averaged = AGGREGATIONS[self.term.aggregation].divides is Divides.OWN_TOKENS
        return -1 if averaged and kl.granularity == "token" else 0

    @property
    def lengths(self) -> Lengths:
        """The responses for which one strength of the KL stands beside one factor of the reward."""
        if not self.several or self.power == self.kl_power == 0:
            return Lengths.ANY
        return Lengths.EQUAL if self.power == self.kl_power else Lengths.ONE

    @property
    def kl_lengths(self) -> Lengths:
        """The responses among which the KL alone counts none more than others."""
        return Lengths.EQUAL if self.several and self.kl_power != 0 else Lengths.ANY

    @property
    def critic(self) -> bool:
        """Whether the baseline is a critic whose errors bias the gradient."""
        critic = BASELINES[self.term.baseline.kind].reads is Reads.CRITIC
        return critic and (self.term.gae_lambda < 1) and self.several

    @property
    def among(self) -> int:
        """The number of responses of the mean that a response is a part of; 0 if it is part of none."""
        row = BASELINES[self.term.baseline.kind]
        if not row.includes_itself:
            return 0
        data, job = self.subject.spec.job.data, (self.subject.spec.whole or self.subject.spec).job
        k = int(getattr(data, "completions_per_prompt", 1))
        if row.reads is Reads.GROUP:
            return k
        train = job.train
        batch = train.per_device_train_batch_size * train.gradient_accumulation_steps
        return k * batch * job.launch.num_processes * train.rollout_minibatches

    def scaled(self) -> Iterator[str]:
        """List what scales advantages by more than one constant factor."""
        term = self.term
        if isinstance(term.baseline, GroupMean) and term.baseline.std:
            kl = self.kl
            apart = kl is not None and kl.placement != "reward"
            strength = ", and a KL of the strength β·σ where the rewards deviate by σ" if apart else ""
            yield f"advantages are divided by the deviation of the group, so each prompt has its own factor{strength}"
        if self.several and term.discount < 1:
            yield "later rewards are discounted"
        if self.several and whole_ratio(term) and varies(term):
            yield "one ratio per response multiplies an advantage per token, so each token is charged for all"
        if why := own_samples(self.subject):
            yield why

    def beside(self) -> Iterator[str]:
        """List what else trains the policy."""
        for other in self.subject.spec.job.objective.terms:
            if other.name != self.term.name and _trains(other):
                yield f"`{other.name}` acts on the policy too"
        if self.subject.spec.whole is not None:
            yield "the other sources act on the policy too"


def _trains(term: Term) -> bool:
    return not isinstance(term, Value) and term.weight != 0


def settings(subject: Subject) -> Iterator[Setting]:
    """List the policy gradients of a spec."""
    for term in subject.spec.job.objective.terms:
        if isinstance(term, PolicyGradient):
            yield Setting(subject, term)


def counted_of(found: Meaning, estimator: str, placement: str, granularity: str, *, several: bool) -> Counted:
    """Decide how the divergence of an estimator counts the tokens of a response."""
    if not several:
        return Counted.WHOLE
    if estimator == FULL.name:
        if placement == "reward":
            return Counted.LATER
        whole = placement == "ratio" and granularity == "sequence"
        return Counted.WHOLE if whole else Counted.STEPWISE
    if granularity == "sequence" or found.kind is Kind.NULL:
        return Counted.WHOLE
    if placement == "reward":
        return Counted.WHOLE if found.kind is Kind.KL else Counted.PAID
    return Counted.STEPWISE if stepwise(found, placement) or not found.sound else Counted.WHOLE  # type: ignore[arg-type]
