"""The losses of the terms by name, if there are several: L = L_policy + c_v·L_value."""

from __future__ import annotations

from alignc.contract.responses import PAIR
from alignc.graph.build import add, multiply
from alignc.graph.nodes import Named, Node
from alignc.lower.loss import Loss, TermLoss

__all__ = ["objective", "term_label", "term_losses"]

LABELS = {"policy_gradient": "policy", "likelihood": "nll"}
"""Names of terms that differ from their kind. The metrics have the same names."""


def term_label(term: TermLoss) -> str:
    """Name a term by its kind, as its metrics do, or by its response: a pointwise term on one response of a pair."""
    one = term.responses[0] if len(term.responses) == 1 else ""
    if term.kind == "pointwise" and one in PAIR:
        return one
    return LABELS.get(term.kind, term.kind)


def term_losses(loss: Loss) -> tuple[Named, ...]:
    """Name the loss of each term, if there are several. The names are the compiler's; no text of a spec is in them."""
    if len(loss.terms) < 2:
        return ()
    labels = [term_label(term) for term in loss.terms]
    counts = [labels[:place].count(label) for place, label in enumerate(labels)]
    marks = [f"_{count + 1}" if count else "" for count in counts]
    return tuple(
        Named(f"{label}_loss{mark}", f"L_{label}{mark}", "loss of a term", term.value)
        for label, mark, term in zip(labels, marks, loss.terms, strict=True)
    )


def objective(loss: Loss) -> Node:
    """Write the loss as the weighted sum of the losses of its terms, or as it is if there is one term."""
    named = term_losses(loss)
    weighted = (multiply(term.weight, value) for term, value in zip(loss.terms, named, strict=False))
    return add(*weighted) if named else loss.root
