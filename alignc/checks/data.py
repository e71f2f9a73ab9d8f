"""Does the data give what the objective asks for? Decided from names alone; no data is opened."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked, term_path
from alignc.diagnostics import Diagnostic
from alignc.spec.objective import Likelihood, Preference
from alignc.spec.sections import RESPONSES

__all__ = ["likelihood_without_response", "pairs_without_pairs"]


def pairs_without_pairs(checked: Checked) -> Iterator[Diagnostic]:
    """E101: a preference between two responses, but the data has no pairs."""
    kind = checked.spec.job.data.kind
    for term in checked.spec.job.objective.terms:
        if isinstance(term, Preference) and kind != "pairwise":
            message = f"`{term.name}` compares a chosen with a rejected response, but `data.kind` is `{kind}`"
            yield checked.finding("E101", message, ("data", "kind"))


def likelihood_without_response(checked: Checked) -> Iterator[Diagnostic]:
    """E106: a likelihood of a response that the data does not have."""
    kind = checked.spec.job.data.kind
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, Likelihood) and term.on not in RESPONSES[kind]:
            message = f"`{term.name}` imitates `{term.on}`, but rows of kind `{kind}` have {', '.join(RESPONSES[kind])}"
            path = (*term_path(index), "on")
            at = path if checked.spec.document.origins[path].span else ("data", "kind")
            yield checked.finding("E106", message, at)
