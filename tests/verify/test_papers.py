"""What papers claim of SPPO, DPO and CoPG, group sizes, and the closing lines: each with a statement that is wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from alignc.api import lowered
from alignc.cli.verify import command
from alignc.verify import Claim, Verdict, groups, papers, verify
from alignc.verify import optima as ends
from alignc.verify.objectives import TOY
from alignc.verify.papers import paper_claims
from alignc.verify.policy_claims import settings
from alignc.verify.response_space import TOKENS
from alignc.verify.summary import does, untried
from alignc.verify.worded import soft_values

from .online import online
from .test_verify import written


def claims_of(folder: Path, objective: str, kind: str) -> list[Claim]:
    compiled = lowered(written(folder, objective, kind), files=False)
    return list(paper_claims(compiled.spec, compiled.loss))


SPPO = (("{preset: sppo}", "pointwise"), ("{preset: sppo, eta: 2}", "scored"),
        ("{preset: sppo, eta: 3, terms: {fit: {weight: 0.5, score: {beta: 0.25}}}}", "pointwise"),
        ("{preset: sppo, eta: 2, partition: 0.9}", "pointwise"))  # fmt: skip


@pytest.mark.parametrize(("objective", "kind"), SPPO)
def test_the_square_of_sppo_is_a_policy_gradient(
    objective: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2λβ²·(η/β) times −∇(E[P] − KL/η); with another factor, or another η, it is not."""
    found = [c for c in claims_of(tmp_path, objective, kind) if c.about.startswith("policy gradient")]
    assert [c.verdict for c in found] == [Verdict.HOLDS] * 2
    real = papers.played
    for wrong in ({"factor": 1.01}, {"eta": 1.01}):

        def changed(*a: object, by: dict[str, float] = wrong) -> object:
            step = real(*a)  # type: ignore[arg-type]
            return replace(step, **{k: v * getattr(step, k) for k, v in by.items()})  # type: ignore[type-var]

        monkeypatch.setattr(papers, "played", changed)
        found = [c for c in claims_of(tmp_path, objective, kind) if c.about.startswith("policy gradient")]
        assert [c.verdict for c in found] == [Verdict.REFUTED] * 2


def test_the_factor_of_sppo_by_hand() -> None:
    """Two responses: E_π[(u − η(P − ½))²], held law, differentiated by differences."""
    eta, prefers = 4.0, np.array([[0.5, 0.7], [0.3, 0.5]])
    start, p = np.log([0.6, 0.4]), 0.55
    ahead = prefers @ np.exp(start) - 0.5

    def square(x: float, law: np.ndarray) -> float:
        return float(law @ (np.log([x, 1 - x]) - start - eta * ahead) ** 2)

    def j(x: float) -> float:
        law = np.array([x, 1 - x])
        return float(law @ ahead - law @ (np.log(law) - start) / eta)

    h, law = 1e-6, np.array([p, 1 - p])
    left = (square(p + h, law) - square(p - h, law)) / (2 * h)
    right = (j(p + h) - j(p - h)) / (2 * h)
    assert left == pytest.approx(-2 * eta * right, rel=1e-6)


@pytest.mark.parametrize(("objective", "kind"), [("{preset: dpo}", "pairwise"), ("{preset: dpo, beta: 3}", "scored"),
                                                 *SPPO[:3]])  # fmt: skip
def test_word_by_word(objective: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy of the soft Bellman equation rests; that of the hard one, or of another η, does not."""
    (found,) = [c for c in claims_of(tmp_path, objective, kind) if c.about.startswith("word by word")]
    assert found.verdict is Verdict.HOLDS
    monkeypatch.setattr(papers, "soft_values", lambda s, w, eta: soft_values(s, w, 1.05 * eta))
    (found,) = [c for c in claims_of(tmp_path, objective, kind) if c.about.startswith("word by word")]
    assert found.verdict is Verdict.REFUTED


def test_soft_values_make_the_tilted_law_of_whole_responses() -> None:
    """The product over words of ref·exp(η(Q − V)) is ref·exp(ηR)/Z, and V of the start is log Z/η."""
    eta, rewards = 2.5, np.array(TOKENS.rewards)
    q, v = soft_values(TOKENS, TOKENS.rewards, eta)
    policy = TOKENS.policy((TOKENS.reference.logps + eta * (q - v[:, None])).ravel())
    mass = TOKENS.reference.law * np.exp(eta * rewards)
    assert policy.law == pytest.approx(mass / mass.sum(), rel=1e-12)
    assert v[TOKENS.states[()]] == pytest.approx(math.log(mass.sum()) / eta, rel=1e-12)


COPG = (
    ("{preset: copg}", ("2 times", "3 times")),
    ("{preset: copg, normalized: false}", ("0.4 times", "0.6 times")),
)


@pytest.mark.parametrize(("objective", "factors"), COPG)
def test_copg_is_k_times_a_policy_gradient(
    objective: str, factors: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = lowered(written(tmp_path, objective, "scored"), files=False)
    found = [c for c in verify(compiled.spec, compiled.loss).claims if c.about.startswith("gradient, own")]
    assert [c.verdict for c in found] == [Verdict.HOLDS] * 2
    assert tuple(c.found for c in found) == factors
    wrong = replace(TOY, rewards=1.001 * TOY.rewards)
    real = ends.rows_of_data
    monkeypatch.setattr(
        ends, "rows_of_data", lambda loss, toy, **how: real(loss, replace(toy, rewards=wrong.rewards), **how)
    )
    term = ends._contrast(compiled.spec)
    assert term is not None
    assert ends._factor(term, compiled.loss, TOY, 2).verdict is Verdict.REFUTED


# ---- groups ---------------------------------------------------------------------------------------------------


def test_over_k_a_deviation_becomes_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense rewards on one action turn less and less; rewards of two values never."""
    setting = next(s for s in settings(*online({"preset": "grpo"}, 16)) if s.space.longest == 1)
    (table,) = groups.group_table(setting)
    assert [r[0] for r in table.rows] == ["2", "3", "4", "8", "16"]
    dense, binary = ([float(r[i].rstrip("°")) for r in table.rows] for i in (1, 2))
    assert dense == sorted(dense, reverse=True)
    assert dense[0] > 5 > 1 > dense[-2]
    assert binary == [0.0] * 5
    (claim,) = groups.two_values(setting)
    assert claim.verdict is Verdict.HOLDS
    monkeypatch.setattr(groups, "_binary", lambda space: space.rewards)
    (claim,) = groups.two_values(setting)
    assert claim.verdict is Verdict.REFUTED


def test_two_responses_by_hand() -> None:
    """Of two responses that differ, a deviation leaves only which is better: E ∝ Σ_{i<j} p_i·p_j·(∇l_j − ∇l_i)."""
    setting = next(s for s in settings(*online({"preset": "grpo", "kl": None}, 2)) if s.space.longest == 1)
    space = groups.FEW
    policy, rewards = space.drawn(1)[0], np.array(space.rewards)
    wins = np.sign(rewards[:, None] - rewards[None, :]) @ policy.law
    turned = groups.angle(policy.slope(wins.tolist()), policy.slope(list(rewards)))
    assert groups._turned(setting, space, 2, space.rewards) == pytest.approx(turned, abs=0.01)


# ---- what is shown --------------------------------------------------------------------------------------------


def test_the_lines_about_the_spec_come_first_and_the_sentences_last(tmp_path: Path) -> None:
    spec = written(tmp_path, "{preset: dpo}", "pairwise")
    done = CliRunner().invoke(command, [str(spec), "--kl"], standalone_mode=False)
    text = done.stdout
    order = [
        "first step",
        "optimum, off-policy",
        "KL estimators at each placement",
        "claims hold",
        "It ends at",
        "Not tried",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    plain = CliRunner().invoke(command, [str(spec)], standalone_mode=False).stdout
    assert "KL estimators" not in plain


def test_undecided_is_said_and_does_not_fail(tmp_path: Path) -> None:
    spec = written(tmp_path, "{preset: simpo}", "pairwise")
    done = CliRunner().invoke(command, [str(spec), "--json"], standalone_mode=False)
    assert done.return_value == 0
    assert '"verdict": "undecided"' in done.stdout
    assert '"holds": true' in done.stdout
    shown = CliRunner().invoke(command, [str(spec)], standalone_mode=False).stdout
    assert "undecided" in shown
    assert "?  optimum" in shown


def test_a_refuted_claim_is_the_closing_sentence() -> None:
    claim = Claim("optimum, own samples of ref", "ref·exp(R/β)/Z", "elsewhere", 1.0, Verdict.REFUTED)
    assert "refuted: optimum" in does([claim])
    open_one = replace(claim, verdict=Verdict.UNDECIDED)
    assert "not decided" in does([open_one])
    assert "optimum, own samples of ref" in untried([open_one], online=False)
