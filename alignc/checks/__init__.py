"""What is wrong with a spec: rules over the spec and its loss, and the one function that runs them all."""

from __future__ import annotations

from alignc.checks.reference import anchor_without_reference, no_anchor
from alignc.checks.rule import Checked, Rule
from alignc.checks.signs import descent_direction, rewarded_length, smoothing
from alignc.diagnostics import Diagnostic
from alignc.graph.loss import Loss
from alignc.spec.load import Loaded

__all__ = ["RULES", "check"]

RULES: tuple[Rule, ...] = (
    anchor_without_reference,
    no_anchor,
    smoothing,
    rewarded_length,
    descent_direction,
)


def check(spec: Loaded, loss: Loss) -> list[Diagnostic]:
    """Run every rule."""
    checked = Checked(spec, loss)
    return [finding for rule in RULES for finding in rule(checked)]
