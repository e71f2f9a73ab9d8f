"""The exact test: every preset's claims hold, wrong ones fail, and the command says so."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from alignc.api import lowered
from alignc.cli.verify import command
from alignc.load.preset import preset_names
from alignc.lower.estimators import KAPPA
from alignc.theory.divergence import meaning
from alignc.theory.symbolic import decide
from alignc.verify import verify
from alignc.verify.estimators import Tree, placement_gradient, token_gradient, tree_kl_gradient
from alignc.verify.objectives import TOY
from alignc.verify.optimum import stated
from alignc.verify.toy import log_softmax

DATA = {"sft": "demonstrations", "kto": "pointwise", "bco": "pointwise", "dro": "pointwise", "sppo": "pointwise",
        "copg": "scored", "rebel": "scored", "spin": "self_play", "nash_md": "self_play"}  # fmt: skip
SAMPLED = (
    "cispo",
    "dapo",
    "dr_grpo",
    "gspo",
    "grpo",
    "nash_md",
    "online_dpo",
    "ppo",
    "reinforce",
    "reinforce_pp",
    "rloo",
    "spin",
)
JUDGE = "{kind: verifier, name: length, limit: 5}"
EXTRA = {"prompts": f", reward: {JUDGE}", "self_play": f", oracle: {{kind: bradley_terry, reward: {JUDGE}}}"}
STATED = (
    "dpo",
    "ipo",
    "copg",
    "rebel",
    "dro",
    "sppo",
    "f_dpo",
    "r_dpo",
    "robust_dpo",
    "gpo_exponential",
    "sft",
    "wpo",
)


def written(folder: Path, objective: str, kind: str) -> Path:
    spec = folder / "spec.yaml"
    spec.write_text(
        f"objective: {objective}\nmodel: {{policy: x/y}}\ndata: {{kind: {kind}, source: x/y{EXTRA.get(kind, '')}}}\n",
        "utf-8",
    )
    return spec


@pytest.mark.parametrize("preset", sorted(preset_names()))
def test_every_preset_does_what_is_said(preset: str, tmp_path: Path) -> None:
    kind = DATA.get(preset, "prompts" if preset in SAMPLED else "pairwise")
    compiled = lowered(written(tmp_path, f"{{preset: {preset}}}", kind), files=False)
    found = verify(compiled.spec, compiled.loss)
    assert [c for c in found.claims if c.holds is False] == []
    optima = [c for c in found.claims if c.about.startswith("optimum, o")]
    assert all(c.gap is not None and c.gap < 1e-6 for c in optima) or preset not in STATED
    steps = [c for c in found.claims if c.about.startswith("first inner step")]
    assert optima or len(steps) == 2 or preset == "aot"


@pytest.mark.parametrize("divergence", ["forward_kl", "js", "alpha"])
def test_f_dpo_ends_where_its_divergence_says(divergence: str, tmp_path: Path) -> None:
    spec = written(tmp_path, f"{{preset: f_dpo, beta: 2, divergence: {divergence}}}", "pairwise")
    compiled = lowered(spec, files=False)
    gaps = [c.gap for c in verify(compiled.spec, compiled.loss).claims if c.about.startswith("optimum, o")]
    assert len(gaps) == 2
    assert max(g for g in gaps if g is not None) < 1e-6


def test_grpo_s_optimum_is_that_of_the_squared_contrast_with_its_score(tmp_path: Path) -> None:
    """k3 in the loss has g = 1 − e^−u; the contrast with that score ends at w = β/(β + ν − R)."""
    terms = (
        "{terms: [{name: fit, kind: preference, pairs: all, margin: {kind: reward_gap}, link: squared,"
        " score: {of: f_ratio, divergence: forward_kl, beta: 2}}]}"
    )
    compiled = lowered(written(tmp_path, terms, "scored"), files=False)
    policy = stated(compiled.spec.job.objective.terms, TOY).policy
    assert policy is not None
    hyperbolic = (
        2 / np.exp(policy - TOY.reference) + TOY.rewards
    )  # β/w + R = β + ν, the same for every response
    assert np.ptp(hyperbolic) < 1e-9
    gaps = [c.gap for c in verify(compiled.spec, compiled.loss).claims if c.about.startswith("optimum, o")]
    assert max(g for g in gaps if g is not None) < 1e-6


def test_a_wrong_statement_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alignc.verify import optima as module

    compiled = lowered(written(tmp_path, "{preset: dpo}", "pairwise"), files=False)
    wrong = replace(TOY, rewards=TOY.rewards * 0.99)
    monkeypatch.setattr(
        module, "stated", lambda terms, toy, **how: stated(terms, replace(toy, rewards=wrong.rewards))
    )
    found = verify(compiled.spec, compiled.loss)
    assert not found.holds


def divergence(f: str, logits: np.ndarray) -> float:
    pi, ref = np.exp(log_softmax(logits)), np.exp(TOY.reference)
    u = np.log(pi / ref)
    return {
        "kl": pi @ u, "reverse": -ref @ u, "l1": np.abs(pi - ref).sum(), "half_square": pi @ u**2 / 2,
        "abs": pi @ np.abs(u),
    }[f]  # fmt: skip


MEANS = {
    ("k1", "reward"): {"kl": 1}, ("k1", "loss"): {}, ("k1", "ratio"): {"kl": 1},
    ("k2", "reward"): {"half_square": 1, "kl": -1}, ("k2", "loss"): {"kl": 1}, ("k2", "ratio"): {"half_square": 1},
    ("k3", "reward"): {"kl": 1, "reverse": -1}, ("k3", "loss"): {"reverse": 1}, ("k3", "ratio"): {"kl": 1},
    ("abs", "reward"): {"abs": 1, "l1": -1}, ("abs", "loss"): {"l1": 1}, ("abs", "ratio"): {"abs": 1},
}  # fmt: skip


@pytest.mark.parametrize("sampling", ["policy", "weighted"])
@pytest.mark.parametrize(("entry", "parts"), MEANS.items(), ids=[f"{e}-{p}" for e, p in MEANS])
def test_the_table_of_estimators(entry: tuple[str, str], parts: dict[str, int], sampling: str) -> None:
    """The table of estimators and placements; the divergences' gradients by differences of values, which know no g."""
    logits, h = np.array([0.7, -0.9, 0.2, 0.4]), 1e-6
    found = placement_gradient(*entry, sampling, logits, TOY)
    for i in range(4):
        up, down = logits.copy(), logits.copy()
        up[i], down[i] = up[i] + h, down[i] - h
        slope = sum(c * (divergence(f, up) - divergence(f, down)) / (2 * h) for f, c in parts.items())
        assert found[i] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("entry", MEANS, ids=[f"{e}-{p}" for e, p in MEANS])
def test_sympy_decides_as_the_table_says(entry: tuple[str, str]) -> None:
    assert decide(KAPPA[entry[0]], entry[1]).kind == meaning(*entry).kind


@pytest.mark.parametrize(
    ("formula", "placement", "kind", "divergence"),
    [
        ("u**2", "loss", "kl", "2·KL(π‖ref)"),
        ("exp(-u)", "loss", "reverse", "KL(ref‖π)"),
        ("exp(-u)", "ratio", "null", "nothing"),
        ("relu(u)", "loss", "variation", "0.5·Σ|π − ref|"),
        ("exp(u)", "reward", "convex", "Σ ref·f(π/ref) with f = w**2/2"),
        ("min(u,1)", "reward", "undecided", "Σ ref·f(π/ref), f′(w) = g(log w)"),
    ],
)
def test_formulas_are_decided(formula: str, placement: str, kind: str, divergence: str) -> None:
    found = decide(formula, placement)
    assert (found.kind, found.divergence) == (kind, divergence)
    assert found.witness or kind not in ("convex", "undecided", "nonconvex")


def test_two_tokens() -> None:
    """∇KL of whole responses by differences of its value; stepwise gradient by differences with frozen states."""
    logits, reference, h = (
        np.array([0.3, -0.2, 0.5, -0.4, -0.1, 0.6]),
        np.array([-0.3, 0.4, 0.2, 0.3, 0.5, -0.5]),
        1e-6,
    )

    def kl(at: np.ndarray, states: np.ndarray) -> float:
        policy, base, law = Tree(at), Tree(reference), Tree(states)
        p = np.exp(policy.logps)
        each = (p * (policy.logps - base.logps)).sum(-1)
        reach = np.array([1.0, *np.exp(law.logps[0])])
        return float(reach @ each)

    moves = [h * np.eye(6)[i] for i in range(6)]
    whole = [(kl(logits + m, logits + m) - kl(logits - m, logits - m)) / (2 * h) for m in moves]
    steps = [(kl(logits + m, logits) - kl(logits - m, logits)) / (2 * h) for m in moves]
    assert tree_kl_gradient(logits, reference) == pytest.approx(whole, abs=1e-9)
    assert token_gradient("k1", "reward", "token", logits, reference) == pytest.approx(whole, abs=1e-9)
    assert token_gradient("k2", "loss", "sequence", logits, reference) == pytest.approx(whole, abs=1e-9)
    assert token_gradient("k2", "loss", "token", logits, reference) == pytest.approx(steps, abs=1e-9)
    assert token_gradient("k3", "ratio", "token", logits, reference) == pytest.approx(steps, abs=1e-9)
    reward = token_gradient("k3", "reward", "token", logits, reference)
    reverse = token_gradient("k3", "loss", "token", logits, reference)  # stepwise KL(ref‖π)
    assert reward == pytest.approx(np.array(whole) - reverse, abs=1e-9)
    assert abs(whole[0] - steps[0]) > 0.01


def test_the_command(tmp_path: Path) -> None:
    spec, plot = written(tmp_path, "{preset: copg}", "scored"), tmp_path / "way.svg"
    done = CliRunner().invoke(command, [str(spec), "--json", "--plot", str(plot)], standalone_mode=False)
    assert done.return_value == 0
    data = json.loads(done.stdout)
    assert data["holds"] is True
    assert [c["name"] for c in data["curves"]] == [
        "distance to the optimum",
        "distance to the optimum, baseline 0",
    ]
    right, wrong = (c["values"][-1] for c in data["curves"])
    assert right < wrong
    assert len(ET.parse(plot).getroot().findall(".//{http://www.w3.org/2000/svg}polyline")) == 2


def test_a_kl_term_s_table(tmp_path: Path) -> None:
    spec = written(
        tmp_path,
        "{terms: [{name: a, kind: likelihood}, {name: b, kind: kl, estimator: u**2}]}",
        "demonstrations",
    )
    done = CliRunner().invoke(command, [str(spec)], standalone_mode=False)
    assert done.return_value == 0
    assert "u**2 in loss, off-policy, no ρ" in done.stdout
    assert "u**2 in loss, own samples" not in done.stdout
    assert "✗" not in done.stdout
    whole = CliRunner().invoke(command, [str(spec), "--kl"], standalone_mode=False)
    assert "u**2 in loss, own samples" in whole.stdout
    assert "full in loss, token" in whole.stdout


def test_a_loss_by_rank_claims_no_optimum(tmp_path: Path) -> None:
    """AOT: references may change places; a loss row by row would notice."""
    from alignc.verify import ranks

    compiled = lowered(written(tmp_path, "{preset: aot}", "pairwise"), files=False)
    found = list(ranks.by_rank(compiled.loss, TOY))
    assert [c.holds for c in found] == [None, True, True]
    assert found[0].says.startswith("no claim")
    by_row = lowered(written(tmp_path, "{preset: dpo}", "pairwise"), files=False)
    assert not ranks.ranked(by_row.loss)
    same = replace(TOY, lengths=(4, 4, 4, 4))
    assert [c.holds for c in ranks.by_rank(by_row.loss, same)][1] is False
