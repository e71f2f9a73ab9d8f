"""The weight of a response by its length in a policy gradient; checks reports it, and verify enumerates it."""

from __future__ import annotations

from alignc.contract.baselines import BASELINES, Reads
from alignc.lower.policy import sequential
from alignc.lower.surrogates import SURROGATES
from alignc.spec.aggregations import AGGREGATIONS, Divides
from alignc.spec.kl import KLPlacement
from alignc.spec.objective import PolicyGradient

__all__ = ["length_power", "strong", "varies", "whole_ratio"]


def length_power(term: PolicyGradient) -> int:
    """Return the power of its length n that a response is weighted by: −1 for 1/n, 0 for none, 1 for n.

    The surrogate's or, where that has none, the KL's in the loss. On whole responses with one ratio the sum over
    tokens runs over their advantages alone.
    """
    kl = strong(term)
    in_loss = kl is not None and kl.placement != "reward" and kl.granularity == "token"
    averaged = AGGREGATIONS[term.aggregation].divides is Divides.OWN_TOKENS
    if not whole_ratio(term):
        return -1 if averaged else 0
    summed = 1 if sequential(term) and not averaged else 0
    power = summed - (1 if term.ratio == "sequence_mean" else 0)
    return -1 if power == 0 and in_loss and averaged else power


def whole_ratio(term: PolicyGradient) -> bool:
    """Return whether the gradient passes through one ratio per response."""
    return SURROGATES[term.surrogate.kind].through_ratio and term.ratio != "token"


def varies(term: PolicyGradient) -> bool:
    """Return whether the tokens of a response have different advantages."""
    kl = strong(term)
    paid = kl is not None and kl.placement == "reward" and kl.granularity == "token"
    return paid or term.discount < 1 or BASELINES[term.baseline.kind].reads is Reads.CRITIC


def strong(term: PolicyGradient) -> KLPlacement | None:
    """Return the KL block if its strength is above 0, else None."""
    return term.kl if term.kl is not None and term.kl.beta > 0 else None
