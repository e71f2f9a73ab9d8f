"""The strength of the KL that follows its target: hand arithmetic."""

import pytest
import torch

from alignc.contract.needs import AdaptiveKL
from alignc.runtime.rollout.kl_controller import next_strength, scale_penalties

ADAPTIVE = AdaptiveKL(target=6.0, horizon=1000.0, beta=0.1)


def test_a_kl_a_tenth_above_its_target_raises_the_strength_by_a_tenth_of_what_a_rollout_counts():
    assert next_strength(1.0, 6.6, 50, ADAPTIVE) == pytest.approx(1.0 + 0.1 * 50 / 1000, rel=1e-12)


@pytest.mark.parametrize(("divergence", "away"), [(60.0, 0.2), (-3.0, -0.2), (6.0, 0.0)])
def test_the_distance_counts_up_to_a_fifth(divergence, away):
    assert next_strength(2.0, divergence, 100, ADAPTIVE) == pytest.approx(2.0 * (1 + away * 0.1), rel=1e-12)


def test_a_penalty_is_charged_by_the_strength():
    assert scale_penalties(None, 3.0) is None
    assert torch.equal(scale_penalties(torch.tensor([1.0, -2.0]), 3.0), torch.tensor([3.0, -6.0]))
