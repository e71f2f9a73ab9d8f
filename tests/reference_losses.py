"""Losses and gradients of the offline methods, one row at a time, from their papers' formulas.

Plain arithmetic in float64, and nothing of alignc: what its graphs are compared with. A row is an example as
`explain --at` takes it; the answer is its loss and ∂loss/∂logp of every response, written down by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["LOSSES", "Answer"]


@dataclass(frozen=True)
class Answer:
    """The loss of a row, and its gradient in the shape of the row."""

    loss: float
    gradient: dict[str, Any]


Example = dict[str, Any]
Values = dict[str, Any]


def sigma(z: float) -> float:
    """1/(1 + e^−z), without overflow."""
    if z < 0:
        return math.exp(z) / (1 + math.exp(z)) if z > -745 else 0.0
    return 1 / (1 + math.exp(-z))


def softplus(z: float) -> float:
    """log(1 + e^z), without overflow."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def ls(z: float) -> float:
    """log σ(z)."""
    return -softplus(-z)


def pair(l_w: float, l_l: float, loss: float) -> Answer:
    """Put together the answer of a pair from its two coefficients."""
    return Answer(loss, {"chosen": {"logp": l_w}, "rejected": {"logp": l_l}})


def one(coefficient: float, loss: float) -> Answer:
    """Put together the answer of a single response."""
    return Answer(loss, {"completion": {"logp": coefficient}})


class Row:
    """The atoms of a pair: l, r, u, n of both, and h = u_w − u_l."""

    def __init__(self, example: Example) -> None:
        w, l = example["chosen"], example["rejected"]
        self.l_w, self.l_l = w["logp"], l["logp"]
        self.n_w, self.n_l = w.get("length", math.nan), l.get("length", math.nan)
        self.r_w, self.r_l = w.get("ref_logp", math.nan), l.get("ref_logp", math.nan)
        self.u_w, self.u_l = self.l_w - self.r_w, self.l_l - self.r_l
        self.h = self.u_w - self.u_l
        self.a_w, self.a_l = self.l_w / self.n_w, self.l_l / self.n_l


# ---- demonstrations -------------------------------------------------------------------------------------------


def sft(example: Example, v: Values, z0: float) -> Answer:
    """−l/n."""
    y = example["completion"]
    return one(-1 / y["length"], -y["logp"] / y["length"])


# ---- pairs: a link of βh --------------------------------------------------------------------------------------


def dpo(example: Example, v: Values, z0: float) -> Answer:
    """softplus(−z) + εz."""
    row, beta, e = Row(example), v["beta"], v.get("label_smoothing", 0)
    z = beta * row.h
    c = beta * (sigma(z) - 1 + e)
    return pair(c, -c, softplus(-z) + e * z)


def robust_dpo(example: Example, v: Values, z0: float) -> Answer:
    """softplus(−z) − ε/(1−2ε)·z."""
    row, beta, e = Row(example), v["beta"], v["label_smoothing"]
    z, slope = beta * row.h, e / (1 - 2 * e)
    c = -beta * sigma(-z) - beta * slope
    return pair(c, -c, softplus(-z) - slope * z)


def ipo(example: Example, v: Values, z0: float) -> Answer:
    """(h − 1/(2τ))², of summed or of averaged log-ratios."""
    row = Row(example)
    mean = v.get("reduce") == "mean"
    n_w, n_l = (row.n_w, row.n_l) if mean else (1, 1)
    away = row.u_w / n_w - row.u_l / n_l - 1 / (2 * v["tau"])
    return pair(2 * away / n_w, -2 * away / n_l, away**2)


def hinge(example: Example, v: Values, z0: float) -> Answer:
    """max(0, 1 − z)."""
    row, beta = Row(example), v["beta"]
    on = 1.0 if beta * row.h < 1 else 0.0
    return pair(-beta * on, beta * on, max(0.0, 1 - beta * row.h))


def slic(example: Example, v: Values, z0: float) -> Answer:
    """max(0, δ − l_w + l_l) − λ·l_w."""
    row, lam = Row(example), v["sft_weight"]
    inner = v["delta"] - row.l_w + row.l_l
    on = 1.0 if inner > 0 else 0.0
    return pair(-on - lam, on, max(0.0, inner) - lam * row.l_w)


def gpo_exponential(example: Example, v: Values, z0: float) -> Answer:
    """e^−z."""
    row, beta = Row(example), v["beta"]
    value = math.exp(-beta * row.h)
    return pair(-beta * value, beta * value, value)


def simpo(example: Example, v: Values, z0: float) -> Answer:
    """softplus(−z), z = β(a_w − a_l) − γ."""
    row, beta = Row(example), v["beta"]
    z = beta * (row.a_w - row.a_l) - v["gamma"]
    return pair(-beta / row.n_w * sigma(-z), beta / row.n_l * sigma(-z), softplus(-z))


def cpo(example: Example, v: Values, z0: float) -> Answer:
    """softplus(−β(l_w − l_l)) − α·l_w/n_w."""
    row, beta, a = Row(example), v["beta"], v["sft_weight"]
    z = beta * (row.l_w - row.l_l)
    return pair(-beta * sigma(-z) - a / row.n_w, beta * sigma(-z), softplus(-z) - a * row.a_w)


def orpo(example: Example, v: Values, z0: float) -> Answer:
    """−a_w + λ softplus(−D), D = lo(a_w) − lo(a_l), lo(a) = a − log(1 − e^a)."""
    row, lam = Row(example), v["lambda"]

    def odds(a: float) -> float:
        return a - math.log(-math.expm1(a))

    d = odds(row.a_w) - odds(row.a_l)
    c_w = -(1 / row.n_w) * (1 + lam * sigma(-d) / -math.expm1(row.a_w))
    c_l = (lam / row.n_l) * sigma(-d) / -math.expm1(row.a_l)
    return pair(c_w, c_l, -row.a_w + lam * softplus(-d))


def r_dpo(example: Example, v: Values, z0: float) -> Answer:
    """softplus(−z), z = βh + α(n_w − n_l)."""
    row, beta = Row(example), v["beta"]
    z = beta * row.h + v["alpha"] * (row.n_w - row.n_l)
    return pair(-beta * sigma(-z), beta * sigma(-z), softplus(-z))


def dpo_sft(example: Example, v: Values, z0: float) -> Answer:
    """DPO − λ·l_w/n_w."""
    row, lam = Row(example), v["sft_weight"]
    inner = dpo(example, {"beta": v["beta"]}, z0)
    c_w = inner.gradient["chosen"]["logp"] - lam / row.n_w
    return pair(c_w, inner.gradient["rejected"]["logp"], inner.loss - lam * row.a_w)


def _f_prime(v: Values, u: float) -> tuple[float, float]:
    """s = f′(e^u) and ds/du."""
    match v["divergence"]:
        case "reverse_kl":
            return u, 1.0
        case "forward_kl":
            return -math.exp(-u), math.exp(-u)
        case "js":
            return ls(u), sigma(-u)
    a = v["alpha"]
    return math.exp((a - 1) * u) / (a - 1), math.exp((a - 1) * u)


def f_dpo(example: Example, v: Values, z0: float) -> Answer:
    """softplus(−β(s_w − s_l))."""
    row, beta = Row(example), v["beta"]
    (s_w, d_w), (s_l, d_l) = _f_prime(v, row.u_w), _f_prime(v, row.u_l)
    z = beta * (s_w - s_l)
    return pair(-beta * sigma(-z) * d_w, beta * sigma(-z) * d_l, softplus(-z))


def nca(example: Example, v: Values, z0: float) -> Answer:
    """−ls(r_w) − ½ls(−r_w) − ½ls(−r_l), r = βu."""
    row, beta = Row(example), v["beta"]
    w, l = beta * row.u_w, beta * row.u_l
    loss = -ls(w) - 0.5 * ls(-w) - 0.5 * ls(-l)
    return pair(beta * (-sigma(-w) + 0.5 * sigma(w)), beta * 0.5 * sigma(l), loss)


def apo_zero(example: Example, v: Values, z0: float) -> Answer:
    """(1 − σ(r_w)) + σ(r_l)."""
    row, beta = Row(example), v["beta"]
    s, t = sigma(beta * row.u_w), sigma(beta * row.u_l)
    return pair(-beta * s * (1 - s), beta * t * (1 - t), (1 - s) + t)


def apo_down(example: Example, v: Values, z0: float) -> Answer:
    """σ(βu_w) + 1 − σ(βh)."""
    row, beta = Row(example), v["beta"]
    s, t = sigma(beta * row.u_w), sigma(beta * row.h)
    return pair(beta * s * (1 - s) - beta * t * (1 - t), beta * t * (1 - t), s + 1 - t)


def exo(example: Example, v: Values, z0: float) -> Answer:
    """σ(z)(ls(z) − log(1−ε)) + σ(−z)(ls(−z) − log ε); as ls(z) − ls(−z) = z, its slope is σσ′(z − logit(1−ε))."""
    row, beta, e = Row(example), v["beta"], v["epsilon"]
    z = beta * row.h
    loss = sigma(z) * (ls(z) - math.log(1 - e)) + sigma(-z) * (ls(-z) - math.log(e))
    c = beta * sigma(z) * sigma(-z) * (z - math.log((1 - e) / e))
    return pair(c, -c, loss)


def discopop(example: Example, v: Values, z0: float) -> Answer:
    """(1−m)·softplus(−z) + m·e^−z, m = σ(z/τ)."""
    row, beta, tau = Row(example), v["beta"], v["tau"]
    z = beta * row.h
    m = sigma(z / tau)
    blended = math.exp(ls(z / tau) - z)
    slope = m * sigma(-z / tau) / tau
    c = -slope * softplus(-z) - sigma(-z / tau) * sigma(-z) + blended * (sigma(-z / tau) / tau - 1)
    return pair(beta * c, -beta * c, sigma(-z / tau) * softplus(-z) + blended)


def dpop(example: Example, v: Values, z0: float) -> Answer:
    """−ls(β(h − λ·max(0, r_w − l_w)))."""
    row, beta, lam = Row(example), v["beta"], v["lambda"]
    drop = max(0.0, row.r_w - row.l_w)
    z = beta * (row.h - lam * drop)
    falls = 1.0 if row.r_w > row.l_w else 0.0
    return pair(-beta * sigma(-z) * (1 + lam * falls), beta * sigma(-z), softplus(-z))


def cal_dpo(example: Example, v: Values, z0: float) -> Answer:
    """−ls(h) + (u_w − 1/(2β))² + (u_l + 1/(2β))²."""
    row, m = Row(example), 1 / (2 * v["beta"])
    loss = softplus(-row.h) + (row.u_w - m) ** 2 + (row.u_l + m) ** 2
    pull = sigma(-row.h)
    return pair(-pull + 2 * (row.u_w - m), pull + 2 * (row.u_l + m), loss)


def alphapo(example: Example, v: Values, z0: float) -> Answer:
    """SimPO with (1 − p^−α)/α in the place of a, p = e^a; its slope is p^−α."""
    row, beta, a = Row(example), v["beta"], v["alpha"]
    w, l = math.exp(-a * row.a_w), math.exp(-a * row.a_l)
    z = beta * ((1 - w) / a - (1 - l) / a) - v["gamma"]
    return pair(-beta * sigma(-z) * w / row.n_w, beta * sigma(-z) * l / row.n_l, softplus(-z))


def reward_model(example: Example, v: Values, z0: float) -> Answer:
    """softplus(−(s_w − s_l)) + c(s_w + s_l)²."""
    w, l, c = example["chosen"]["score"], example["rejected"]["score"], v["center"]
    pull, both = sigma(l - w), 2 * c * (w + l)
    gradient = {"chosen": {"score": -pull + both}, "rejected": {"score": pull + both}}
    return Answer(softplus(l - w) + c * (w + l) ** 2, gradient)


# ---- pairs, token by token ------------------------------------------------------------------------------------


def ld_dpo(example: Example, v: Values, z0: float) -> Answer:
    """DPO on Σ_{t≤m} + α Σ_{t>m}, m = min(n_w, n_l)."""
    w, l, beta = example["chosen"], example["rejected"], v["beta"]
    m = min(len(w["logp"]), len(l["logp"]))
    weights = {y: [1.0 if t < m else v["alpha"] for t in range(len(example[y]["logp"]))] for y in example}

    def u(y: Example, weight: list[float]) -> float:
        return sum(k * (p - r) for k, p, r in zip(weight, y["logp"], y["ref_logp"], strict=True))

    z = beta * (u(w, weights["chosen"]) - u(l, weights["rejected"]))
    pull = beta * sigma(-z)
    gradient = {
        "chosen": {"logp": [-pull * k for k in weights["chosen"]]},
        "rejected": {"logp": [pull * k for k in weights["rejected"]]},
    }
    return Answer(softplus(-z), gradient)


def wpo(example: Example, v: Values, z0: float) -> Answer:
    """DPO · w_w·w_l, the weights without gradient: exp(mean_t[log π_t − log Σ_v π_t(v)²])."""
    weight, total = 1.0, 0.0
    for y, sign in (("chosen", 1), ("rejected", -1)):
        r = example[y]
        away = [p - s for p, s in zip(r["logp"], r["log_sum_squares"], strict=True)]
        weight *= math.exp(sum(away) / len(away))
        total += sign * (sum(r["logp"]) - sum(r["ref_logp"]))
    z, beta = v["beta"] * total, v["beta"]
    pull = beta * sigma(-z) * weight
    n_w, n_l = (len(example[y]["logp"]) for y in ("chosen", "rejected"))
    gradient = {"chosen": {"logp": [-pull] * n_w}, "rejected": {"logp": [pull] * n_l}}
    return Answer(weight * softplus(-z), gradient)


# ---- one response at a time -----------------------------------------------------------------------------------


def kto(example: Example, v: Values, z0: float) -> Answer:
    """λ_D(1 − σ(β(u − z₀))) where wanted, else λ_U(1 − σ(β(z₀ − u))); of pairs, both and their sum."""
    if "chosen" in example:
        up = kto({"completion": example["chosen"], "label": True}, v, z0)
        down = kto({"completion": example["rejected"], "label": False}, v, z0)
        return _both(up, down)
    y, beta = example["completion"], v["beta"]
    u = y["logp"] - y["ref_logp"]
    s = sigma(beta * (u - z0)) if example["label"] else sigma(beta * (z0 - u))
    sign = -v["desirable_weight"] if example["label"] else v["undesirable_weight"]
    return one(sign * beta * s * (1 - s), abs(sign) * (1 - s))


def bco(example: Example, v: Values, z0: float) -> Answer:
    """−ls(βu − δ) where wanted, else −ls(−(βu − δ)); of pairs, both and their sum."""
    if "chosen" in example:
        up = bco({"completion": example["chosen"], "label": True}, v, z0)
        down = bco({"completion": example["rejected"], "label": False}, v, z0)
        return _both(up, down)
    y, beta = example["completion"], v["beta"]
    z = (beta * (y["logp"] - y["ref_logp"]) - z0) * (1 if example["label"] else -1)
    return one((-beta if example["label"] else beta) * sigma(-z), softplus(-z))


def _both(up: Answer, down: Answer) -> Answer:
    c_w, c_l = (a.gradient["completion"]["logp"] for a in (up, down))
    return pair(c_w, c_l, up.loss + down.loss)


def dro(example: Example, v: Values, z0: float) -> Answer:
    """½(R − V − τu)²."""
    y, tau = example["completion"], v["tau"]
    away = y["reward"] - y["value"] - tau * (y["logp"] - y["ref_logp"])
    return Answer(away**2 / 2, {"completion": {"logp": -tau * away, "value": -away}})


def sppo(example: Example, v: Values, z0: float) -> Answer:
    """(u − η(P − ½))² of one sample; the mean over several; of hard pairs the sum with P = 1 and 0."""
    eta = v["eta"]

    def away(y: Example, p: float) -> float:
        return float(y["logp"] - y["ref_logp"] - eta * (p - 0.5))

    if v.get("hard"):
        w, l = away(example["chosen"], 1), away(example["rejected"], 0)
        return pair(2 * w, 2 * l, w**2 + l**2)
    if "completion" in example:
        one_away = away(example["completion"], example["completion"]["win_rate"])
        return one(2 * one_away, one_away**2)
    if "chosen" in example:
        w, l = (away(example[y], example[y]["win_rate"]) for y in ("chosen", "rejected"))
        return pair(w, l, (w**2 + l**2) / 2)
    k = len(example["completions"])
    each = [away(y, y["win_rate"]) for y in example["completions"]]
    gradient = {"completions": [{"logp": 2 * a / k} for a in each]}
    return Answer(sum(a**2 for a in each) / k, gradient)


# ---- groups with rewards --------------------------------------------------------------------------------------


def copg(example: Example, v: Values, z0: float) -> Answer:
    """1/(k−1)·Σ_{i>j}(R_β,i − R_β,j)², normalised over 2β; c_i = −2β·A_i, A the leave-one-out advantage."""
    ys, beta = example["completions"], v["beta"]
    k, scale = len(ys), 1 / (2 * beta) if v["normalized"] else 1.0
    regularised = [y["reward"] - beta * (y["logp"] - y["ref_logp"]) for y in ys]
    pairs = sum((a - b) ** 2 for i, a in enumerate(regularised) for b in regularised[:i])
    total = sum(regularised)
    ahead = [a - (total - a) / (k - 1) for a in regularised]
    gradient = {"completions": [{"logp": -2 * beta * scale * a} for a in ahead]}
    return Answer(scale * pairs / (k - 1), gradient)


def rebel(example: Example, v: Values, z0: float) -> Answer:
    """(Δ(l − o)/η − ΔR)² of a pair; of k responses, all pairs over k − 1."""
    ys, eta = example["completions"], v["eta"]
    x = [(y["logp"] - y["old_logp"]) / eta - y["reward"] for y in ys]
    k = len(x)
    pairs = sum((a - b) ** 2 for i, a in enumerate(x) for b in x[:i])
    slopes = [2 / eta * sum(a - b for b in x) / (k - 1) for a in x]
    return Answer(pairs / (k - 1), {"completions": [{"logp": s} for s in slopes]})


LOSSES: dict[str, Callable[[Example, Values, float], Answer]] = {
    f.__name__: f
    for f in (
        alphapo, apo_down, apo_zero, bco, cal_dpo, copg, cpo, discopop, dpo, dpo_sft, dpop, dro, exo, f_dpo,
        gpo_exponential, hinge, ipo, kto, ld_dpo, nca, orpo, r_dpo, rebel, reward_model, robust_dpo, sft, simpo,
        slic, sppo, wpo,
    )
}  # fmt: skip
LOSSES |= {"online_dpo": dpo, "spin": dpo}


def aot(examples: list[Example], v: Values) -> tuple[float, list[tuple[float, float]]]:
    """−(1−ε)ls(βδ) − ε ls(−βδ), δ = sort(l_w − l_l) − sort(r_w − r_l) over all rows; the mean, and by row c_w, c_l."""
    rows, beta, e = [Row(x) for x in examples], v["beta"], v.get("label_smoothing", 0)
    policy = [r.l_w - r.l_l for r in rows]
    reference = sorted(r.r_w - r.r_l for r in rows)
    order = sorted(range(len(rows)), key=policy.__getitem__)
    loss, slopes = 0.0, [(0.0, 0.0)] * len(rows)
    for rank, i in enumerate(order):
        z = beta * (policy[i] - reference[rank])
        loss += (softplus(-z) + e * z) / len(rows)
        c = beta * (sigma(z) - 1 + e) / len(rows)
        slopes[i] = (c, -c)
    return loss, slopes
