"""The exact test of the claims about a loss, on policies that are small enough to enumerate."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.spec.kl import FULL
from alignc.verify.report import Claim, Curve, Table, Verdict, Verified

__all__ = ["Claim", "Curve", "Table", "Verdict", "Verified", "verify"]


def verify(spec: Loaded, loss: Loss, *, table: bool = False, curves: bool = False) -> Verified:
    """Test the claims about a spec by enumeration, in float64.

    `table`: also every KL estimator at every place, which no spec changes.
    """
    import numpy as np

    with np.errstate(all="ignore"):
        return _verified(spec, loss, table=table, curves=curves)


def _verified(spec: Loaded, loss: Loss, *, table: bool, curves: bool) -> Verified:
    from alignc.spec.objective import PolicyGradient
    from alignc.verify.estimator_claims import kl_table, token_table
    from alignc.verify.objectives import TOY
    from alignc.verify.summary import does, untried

    online = any(isinstance(t, PolicyGradient) for t in spec.job.objective.terms)
    claims = tuple(_online(spec, loss) if online else _of_data(spec, loss))
    general = (*kl_table(_estimators(spec), TOY), *token_table()) if table else ()
    return Verified(
        spec.job.name,
        claims,
        tuple(_curves(spec, loss, online=online)) if curves else (),
        tuple(_tables(spec, loss, online=online)),
        general,
        does(claims),
        untried(claims, online=online),
    )


def _estimators(spec: Loaded) -> list[str]:
    """List the estimators that a spec names, but for the whole vocabulary's, which is a token's own."""
    from alignc.spec.objective import KLTerm, PolicyGradient

    terms = spec.job.objective.terms
    found = [t.gradient or t.estimator for t in terms if isinstance(t, KLTerm)]
    found += [t.kl.estimator for t in terms if isinstance(t, PolicyGradient) and t.kl is not None]
    return [e for e in found if e != FULL.name]


def _online(spec: Loaded, loss: Loss) -> Iterator[Claim]:
    """Test a loss on responses that the policy samples."""
    from alignc.verify.estimator_claims import own_estimators
    from alignc.verify.objectives import TOY
    from alignc.verify.policy import policy_gradients

    yield from policy_gradients(spec, loss)
    yield from own_estimators(spec, TOY)


def _of_data(spec: Loaded, loss: Loss) -> Iterator[Claim]:
    """Test a loss on rows of any policy."""
    from alignc.verify.estimator_claims import kl_terms, own_estimators
    from alignc.verify.objectives import TOY, first_step, gauge, gradients
    from alignc.verify.optima import optima
    from alignc.verify.papers import paper_claims
    from alignc.verify.selfplay import self_play

    yield gradients(loss, TOY)
    yield from gauge(loss, TOY)
    yield from first_step(loss, TOY)
    yield from optima(spec, loss, TOY)
    yield from kl_terms(spec, loss, TOY)
    yield from own_estimators(spec, TOY)
    yield from self_play(spec, loss)
    yield from paper_claims(spec, loss)


def _tables(spec: Loaded, loss: Loss, *, online: bool) -> Iterator[Table]:
    from alignc.verify.policy import group_tables
    from alignc.verify.selfplay import game_tables

    yield from group_tables(spec, loss) if online else game_tables(spec, loss)


def _curves(spec: Loaded, loss: Loss, *, online: bool) -> Iterator[Curve]:
    from alignc.verify.objectives import TOY
    from alignc.verify.optima import paths
    from alignc.verify.policy_optimum import policy_curves
    from alignc.verify.selfplay import game_curves

    if online:
        yield from policy_curves(spec, loss)
    else:
        yield from paths(spec, loss, TOY)
        yield from game_curves(spec, loss)
