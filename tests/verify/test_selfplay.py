"""Self-play: closed forms against arithmetic written here, the bound, the constant ½, and what the command shows."""

from __future__ import annotations

import itertools
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from alignc.api import lowered
from alignc.cli.verify import command
from alignc.point.evaluate import at_point
from alignc.verify.game import (
    CYCLE,
    GAMES,
    RANDOM,
    duality_gap,
    multiplicative,
    omega,
    plays,
    saturated,
    tilt,
    tilted,
)
from alignc.verify.selfplay import self_play
from alignc.verify.toy import log_softmax

UNIFORM = np.full(4, -math.log(4))
ARMS = np.array([0.6, 0.505, 0.4475, 0.4475])
"""Four arms of which the best leads by 0.095: at η = 100 that is e^9.5 to one for multiplicative weights."""


def written(folder: Path, kind: str, eta: float) -> Path:
    spec = folder / "spec.yaml"
    spec.write_text(
        f"objective: {{preset: sppo, eta: {eta}}}\nmodel: {{policy: x/y}}\ndata: {{kind: {kind}, source: x/y}}\n",
        "utf-8",
    )
    return spec


@pytest.mark.parametrize("y", [-700.0, -3.0, 0.0, 1.0, 2.5, 900.0])
def test_omega(y: float) -> None:
    v = omega(y)
    assert v + math.exp(v) == pytest.approx(y, rel=1e-14)


def test_four_arms() -> None:
    """At η = 100 the constant ½ leaves the best arm at .8755, where multiplicative weights give it .9999."""
    best = {
        "tilted": np.exp(tilted()(UNIFORM, 100 * (ARMS - 0.5))).max(),
        "exact": np.exp(multiplicative(UNIFORM, 100 * (ARMS - 0.5))).max(),
    }
    assert best["tilted"] == pytest.approx(0.8755, abs=5e-5)
    assert best["exact"] == pytest.approx(0.9999, abs=5e-5)


def test_the_compiled_loss_is_least_at_the_tilted_policy(tmp_path: Path) -> None:
    """The population loss by `explain --at`, arm by arm: no move along the simplex lowers it, at η = 100."""
    loss = lowered(written(tmp_path, "pointwise", 100), files=False).loss

    def population(logps: np.ndarray) -> float:
        rows = [
            {"completion": {"logp": float(l), "ref_logp": float(r), "win_rate": float(p)}}
            for l, r, p in zip(logps, UNIFORM, ARMS, strict=True)
        ]
        return at_point(loss, {"examples": rows})["loss"]

    after = tilted()(UNIFORM, 100 * (ARMS - 0.5))
    least = population(after)
    moves = np.random.default_rng(0).normal(size=(20, 4))
    assert all(population(log_softmax(after + 1e-3 * m)) > least for m in moves)
    assert population(multiplicative(UNIFORM, 100 * (ARMS - 0.5))) > least


@pytest.mark.parametrize("eta", [0.3, 5.0, 100.0, 1000.0])
def test_the_closed_form(eta: float) -> None:
    """U + κ·e^u = t, and probabilities add up to 1."""
    logps = log_softmax(np.array([0.2, -0.4, 0.9, 0.1]))
    ahead = np.array([0.31, 0.02, -0.1, -0.25])
    target = eta * (ahead - np.exp(logps) @ ahead)
    u, log_kappa = tilt(logps, target)
    assert u + np.exp(log_kappa + u) == pytest.approx(target, rel=1e-9, abs=1e-9)
    assert float(np.exp(logps + u).sum()) == pytest.approx(1, abs=1e-12)


def test_a_response_that_is_all_but_dropped_still_counts() -> None:
    """ε·e^u = ε + κ and κ·e^u = t: half way back in nat, where multiplicative weights come back at once."""
    logps = log_softmax(np.array([0.0, -400.0]))
    after = tilted()(logps, np.array([-0.0, 500.0]))
    assert -205 < after[1] < -190
    assert multiplicative(logps, np.array([0.0, 500.0]))[1] == pytest.approx(0, abs=1e-12)


def test_the_constant_saturates() -> None:
    game = RANDOM
    ahead = game.ahead(game.start)
    limit = saturated(game.start, ahead)
    far = [np.abs(np.exp(tilted()(game.start, eta * ahead)) - limit).max() for eta in (1e2, 1e3, 1e4, 1e5)]
    assert all(later < sooner / 5 for sooner, later in itertools.pairwise(far))
    assert np.exp(multiplicative(game.start, 1e3 * ahead)).max() > 1 - 1e-9 > limit.max()


def test_for_a_small_step_the_constant_is_the_log_partition_to_second_order() -> None:
    game = RANDOM
    ahead = game.ahead(game.start)
    apart = [
        np.abs(tilted()(game.start, e * ahead) - multiplicative(game.start, e * ahead)).max()
        for e in (0.1, 0.01)
    ]
    assert apart[0] / apart[1] == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize("game", GAMES, ids=lambda g: g.name)
@pytest.mark.parametrize("eta", [0.05, 0.5, 2.0])
def test_the_regret_bound_holds_at_any_eta(game: object, eta: float) -> None:
    """2·D/(η·T) + η/4: Hedge's regret with gains in [0, 1], for both players."""
    for rounds in (1, 20, 200):
        average = np.mean(plays(game, multiplicative, eta, rounds), axis=0)
        bound = 2 * float(-game.start.min()) / (eta * rounds) + eta / 4
        assert 0 <= duality_gap(game, average) <= bound


def test_the_gap_of_a_policy() -> None:
    assert duality_gap(CYCLE, np.full(3, 1 / 3)) == pytest.approx(0, abs=1e-15)
    assert duality_gap(CYCLE, np.array([1.0, 0, 0])) == 1
    assert np.allclose(RANDOM.prefers + RANDOM.prefers.T, 1)


@pytest.mark.parametrize("kind", ["pointwise", "scored"])
@pytest.mark.parametrize("eta", [2, 1000])
def test_every_claim_holds(kind: str, eta: int, tmp_path: Path) -> None:
    compiled = lowered(written(tmp_path, kind, eta), files=False)
    claims = list(self_play(compiled.spec, compiled.loss))
    assert [c for c in claims if c.holds is False] == []
    assert any("itself included" in c.says for c in claims) == (kind == "scored")


def test_a_wrong_update_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Multiplicative weights are not what the constant ½ leads to."""
    from alignc.verify import selfplay as module

    compiled = lowered(written(tmp_path, "pointwise", 5), files=False)
    monkeypatch.setattr(module, "tilted", lambda shift=0.0: multiplicative)
    claims = [
        c
        for c in self_play(compiled.spec, compiled.loss)
        if "in 10 iterations" in c.says or "descent" in c.says
    ]
    assert [c.holds for c in claims] == [False] * 4


def test_the_command_tabulates_and_draws(tmp_path: Path) -> None:
    spec, plot = written(tmp_path, "pointwise", 100), tmp_path / "way.svg"
    done = CliRunner().invoke(command, [str(spec), "--plot", str(plot)], standalone_mode=False)
    assert done.return_value == 0, done.output
    assert "duality gap of the average of T policies, rock-paper-scissors" in done.stdout
    lines = ET.parse(plot).getroot().findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4
    done = CliRunner().invoke(command, [str(spec), "--json"], standalone_mode=False)
    assert [t["title"].rsplit(", ")[-1] for t in json.loads(done.stdout)["tables"]] == [g.name for g in GAMES]
