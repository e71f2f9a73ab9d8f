"""E3xx and W3xx: sampling, surrogates and advantages."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

POLICY_GRADIENT = (
    Code(
        "E301",
        "a policy gradient on given data without importance weights",
        "the gradient estimate is biased; a negative advantage lowers log π of its response without bound",
        "sample from the policy, add importance weights, or use an objective for given data such as `dro`",
        "objective: {preset: reinforce}\ndata: {kind: scored, source: rows.jsonl}",
    ),
    Code(
        "E302",
        "a linear loss on given data with negative advantages and no clip",
        "log π of a bad response has no lower bound, so the loss has no lower bound",
        "clip the ratio, or use a link that saturates",
        'objective: {terms: [{name: unlike, kind: pointwise, direction: down, score: {of: log_prob}, link: "-z"}]}\n'
        "data: {kind: pointwise, source: rows.jsonl}",
    ),
    Code(
        "W303",
        "the ratio of a whole long response overflows or vanishes",
        "the log-ratio grows with the number of tokens, so the ratio leaves the range of floating-point "
        "numbers",
        "normalise the ratio by length (`gspo`), use token ratios, or clip in log space",
        "objective: {terms: [{name: pg, kind: policy_gradient, surrogate: importance, ratio: sequence}]}\n"
        "data: {kind: prompts, source: prompts.jsonl, max_new_tokens: 4096}\ntrain: {rollout_epochs: 4}",
    ),
    Code(
        "W304",
        "a clip that is never active",
        "with one update per batch, the policy is still the policy that sampled: the ratio is exactly 1",
        "raise `epochs`, or remove the clip",
        "objective: {preset: ppo, epochs: 1, clip_range: 0.2}",
    ),
    Code(
        "E305",
        "squared CoPG with beta 0 has no gradient",
        "the loss compares β times the log-ratios with the rewards; at β = 0 no response has a gradient",
        "set `beta` above 0",
        "objective: {preset: copg, beta: 0}",
    ),
    Code(
        "W306",
        "a squared loss around a constant baseline has a tilted optimum off-policy",
        "after the first step on a batch, the fixed point is no longer ref·exp(R/β); it is a Lambert-W tilt "
        "of this distribution",
        "use one step per batch, or use a learned value or the log-partition as baseline",
        "objective: {terms: [{name: fit, kind: pointwise, direction: up, target: {kind: reward}, link: "
        "squared}]}\ndata: {kind: pointwise, source: rows.jsonl}",
    ),
    Code(
        "W307",
        "the baseline contains the reward of the sample itself",
        "the group mean over k samples shrinks the gradient by (k − 1)/k; with a standard deviation, the "
        "scale also depends on the sample",
        "use the leave-one-out mean, or correct the learning rate by this factor",
        "objective: {preset: grpo}\ndata: {kind: prompts, source: prompts.jsonl, completions_per_prompt: 4}",
    ),
    Code(
        "W308",
        "advantages that are divided by their deviation change the KL strength",
        "with the KL in the loss, the effective β is β·σ_R(prompt): the KL is strong where rewards differ, "
        "and weak where rewards agree",
        "place the KL in the reward, where the division scales both, or do not divide",
        "objective: {preset: grpo, kl: {estimator: k2, placement: loss, beta: 0.04}}",
    ),
    Code(
        "W309",
        "the normalised advantages of two samples do not depend on the reward gap",
        "with two samples, one advantage is always a positive constant, and the other is the negative of "
        "this constant",
        "use four or more samples per prompt, or do not divide by the standard deviation",
        "objective: {preset: grpo}\ndata: {kind: prompts, source: prompts.jsonl, completions_per_prompt: 2}",
    ),
    Code(
        "W310",
        "a mean over the tokens of each response makes a length bias",
        "each token of a long wrong response is punished less; each token of a short correct response is "
        "rewarded more",
        "divide by a constant (`dr_grpo`) or by the number of tokens in the batch (`dapo`)",
        "objective: {preset: grpo}",
    ),
    Code(
        "W311",
        "a group of equal rewards gives no gradient",
        "all advantages of the group are zero, so its samples do not change the policy",
        "sample more completions per prompt, or remove such prompts from the data",
        "objective: {preset: grpo}\ndata: {kind: prompts, source: prompts.jsonl, completions_per_prompt: 4, "
        "reward: {kind: verifier, name: exact_match}}",
    ),
    Code(
        "W312",
        "samples of a sharpened distribution count as samples of the policy",
        "the loss uses log-probabilities of the policy itself; at another temperature, or with a truncated "
        "tail, E[∇log π] is not 0 and the gradient is biased",
        "sample with `temperature: 1` and without `top_p`, `top_k` and `min_p`, or waive this warning if better "
        "samples are worth a small bias",
        "objective: {preset: rloo}\ndata: {kind: prompts, source: prompts.jsonl, temperature: 0.7}",
    ),
    Code(
        "W313",
        "several updates per rollout without a probability ratio",
        "after the first update, the samples come from an older policy; without the ratio of the two "
        "policies, the gradient is not that of the expected reward",
        "use one update per rollout, or a surrogate with a ratio: `importance` or `clipped`",
        "objective: {preset: rloo, epochs: 2}",
    ),
)

__all__ = ["POLICY_GRADIENT"]
