"""Does a loss do what it says: the exact test on policies small enough to enumerate."""

from __future__ import annotations

from alignc.graph.loss import Loss
from alignc.spec.load import Loaded
from alignc.verify.report import Claim, Curve, Table, Verified

__all__ = ["Claim", "Curve", "Table", "Verified", "verify"]


def verify(spec: Loaded, loss: Loss, *, table: bool = False, curves: bool = False) -> Verified:
    """Test what is said of a spec by enumeration, in float64.

    `table`: also every KL estimator at every place, as always where the spec has a `kl` term.
    """
    from alignc.spec.objective import KLTerm
    from alignc.verify.kl import kl_table, kl_terms, token_table
    from alignc.verify.objectives import TOY, first_step, gauge, gradients, optima, paths
    from alignc.verify.selfplay import game_curves, game_tables, self_play

    estimators = [t.gradient or t.estimator for t in spec.job.objective.terms if isinstance(t, KLTerm)]
    claims = [
        gradients(loss, TOY),
        *gauge(loss, TOY),
        *first_step(loss, TOY),
        *optima(spec, loss, TOY),
        *kl_terms(spec, loss, TOY),
        *self_play(spec, loss),
    ]
    if estimators or table:
        claims += [*kl_table(estimators, TOY), *token_table()]
    drawn = (*paths(spec, loss, TOY), *game_curves(spec, loss)) if curves else ()
    return Verified(spec.job.name, tuple(claims), drawn, tuple(game_tables(spec, loss)))
