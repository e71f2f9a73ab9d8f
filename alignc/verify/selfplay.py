"""Self-play on games that can be enumerated: the compiled loss, iterated against the policy that it starts from.

A loss that sees win rates only through η·(P − b) is one for every η and every log-partition: what changes is the
column that it reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from alignc.contract.baselines import LOG_PARTITION, MEAN_WIN_RATE
from alignc.contract.responses import COMPLETION, COMPLETIONS
from alignc.load.load import Loaded
from alignc.lower.links import LINKS
from alignc.lower.loss import Loss
from alignc.spec.objective import Pointwise
from alignc.spec.scores import LOG_RATIO
from alignc.spec.targets import NoPoint, WinRateTarget
from alignc.verify.game import (
    CYCLE,
    GAMES,
    RANDOM,
    Game,
    Update,
    duality_gap,
    multiplicative,
    plays,
    saturated,
    tilt,
    tilted,
)
from alignc.verify.optima import field_of
from alignc.verify.report import Claim, Curve, Table, Verdict, judged
from alignc.verify.rows import GROUP_SIZE
from alignc.verify.solve import Ended, search
from alignc.verify.toy import Array, Expected, Row, Toy, log_softmax

__all__ = ["game_curves", "game_tables", "played", "self_play"]

ROUNDS = (10, 30, 100, 300, 1000)
CHECKED = 10
"""Iterations whose fixed point is held against the compiled loss's gradient."""
MODERATE = 5.0
"""An η at which Newton's method starts from π_t and needs no closed form."""
CLOSE = 1e-6
NO_KAPPA = "Σ π_t·e^t is below 1 at this constant: no κ above 0 solves the closed form"


@dataclass(frozen=True)
class Step:
    """What a spec says of one iteration: η in nat per win, after division by β; samples a prompt.

    `constant` stands for the log-partition; where `column` is set the rollout gives that: ½ on average
    (`batch_mean`), or an estimate of log Z/η (`log_partition`).
    """

    eta: float
    constant: float
    column: str | None
    samples: int
    factor: float
    """The loss is this half of (u/η − P + b)²·η: 2λβ²η."""

    def tilted(self, eta: float) -> Update:
        """Make the update with the constant, at an η."""
        return tilted(eta * (0.5 - self.constant))

    @property
    def half(self) -> str:
        """Name the constant."""
        return f"constant {self.constant:g}"


def played(spec: Loaded, loss: Loss) -> Step | None:
    """Read the iteration off a spec that regresses log-ratios on win rates; None for another."""
    terms = spec.job.objective.terms
    term = terms[0] if len(terms) == 1 else None
    if not isinstance(term, Pointwise) or not isinstance(term.target, WinRateTarget):
        return None
    score = term.score
    plain = score.of == LOG_RATIO and score.reduce == "sum" and LINKS[term.link.kind].regression
    plain = plain and score.transform is None and score.tail_weight == 1 and term.weight > 0
    even = term.direction == "up" or term.desirable_weight == term.undesirable_weight
    plain = plain and even and term.direction != "down" and term.desirable_weight > 0
    if term.target.outcome != "column" or loss.view.pair or not plain:
        return None
    if not isinstance(term.reference_point, NoPoint):
        return None
    bound = spec.parameters.get("completions_per_prompt")
    told = getattr(spec.job.data, "completions_per_prompt", bound.value if bound else None)
    samples = int(told) if isinstance(told, int | float) else GROUP_SIZE
    given = term.target.baseline
    column = given if isinstance(given, str) else None
    eta = term.target.eta / score.beta
    factor = 2 * term.weight * term.desirable_weight * score.beta**2 * eta
    return Step(eta, 0.5 if isinstance(given, str) else given, column, samples, factor)


def self_play(spec: Loaded, loss: Loss) -> Iterator[Claim]:
    """Iterate the loss on rock-paper-scissors and on a random game; nothing for losses without win rates."""
    if (step := played(spec, loss)) is None:
        return
    solved = all(_has_kappa(step, game) for game in GAMES)
    for claim in _claims(loss, step):
        lost = claim.verdict is Verdict.REFUTED and not solved
        yield replace(claim, found=NO_KAPPA, verdict=Verdict.UNDECIDED) if lost else claim


def _has_kappa(step: Step, game: Game) -> bool:
    """Tell whether the closed form has a κ above 0: Σ π_t·e^t ≥ 1, at every η that is tried."""
    tried = (min(step.eta, MODERATE), step.eta, 100 * step.eta)
    ahead = game.ahead(game.start) + 0.5 - step.constant
    return all(np.isfinite(tilt(game.start, eta * ahead)[1]) for eta in tried)


def _claims(loss: Loss, step: Step) -> Iterator[Claim]:
    for game in GAMES:
        if step.column != LOG_PARTITION.name:
            yield _iterated(loss, step, game)
        yield _partition_exact(loss, step, game)
    yield from _searched(loss, step)
    if loss.view.group:
        yield _sampled(loss, step)
    for game in GAMES:
        yield from _equilibrium(step, game)
        yield from _constant(step, game)


# ---- the compiled loss against the closed form ----------------------------------------------------------------


def _expected(loss: Loss, step: Step, logps: Array, ahead: Array, average: float) -> Expected:
    """Take the loss over π_t's own samples where it must see η·(P − average); each response's rate is its own."""
    size, group = len(logps), loss.view.group
    rates = ahead + 0.5
    columns: dict[str, float] = {}
    if step.column is None:
        rates = rates - average + step.constant
    else:
        columns[step.column] = average
    rows = []
    for y in range(size):
        weight, rate = float(np.exp(logps[y])), float(rates[y])
        if group:
            rows.append(Row(weight, {COMPLETIONS: (y,)}, {"win_rate/completions": (rate,), **columns}))
        else:
            rows.append(Row(weight, {COMPLETION: y}, {"win_rate/completion": rate, **columns}))
    return Expected(loss, Toy((2,) * size, logps, logps, np.zeros(size)), rows)


def _slope(expected: Expected, policy: Array) -> float:
    """Measure the gradient at a policy, in the size of its coefficients."""
    size = len(policy)
    found = expected.gradient(np.concatenate([policy, np.zeros(size + 1)]))[:size]
    return float(np.abs(found).max())


def _iterated(loss: Loss, step: Step, game: Game) -> Claim:
    """Follow the closed form for some iterations; the compiled loss's gradient must vanish at each."""
    logps, worst = game.start, 0.0
    for _ in range(CHECKED):
        ahead = game.ahead(logps)
        after = step.tilted(step.eta)(logps, step.eta * ahead)
        worst = max(worst, _slope(_expected(loss, step, logps, ahead, step.constant), after) / (1 + step.eta))
        logps = after
    says = f"the loss is least at u = t − W(κ·e^t), t = η·(P − {step.constant:g}), in {CHECKED} iterations"
    return Claim(f"self-play, {game.name}", says, "", worst, judged(worst < 1e-9))


def _partition_exact(loss: Loss, step: Step, game: Game) -> Claim:
    """Give the loss win rates less log Z/η: it must vanish, with its gradient, at multiplicative weights."""
    logps, worst = game.start, 0.0
    for _ in range(CHECKED):
        ahead = game.ahead(logps)
        after = multiplicative(logps, step.eta * ahead)
        partition = float(np.max(step.eta * ahead + logps - after))
        expected = _expected(loss, step, logps, ahead, 0.5 + partition / step.eta)
        theta = np.concatenate([after, np.zeros(game.size + 1)])
        worst = max(worst, (_slope(expected, after) + abs(expected.loss(theta))) / (1 + step.eta))
        logps = after
    says = "with log Z for the constant, the loss is 0 at multiplicative weights"
    return Claim(f"self-play, {game.name}", says, "", worst, judged(worst < 1e-9))


def _searched(loss: Loss, step: Step) -> Iterator[Claim]:
    """Descend the compiled loss from π_t, knowing no closed form, at a moderate η."""
    eta = min(step.eta, MODERATE)
    for game in GAMES:
        ahead = game.ahead(game.start) * eta / step.eta
        exact, average = step.column == LOG_PARTITION.name, step.constant
        if exact:
            average = 0.5 + float(np.log(np.exp(game.start) @ np.exp(step.eta * ahead))) / step.eta
        elif step.constant != 0.5:
            average = 0.5 + (step.constant - 0.5) * eta / step.eta
        expected = _expected(loss, step, game.start, ahead, average)
        ended = _descent(expected, game)
        update = multiplicative if exact else step.tilted(eta)
        wanted = update(game.start, step.eta * ahead)
        gap = float(np.abs(np.exp(log_softmax(ended.theta)) - np.exp(wanted)).max())
        says = f"descent from π_t ends at the closed form (η = {eta:g})"
        yield Claim(f"self-play, {game.name}", says, "", gap, _reached(ended, gap))


def _descent(expected: Expected, game: Game) -> Ended:
    """Search from the policy that play starts from."""
    return search(
        field_of(expected, Toy((2,) * game.size, game.start, game.start, np.zeros(game.size))), game.start
    )


def _reached(ended: Ended, gap: float) -> Verdict:
    return judged(gap < CLOSE) if ended.found else Verdict.UNDECIDED


def _logits(expected: Expected, theta: Array) -> Array:
    size = len(theta)
    found: Array = expected.gradient(np.concatenate([theta, np.zeros(size + 1)]))[:size]
    return found


def _sampled(loss: Loss, step: Step) -> Claim:
    """Estimate win rates on k samples, each compared with itself too: the loss then sees η·(k − 1)/k.

    A log-partition estimated from the same samples is told, not claimed.
    """
    game, k, about = CYCLE, step.samples, "self-play, samples"
    eta = min(step.eta, MODERATE)
    rows = list(_groups(game, k, step, eta))
    toy = Toy((2,) * game.size, game.start, game.start, np.zeros(game.size))
    expected = Expected(loss, toy, rows)
    ended = _descent(expected, game)
    ahead = eta * (k - 1) / k * game.ahead(game.start)
    exact = step.column == LOG_PARTITION.name
    shift = eta * (0.5 - step.constant)
    wanted = multiplicative(game.start, ahead) if exact else tilted(shift)(game.start, ahead)
    gap = float(np.abs(np.exp(log_softmax(ended.theta)) - np.exp(wanted)).max())
    says = f"win rates over {k} samples, itself included, take η to η·{k - 1}/{k}"
    if exact:
        return Claim(
            about, f"{says}; log Z of the same samples is biased", f"at η = {eta:g}", gap, Verdict.TOLD
        )
    return Claim(about, says, "", gap, _reached(ended, gap))


def _groups(game: Game, k: int, step: Step, eta: float) -> Iterator[Row]:
    """List every group of k samples with the win rates it gives, moved to where the loss sees η for its own."""
    law, times = np.exp(game.start), eta / step.eta
    for group in itertools.combinations_with_replacement(range(game.size), k):
        orders = len(set(itertools.permutations(group)))
        ahead = (game.prefers[np.ix_(group, group)].mean(axis=1) - 0.5) * times
        constant = 0.5 + (step.constant - 0.5) * times
        rates = ahead + 0.5 - constant + step.constant
        columns: dict[str, float] = {}
        if step.column == MEAN_WIN_RATE.name:
            columns = {step.column: 0.5}
        elif step.column is not None:
            columns = {step.column: 0.5 + float(np.log(np.exp(step.eta * ahead).mean())) / step.eta}
        each: dict[str, float | tuple[float, ...]] = {
            **columns,
            "win_rate/completions": tuple(map(float, rates)),
        }
        yield Row(orders * float(np.prod(law[list(group)])), {COMPLETIONS: group}, each)


# ---- what iterating it comes to -------------------------------------------------------------------------------


def _tuned(game: Game, rounds: int) -> tuple[float, float]:
    """Give the η that makes the bound on the gap least, and that bound: √(2·D/T), D = max_y log 1/π_1(y).

    For any η the average of T policies is within 2·D/(η·T) + η/4 of the equilibrium: Hedge's regret, for both players.
    """
    distance = float(-game.start.min())
    return float(np.sqrt(8 * distance / rounds)), float(np.sqrt(2 * distance / rounds))


@lru_cache(maxsize=128)
def _gap(step: Step, name: str, eta: float, rounds: int, *, exact: bool) -> float:
    """Measure the gap of the average policy on a game, by its name: with log Z (`exact`), or with the constant."""
    game = next(g for g in GAMES if g.name == name)
    update = multiplicative if exact else step.tilted(eta)
    return duality_gap(game, np.mean(plays(game, update, eta, rounds), axis=0))


def _equilibrium(step: Step, game: Game) -> Iterator[Claim]:
    """Measure the duality gap of the average of the first T policies."""
    found, bounds = [], []
    for rounds in ROUNDS:
        eta, bound = _tuned(game, rounds)
        found.append(_gap(step, game.name, eta, rounds, exact=True))
        bounds.append(bound)
    power = float(np.polyfit(np.log(ROUNDS), np.log(found), 1)[0])
    says = "with log Z and η = √(8D/T): duality gap of the average ≤ √(2D/T), D = max log 1/π_1"
    shown = f"{' '.join(f'{g:.4f}' for g in found)} at T = {' '.join(map(str, ROUNDS))}: as T^{power:.2f}"
    worst = float(max(g / b for g, b in zip(found, bounds, strict=True)))
    yield Claim(
        f"equilibrium, {game.name}",
        says,
        f"{shown}; at most {worst:.2f} of the bound",
        None,
        judged(worst <= 1),
    )
    constant = max(
        abs(_gap(step, game.name, eta, t, exact=False) - g)
        for t, g in zip(ROUNDS, found, strict=True)
        for eta in [_tuned(game, t)[0]]
    )
    says = f"the same η with the {step.half}: no bound is claimed"
    yield Claim(
        f"equilibrium, {game.name}", says, f"gaps differ by at most {constant:.4f}", None, Verdict.TOLD
    )


def gap_table(step: Step, game: Game) -> Table:
    """Tabulate the duality gap by iterations: the tuned η and the spec's, log Z and the constant."""
    half, longest = step.half, max(ROUNDS)
    own = {name: plays(game, update, step.eta, longest) for name, update in
           (("log Z", multiplicative), (half, step.tilted(step.eta)))}  # fmt: skip
    rows = []
    for rounds in (1, 2, 3, *ROUNDS):
        eta, bound = _tuned(game, rounds)
        tuned = [_gap(step, game.name, eta, rounds, exact=exact) for exact in (True, False)]
        mean = [duality_gap(game, np.mean(p[:rounds], axis=0)) for p in own.values()]
        last = duality_gap(game, own[half][rounds - 1])
        rows.append((str(rounds), f"{eta:.3g}", *(f"{v:.4f}" for v in (bound, *tuned, *mean, last))))
    at = f"η = {step.eta:g}"
    head = (
        "T",
        "η_T",
        "√(2D/T)",
        "η_T, log Z",
        f"η_T, {half}",
        f"{at}, log Z",
        f"{at}, {half}",
        f"last policy, {half}",
    )
    return Table(f"duality gap of the average of T policies, {game.name}", head, tuple(rows))


def _constant(step: Step, game: Game) -> Iterator[Claim]:
    """Tell what the constant does in the first iteration: how far from log Z, how it tilts, and where it saturates."""
    ahead = game.ahead(game.start)
    exact = np.exp(multiplicative(game.start, step.eta * ahead))
    u, log_kappa = tilt(game.start, step.eta * (ahead + 0.5 - step.constant))
    after = np.exp(log_softmax(game.start + u))
    best, worst = int(np.argmax(ahead)), int(np.argmin(ahead))
    share = float((u[best] - u[worst]) / (step.eta * (ahead[best] - ahead[worst])))
    shown = f"π(best) = {after[best]:.4f}, with log Z {exact[best]:.4f}; best to worst {share:.3f} of the step in nat"
    about = f"{step.half}, {game.name}"
    yield Claim(about, f"replaces log Z/η and tilts the step by κ = {np.exp(log_kappa):.3g}", shown,
                float(np.abs(after - exact).max()), Verdict.TOLD)  # fmt: skip
    limit = saturated(game.start, ahead + 0.5 - step.constant)
    gaps = [float(np.abs(_tilted_once(step, game, eta) - limit).max()) for eta in (step.eta, 100 * step.eta)]
    half = "½" if step.constant == 0.5 else f"{step.constant:g}"
    says = f"as η grows it tends to π_t·max(0, P − {half})/Z, for any η; "
    says += "multiplicative weights tend to the best response"
    yield Claim(
        about,
        says,
        f"{gaps[0]:.2g} from it at η = {step.eta:g}",
        gaps[0],
        judged(gaps[1] < max(gaps[0], 1e-3)),
    )


def _tilted_once(step: Step, game: Game, eta: float) -> Array:
    found: Array = np.exp(step.tilted(eta)(game.start, eta * game.ahead(game.start)))
    return found


def game_tables(spec: Loaded, loss: Loss) -> list[Table]:
    """Tabulate self-play's way to equilibrium on every game; nothing for losses without win rates."""
    step = played(spec, loss)
    return [] if step is None else [gap_table(step, game) for game in GAMES]


def game_curves(spec: Loaded, loss: Loss, rounds: int = 100) -> Iterator[Curve]:
    """Follow the duality gap of the average on the random game."""
    if (step := played(spec, loss)) is None:
        return
    eta = _tuned(RANDOM, rounds)[0]
    ways = {
        f"log Z, η = {eta:.2g}": (multiplicative, eta),
        f"log Z, η = {step.eta:g}": (multiplicative, step.eta),
        f"{step.half}, η = {step.eta:g}": (step.tilted(step.eta), step.eta),
    }
    for name, (update, rate) in ways.items():
        policies = plays(RANDOM, update, rate, rounds)
        gaps = [duality_gap(RANDOM, np.mean(policies[: t + 1], axis=0)) for t in range(rounds)]
        yield Curve(name, tuple(gaps), f"iterations: duality gap of the average, {RANDOM.name}")
