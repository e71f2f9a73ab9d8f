"""How an emitted loss reads: each number in one place, names for what is shared, comments that are so."""

from __future__ import annotations

import random
import re
import sys
from typing import Any

import pytest
import torch

from alignc.api import Compiled

from ..batches import numbers, totals
from ..emitted import loss_module, statistics_of, tensors
from ..online_variants import METHODS, PRESETS, Online, compiled_online
from ..variants import ALL, Variant, compiled

EVERY = [*ALL, *METHODS]


def made_of(variant: Variant | Online) -> Compiled:
    return compiled_online(variant) if isinstance(variant, Online) else compiled(variant)


# ---- one home for each number --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "field", "line"),
    [
        ("ppo", {"clip_range": 0.1}, ("\nclip_range = 0.2", "\nclip_range = 0.1")),
        ("ppo", {"value_clip_range": 0.4}, ("value_clip_range = 0.2", "value_clip_range = 0.4")),
        ("grpo", {"clip_range": 0.3}, ("clip_range = 0.2", "clip_range = 0.3")),
        ("gspo", {"clip_low": 0.05}, ("clip_low = 0.0003", "clip_low = 0.05")),
        ("dapo", {"clip_high": 0.5}, ("clip_high = 0.28", "clip_high = 0.5")),
    ],
)
def test_editing_a_number_is_setting_it(preset: str, field: dict[str, Any], line: tuple[str, str]) -> None:
    """Nothing but the one line depends on it, metrics included."""
    base = next(v for v in PRESETS if v.objective == {"preset": preset})
    other = Online("edited", {"preset": preset, **field}, base.means, base.data)
    texts = [compiled_online(v).folder().files["loss.py"] for v in (base, other)]
    assert texts[0].count(line[0]) == 1
    assert texts[0].replace(*line) == texts[1]


# ---- names and comments --------------------------------------------------------------------------------------


def body(made: Compiled) -> str:
    text = made.folder().files["loss.py"]
    return text[text.index("def loss(") :]


def test_ppo_reads_like_its_paper() -> None:
    lines = body(compiled_online(PRESETS[0])).splitlines()
    for line in (
        "    rho = torch.exp((logp - rollout_logp).double())",
        "    rho_clipped = torch.clamp(rho, 1.0 - clip_range, 1.0 + clip_range)",
        "    policy_loss = global_token_mean(-torch.minimum(rho * advantage, rho_clipped * advantage), mask, totals)",
        "    value_loss = global_token_mean(value_token_loss, mask, totals)",
        "    # L = L_policy + c_v·L_value",
        "    share = policy_loss + value_weight * value_loss",
        '            "loss/policy_avg": policy_loss.detach(),',
        '            "loss/value_avg": value_loss.detach(),',
    ):
        assert line in lines


@pytest.mark.parametrize("variant", EVERY, ids=lambda v: v.name)
def test_nothing_is_printed_twice(variant: Variant | Online) -> None:
    """What two metrics share, or a metric and the loss, has a name, unless it is short."""
    text = body(made_of(variant))
    calls = re.findall(r"(?:token_mean|group_mean|torch\.\w+)\((?:[^()]|\([^()]*\))*\)", text)
    late = text[text.index("with torch.no_grad()") :]
    assert not [c for c in set(calls) if c in late and calls.count(c) > 1 and len(c) > 40]


SHAPE = re.compile(r"\[([\w, ]+)\](?:, [\w/·^]+)?$")


@pytest.mark.parametrize("variant", EVERY, ids=lambda v: v.name)
def test_the_shapes_in_comments_are_those_of_the_values(variant: Variant | Online) -> None:
    """Every tensor of a line has as many axes as the comment above it, or behind it, says."""
    made = made_of(variant)
    drawn = numbers(random.Random(variant.name), made, 3)
    values = traced(made, tensors(drawn, [0, 1, 2]), drawn)
    said = comments(body(made).splitlines())
    assert said
    for name, axes in said.items():
        assert values[name].dim() == axes, name


def comments(lines: list[str]) -> dict[str, int]:
    """Read the number of axes that is said of each name; a number has none."""
    found = {}
    for before, line in zip(["", *lines], lines, strict=False):
        assigned = re.match(r"\s+(\w+) = (?!\($)", line)
        comment = line.partition("  # ")[2] or (before if before.lstrip().startswith("#") else "")
        if assigned and (shape := SHAPE.search(comment.strip())):
            assert set(shape[1].split(", ")) <= {"rows", "k", "time"}
            found[assigned[1]] = len(shape[1].split(", "))
        elif assigned and comment.partition("  ")[2].startswith("one number"):
            found[assigned[1]] = 0
    return found


def traced(made: Compiled, batch: dict[str, torch.Tensor], drawn: Any) -> dict[str, torch.Tensor]:
    """Run a loss and keep its local values."""
    module, kept = loss_module(made), {}
    for key, value in statistics_of(made, module, drawn).items():
        batch[f"statistic/{key}"] = value

    def keep(frame: Any, event: str, _: object) -> Any:
        if frame.f_code.co_name == "loss":
            if event == "return":
                kept.update(frame.f_locals)
            return keep
        return None

    before = sys.gettrace()
    sys.settrace(keep)
    try:
        module.loss(batch, totals(drawn, made.needs.totals))
    finally:
        sys.settrace(before)
    return {name: value for name, value in kept.items() if isinstance(value, torch.Tensor)}
