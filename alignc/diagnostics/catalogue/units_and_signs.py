"""E4xx, W4xx: units and domains. E5xx, W5xx: signs."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

UNITS_AND_SIGNS = (
    Code(
        "E401",
        "a score and its target have different units",
        "a sum over tokens has the unit nat per response, and a mean has the unit nat per token; IPO's "
        "target 1/(2τ) is meant for the sum",
        "set `reduce` of the term back, or use the preset's own `reduce`, which also changes the target",
        "objective: {preset: ipo, terms: {pref: {score: {reduce: mean}}}}",
    ),
    Code(
        "E402",
        "the log-odds of a whole response are its log-probability",
        "the probability of a response is nearly 0, so log(p/(1 − p)) ≈ log p, and the odds change nothing",
        "use `reduce: mean`, as ORPO does",
        "objective: {preset: orpo, terms: {odds: {score: {reduce: sum}}}}",
    ),
    Code(
        "E403",
        "log-odds of a ratio to a reference",
        "a ratio can exceed 1, and then log(1 − ratio) is not a number",
        "set `anchor: none` in the score",
        "objective: {preset: orpo, terms: {odds: {score: {anchor: initial}}}}",
    ),
    Code(
        "E404",
        "label smoothing of one half or more",
        "at ε = ½, robust DPO divides by 1 − 2ε = 0; above ½, the preferences are reversed",
        "choose `label_smoothing` below 0.5",
        "objective: {preset: robust_dpo, label_smoothing: 0.5}",
    ),
    Code(
        "W405",
        "label smoothing of exactly one half holds the margin at zero",
        "both orders of each pair have the same weight; the best margin is 0, and the policy learns no "
        "preference",
        "choose `label_smoothing` below 0.5",
        "objective: {preset: dpo, label_smoothing: 0.5}",
    ),
    Code(
        "W406",
        "nothing holds the policy near a reference",
        "without an anchor, the loss has no optimal policy: the margin can always grow",
        "add a margin or an SFT term, or stop early on held-out data",
        "objective: {preset: simpo, gamma: 0}",
    ),
    Code(
        "W407",
        "deterministic preferences have no finite optimum under this link",
        "if one response always wins, a link without a target (logistic, exponential) pulls the margin to "
        "infinity; β then does not limit the distance from the reference",
        "use `ipo` or label smoothing, or stop early",
        "objective: {terms: [{name: pref, kind: preference, link: logistic}]}\n"
        "data: {kind: scored, source: rows.jsonl}",
    ),
    Code(
        "W408",
        "a mean over tokens tilts the optimum by length",
        "with scores per token, the optimum is ref·exp(n·(R − c)/β): the reward of a response of n tokens "
        "counts n times",
        "use `reduce: sum` for the optimum ref·exp(R/β)",
        "objective: {terms: [{name: pref, kind: preference, score: {of: log_ratio, reduce: mean}}]}",
    ),
    Code(
        "W409",
        "the score of this divergence saturates or explodes",
        "for forward KL and α-divergences, f′ is flat for likely responses and steep for unlikely "
        "responses; where f′ reaches 0, the partition function does not cancel",
        "watch the gradient norm, use `max_grad_norm`, or choose `reverse_kl` or `js`",
        "objective: {preset: f_dpo, divergence: forward_kl}",
    ),
    Code(
        "W410",
        "the loss of a pair in robust DPO has no lower bound",
        "the correction subtracts a term that grows with the margin without limit",
        "keep ε small, stop early, or use `dpo` with label smoothing",
        "objective: {preset: robust_dpo, label_smoothing: 0.1}",
    ),
    Code(
        "W411",
        "a large eta in SPPO makes large gradients",
        "the coefficient on ∇log π is about η/2: some hundreds for η = 1000",
        "keep `max_grad_norm`, or use an optimizer that normalises the gradient (Adam, RMSprop)",
        "objective: {preset: sppo, eta: 1000}\ntrain: {optim: sgd, max_grad_norm: 0}",
    ),
    Code(
        "E501",
        "the loss pushes preferences in the wrong direction",
        "at π = ref, a step lowers the preferred response, raises the other response, or changes neither "
        "likelihood",
        "check the signs of weights, margins and formulas: one sign is wrong",
        "objective: {terms: [{name: pref, kind: preference, weight: -1, score: {of: log_ratio}, "
        "link: {kind: logistic}}]}",
    ),
    Code(
        "W502",
        "this margin rewards length",
        "R-DPO adds α(n_w − n_l) with α > 0, which reduces the credit of longer winners; with α < 0, longer "
        "responses win",
        "use a positive `alpha`",
        "objective: {preset: r_dpo, alpha: -0.05}",
    ),
    Code(
        "W503",
        "a negative weight reverses its term",
        "training lowers the loss; with a negative weight, training raises the value of the term",
        "use a positive weight; an entropy bonus also has a positive weight, because its term is −H",
        "objective: {preset: rloo, terms: {bonus: {kind: entropy, weight: -0.01}}}",
    ),
    Code(
        "W504",
        "the learning rate is too small to move a weight",
        "numbers have limited precision: a step of less than half the distance to the next number is rounded away",
        "use a larger learning rate, or `dtype: float64`",
        "objective: {preset: dpo}\ntrain: {learning_rate: 1.0e-10}",
    ),
    Code(
        "W505",
        "the direction of the first step depends on the rows",
        "at π = ref, the slope of the loss has one sign in some rows and the other sign in other rows",
        "check the condition against your data, or choose a link that falls everywhere, such as `logistic`",
        "objective: {preset: simpo, terms: {pref: {link: {kind: logistic, label_smoothing: 0.1}}}}",
    ),
)

__all__ = ["UNITS_AND_SIGNS"]
