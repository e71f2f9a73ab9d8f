"""E4xx, W4xx: units and domains. E5xx, W5xx: signs."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

UNITS_AND_SIGNS = (
    Code(
        "E401",
        "a score and its target have different units",
        "a sum over tokens is in nat per response, a mean in nat per token: one cannot be compared with a "
        "target "
        "that is meant for the other (IPO's 1/(2τ) is meant for the sum)",
        "set the term's `reduce` back, or use the preset's own `reduce`, which changes the target with it",
        "objective: {preset: ipo, terms: {pref: {score: {reduce: mean}}}}",
    ),
    Code(
        "E402",
        "log-odds of a whole response are its log-probability",
        "the probability of a response is nearly 0, so log(p/(1 − p)) ≈ log p and the odds change nothing",
        "use `reduce: mean`, as ORPO does",
        "objective: {preset: orpo, terms: {odds: {score: {reduce: sum}}}}",
    ),
    Code(
        "E403",
        "log-odds of a ratio to a reference",
        "a ratio may exceed 1, where log(1 − ratio) is not a number",
        "set the score's `anchor: none`",
        "objective: {preset: orpo, terms: {odds: {score: {anchor: initial}}}}",
    ),
    Code(
        "E404",
        "label smoothing of one half or more",
        "at ε = ½ robust DPO divides by 1 − 2ε = 0; above it the preferences are turned round",
        "choose `label_smoothing` below 0.5",
        "objective: {preset: robust_dpo, label_smoothing: 0.5}",
    ),
    Code(
        "W405",
        "label smoothing of exactly one half pins the margin to zero",
        "both directions of every pair weigh the same, so the best margin is 0: nothing is learnt from "
        "preferences",
        "choose `label_smoothing` below 0.5",
        "objective: {preset: dpo, label_smoothing: 0.5}",
    ),
    Code(
        "W406",
        "nothing ties the policy to a reference",
        "without an anchor the loss has no best policy: the margin can always grow",
        "add a margin or an SFT term, or stop early on held-out data",
        "objective: {preset: simpo, gamma: 0}",
    ),
    Code(
        "W407",
        "deterministic preferences have no finite optimum under this link",
        "where one response always wins, a link without a target of its own (logistic, exponential) pulls "
        "the margin to "
        "infinity, and β no longer limits the distance from the reference",
        "use `ipo`, or label smoothing, or stop early",
        "objective: {terms: [{name: pref, kind: preference, link: logistic}]}\n"
        "data: {kind: scored, source: rows.jsonl}",
    ),
    Code(
        "W408",
        "a mean over tokens tilts the optimum by length",
        "with per-token scores the optimum is ref·exp(n·(R − c)/β): long responses feel the reward n "
        "times as much",
        "use `reduce: sum` for the optimum ref·exp(R/β)",
        "objective: {terms: [{name: pref, kind: preference, score: {of: log_ratio, reduce: mean}}]}",
    ),
    Code(
        "W409",
        "this divergence's score saturates or explodes",
        "for forward KL and α-divergences f′ is flat for likely and steep for unlikely responses; where "
        "f′ reaches 0 "
        "the partition function does not cancel",
        "watch the gradient norm, use `max_grad_norm`, or choose `reverse_kl` or `js`",
        "objective: {preset: f_dpo, divergence: forward_kl}",
    ),
    Code(
        "W410",
        "robust DPO has no lower bound per pair",
        "the correction subtracts a term that grows without limit with the margin",
        "keep ε small, stop early, or use `dpo` with label smoothing",
        "objective: {preset: robust_dpo, label_smoothing: 0.1}",
    ),
    Code(
        "W411",
        "SPPO's large eta makes large gradients",
        "the coefficient on ∇log π is of the order η/2, some hundreds for η = 1000",
        "keep `max_grad_norm`, or use an optimizer that normalises (Adam, RMSprop)",
        "objective: {preset: sppo, eta: 1000}\ntrain: {optim: sgd, max_grad_norm: 0}",
    ),
    Code(
        "E501",
        "the loss pushes preferences the wrong way",
        "at π = ref its gradient lowers the likelihood of the preferred response, raises that of the "
        "other, or moves "
        "neither",
        "check the signs of weights, margins and formulas: a sign is flipped",
        "objective: {terms: [{name: pref, kind: preference, weight: -1, score: {of: log_ratio}, "
        "link: {kind: logistic}}]}",
    ),
    Code(
        "W502",
        "this margin rewards length",
        "R-DPO adds α(n_w − n_l) with α > 0 to take credit from longer winners; with the other sign "
        "longer responses win",
        "use a positive `alpha`",
        "objective: {preset: r_dpo, alpha: -0.05}",
    ),
    Code(
        "W503",
        "a weight below 0 turns its term around",
        "the loss is lowered: a term that is taken off it is raised, and what it should bring about is undone",
        "use a positive weight; a bonus for entropy has one too, as its term is −H",
        "objective: {preset: rloo, terms: {bonus: {kind: entropy, weight: -0.01}}}",
    ),
)

__all__ = ["UNITS_AND_SIGNS"]
