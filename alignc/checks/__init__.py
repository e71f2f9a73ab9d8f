"""Checks of a spec: rules over the spec and its loss, and the function that runs all rules."""

from __future__ import annotations

from collections.abc import Sequence

from alignc.checks.axes import unread_axes
from alignc.checks.data import batch_of_one, rewards, win_rates
from alignc.checks.estimators import clamped, kl_soundness, straight_through
from alignc.checks.optima import (
    constant_baseline,
    deterministic_labels,
    large_steps,
    length_tilt,
    linear,
    saturating,
    unbounded,
)
from alignc.checks.policy import (
    baselines,
    compared,
    critic,
    frozen_kl,
    given_data,
    group_normalisation,
    idle_clip,
    kl_in_policy_gradient,
    length_bias,
    long_ratios,
    silent_groups,
    stale,
)
from alignc.checks.reference import (
    anchor_of_its_own,
    anchor_without_reference,
    no_anchor,
    unread_reference,
)
from alignc.checks.rule import Checked, Rule
from alignc.checks.sampling import sharpened
from alignc.checks.settings import (
    best_metric,
    early_stopping,
    heads,
    held_out_metric,
    no_room,
    no_steps,
    positions,
    unmoved,
    words,
)
from alignc.checks.signs import descent_direction, rewarded_length, smoothing, turned_around
from alignc.checks.support import supported
from alignc.checks.templates import template_values
from alignc.checks.unread import unread_data, unread_fields, unread_parameters, unread_train
from alignc.diagnostics import Diagnostic
from alignc.load.load import Loaded
from alignc.lower.loss import Loss

__all__ = ["RULES", "check"]

RULES: tuple[Rule, ...] = (
    rewards,
    win_rates,
    batch_of_one,
    template_values,
    anchor_of_its_own,
    anchor_without_reference,
    unread_reference,
    kl_soundness,
    clamped,
    straight_through,
    given_data,
    kl_in_policy_gradient,
    frozen_kl,
    baselines,
    compared,
    critic,
    stale,
    long_ratios,
    idle_clip,
    group_normalisation,
    length_bias,
    silent_groups,
    sharpened,
    linear,
    constant_baseline,
    no_anchor,
    deterministic_labels,
    length_tilt,
    saturating,
    unbounded,
    large_steps,
    smoothing,
    rewarded_length,
    descent_direction,
    turned_around,
    best_metric,
    held_out_metric,
    early_stopping,
    no_steps,
    no_room,
    positions,
    words,
    unmoved,
    heads,
    supported,
    unread_train,
    unread_data,
    unread_fields,
    unread_axes,
    unread_parameters,
)


def check(spec: Loaded, loss: Loss, every: Sequence[Loss] = ()) -> list[Diagnostic]:
    """Run every rule on one source; `every` holds the losses of all sources of the spec."""
    checked = Checked(spec, loss, tuple(every) or (loss,))
    return [finding for rule in RULES for finding in rule(checked)]
