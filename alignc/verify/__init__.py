"""The exact test of the claims about a loss, on policies that are small enough to enumerate."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.spec.kl import FULL
from alignc.verify.report import Claim, Curve, Table, Verified

__all__ = ["Claim", "Curve", "Table", "Verified", "verify"]


def verify(spec: Loaded, loss: Loss, *, table: bool = False, curves: bool = False) -> Verified:
    """Test the claims about a spec by enumeration, in float64.

    `table`: also every KL estimator at every place, as always where the spec has a `kl` term or block.
    """
    from alignc.spec.objective import KLTerm, PolicyGradient
    from alignc.verify.estimator_claims import kl_table, token_table
    from alignc.verify.objectives import TOY, paths
    from alignc.verify.policy import policy_gradients
    from alignc.verify.policy_optimum import policy_curves
    from alignc.verify.selfplay import game_curves, game_tables

    terms = spec.job.objective.terms
    estimators = [t.gradient or t.estimator for t in terms if isinstance(t, KLTerm)]
    if any(isinstance(t, PolicyGradient) for t in terms):
        estimators += [t.kl.estimator for t in terms if isinstance(t, PolicyGradient) and t.kl is not None]
        claims = list(policy_gradients(spec, loss))
        drawn = list(policy_curves(spec, loss)) if curves else []
    else:
        claims = list(_of_data(spec, loss))
        drawn = [*paths(spec, loss, TOY), *game_curves(spec, loss)] if curves else []
    if estimators or table:
        sampled = [e for e in estimators if e != FULL.name]  # which is a token's own: the second table has it
        claims += [*kl_table(sampled, TOY), *token_table()]
    return Verified(spec.job.name, tuple(claims), tuple(drawn), tuple(game_tables(spec, loss)))


def _of_data(spec: Loaded, loss: Loss) -> Iterator[Claim]:
    """Test a loss on rows of any policy."""
    from alignc.verify.estimator_claims import kl_terms
    from alignc.verify.objectives import TOY, first_step, gauge, gradients, optima
    from alignc.verify.selfplay import self_play

    yield gradients(loss, TOY)
    yield from gauge(loss, TOY)
    yield from first_step(loss, TOY)
    yield from optima(spec, loss, TOY)
    yield from kl_terms(spec, loss, TOY)
    yield from self_play(spec, loss)
