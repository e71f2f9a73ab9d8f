"""What papers show of SPPO, DPO and CoPG, held against the compiled loss.

Wu et al. 2024: the square of SPPO is a policy gradient (eq. 3.10), and SPPO makes the policy a Q* of words. Rafailov et
al. 2024 show the second for DPO. Flet-Berliac et al. 2024: CoPG is a policy gradient on its own samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignc.contract.responses import COMPLETION, COMPLETIONS
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.spec.axes import LogisticLink, NoMargin
from alignc.spec.objective import Preference
from alignc.spec.scores import LOG_RATIO
from alignc.verify.game import GAMES, Game
from alignc.verify.report import Claim, judged
from alignc.verify.response_space import TOKENS
from alignc.verify.rows import rows_of_data, win_rates
from alignc.verify.selfplay import Step, played
from alignc.verify.toy import Array, Expected, Row, Toy, log_softmax
from alignc.verify.worded import Worded, soft_values, toy_of

__all__ = ["paper_claims"]

CLOSE = 1e-9


def paper_claims(spec: Loaded, loss: Loss) -> Iterator[Claim]:
    """Test what papers claim of this kind of loss; nothing for other kinds."""
    if (step := played(spec, loss)) is not None:
        for game in GAMES:
            yield _square(loss, step, game)
        yield _token_values(loss, *_win_rate_rows(loss, step), step.eta, "η")
    if (beta := _plain_preference(spec)) is not None:
        toy = toy_of(TOKENS, TOKENS.drawn(1)[0])
        made = Worded(loss, TOKENS, toy, rows_of_data(loss, toy))
        yield _token_values(loss, made, np.array(TOKENS.rewards), 1 / beta, "1/β")


# ---- SPPO's square is a policy gradient -----------------------------------------------------------------------


def _square(loss: Loss, step: Step, game: Game) -> Claim:
    """On samples of the policy, the square descends −E[P] + KL(π‖π_t)/η, whatever constant stands for log Z."""
    policy = log_softmax(np.random.default_rng(3).normal(size=game.size))
    ahead = game.ahead(game.start)
    wanted = -step.factor * _ascent(policy, game, ahead, step.eta)
    worst = 0.0
    for constant in (step.constant, 0.0):
        found = _own(loss, step, game, policy, constant)
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
    goal = f"{step.factor:.6g} times −∇(E[P] − KL(π‖π_t)/η)"
    says = f"on samples of π the gradient of the square is {goal}: with {step.constant:g} and without"
    return Claim(f"policy gradient, {game.name}", says, "eq. 3.10", worst, judged(worst < CLOSE))


def _ascent(policy: Array, game: Game, ahead: Array, eta: float) -> Array:
    worth = ahead - (policy - game.start) / eta
    law = np.exp(policy)
    found: Array = law * (worth - law @ worth)
    return found


def _own(loss: Loss, step: Step, game: Game, policy: Array, constant: float) -> Array:
    """Compute the loss's expected gradient over samples of π, where it sees η·(P − constant)."""
    rates = game.ahead(game.start) + 0.5
    rows = _rows(loss, step, np.exp(policy), rates, constant)
    toy = Toy((2,) * game.size, game.start, game.start, np.zeros(game.size))
    theta = np.concatenate([policy, np.zeros(game.size + 1)])
    return Expected(loss, toy, rows).gradient(theta)[: game.size]


def _rows(loss: Loss, step: Step, law: Array, rates: Array, constant: float) -> list[Row]:
    """List one row a response, with its probability, where the loss sees η·(P − constant)."""
    columns = {} if step.column is None else {step.column: constant}
    seen = rates if step.column is not None else rates - constant + step.constant
    rows = []
    for y, (weight, rate) in enumerate(zip(law.tolist(), seen.tolist(), strict=True)):
        if loss.view.group:
            rows.append(Row(weight, {COMPLETIONS: (y,)}, {"win_rate/completions": (rate,), **columns}))
        else:
            rows.append(Row(weight, {COMPLETION: y}, {"win_rate/completion": rate, **columns}))
    return rows


# ---- the policy is a Q* of words ------------------------------------------------------------------------------


def _plain_preference(spec: Loaded) -> float | None:
    """Give β of a loss that is DPO's: logistic, of whole log-ratios, without a margin."""
    terms = spec.job.objective.terms
    term = terms[0] if len(terms) == 1 else None
    if (
        not isinstance(term, Preference)
        or not isinstance(term.link, LogisticLink)
        or term.link.label_smoothing
    ):
        return None
    plain = isinstance(term.margin, NoMargin) and term.score.of == LOG_RATIO and term.score.reduce == "sum"
    plain = plain and term.score.transform is None and term.score.tail_weight == 1 and not term.center
    row = term.order == "row" and term.pairs == "best_worst" and term.sample_weight == "none"
    return (
        term.score.beta
        if plain and row and term.weight > 0 and term.score.anchor in (None, "initial")
        else None
    )


def _win_rate_rows(loss: Loss, step: Step) -> tuple[Worded, Array]:
    """Take SPPO's loss with log Z for its constant, on responses of two words, and give their win rates."""
    toy = toy_of(TOKENS, TOKENS.reference)
    rates = win_rates(toy)
    logs = toy.reference + step.eta * rates
    partition = float(logs.max() + np.log(np.exp(logs - logs.max()).sum())) / step.eta
    rows = _rows(loss, step, np.exp(toy.reference), rates, partition)
    return Worded(loss, TOKENS, toy, rows), rates


def _token_values(loss: Loss, made: Worded, worth: Array, eta: float, symbol: str) -> Claim:
    """Make a policy of the soft Bellman equation, word by word: the compiled loss's gradient must vanish there."""
    q, v = soft_values(TOKENS, worth.tolist(), eta)
    reference = TOKENS.reference
    policy = TOKENS.policy((reference.logps + eta * (q - v[:, None])).ravel())
    away = TOKENS.policy((reference.logps + 0.9 * eta * (q - v[:, None])).ravel())
    still, moved = (float(np.abs(made.gradient(p, reference)).max()) for p in (policy, away))
    gap = still / moved if moved > 0 else np.inf
    says = f"at the optimum log π(a|s)/ref(a|s) = (Q*(s, a) − V*(s))·{symbol}, by the soft Bellman equation"
    return Claim("word by word, two tokens", says, "", gap, judged(gap < 1e-6))
