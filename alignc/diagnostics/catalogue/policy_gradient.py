"""E3xx and W3xx: sampling, surrogates and advantages."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

POLICY_GRADIENT = (
    Code(
        "E301",
        "a policy gradient on given data without importance weights",
        "the estimate is biased, and a negative advantage lowers log π of its response without bound",
        "sample from the policy, add importance weights, or use an objective for given data such as `dro`",
        "objective: {preset: reinforce}\ndata: {kind: scored, source: rows.jsonl}",
    ),
    Code(
        "E302",
        "a linear loss on given data with negative advantages and no clip",
        "log π of a bad response has no lower bound, so the loss has none either",
        "clip the ratio, or use a link that saturates",
        'objective: {terms: [{name: unlike, kind: pointwise, direction: down, score: {of: log_prob}, link: "-z"}]}\n'
        "data: {kind: pointwise, source: rows.jsonl}",
    ),
    Code(
        "W303",
        "a ratio of whole long responses overflows or vanishes",
        "the log-ratio grows with the number of tokens, so the ratio leaves the range of floats",
        "normalise it by length (`gspo`), use token ratios, or clip in log space",
        "objective: {terms: [{name: pg, kind: policy_gradient, surrogate: importance, ratio: sequence}]}\n"
        "data: {kind: prompts, source: prompts.jsonl, max_new_tokens: 4096}\ntrain: {rollout_epochs: 4}",
    ),
    Code(
        "W304",
        "a clip that is never active",
        "with one update a batch the policy is the one that sampled: the ratio is exactly 1",
        "raise `epochs`, or drop the clip",
        "objective: {preset: ppo, epochs: 1, clip_range: 0.2}",
    ),
    Code(
        "E305",
        "squared CoPG with beta 0 has no gradient",
        "the loss compares β times the log-ratios with the rewards: at β = 0 no response has a gradient",
        "set `beta` above 0",
        "objective: {preset: copg, beta: 0}",
    ),
    Code(
        "W306",
        "a squared loss around a constant baseline has a tilted optimum off-policy",
        "after the first step on a batch the fixed point is no longer ref·exp(R/β) but a Lambert-W tilt "
        "of it",
        "use one step a batch, or a learned value, or the log-partition as baseline",
        "objective: {terms: [{name: fit, kind: pointwise, direction: up, target: {kind: reward}, link: "
        "squared}]}\ndata: {kind: pointwise, source: rows.jsonl}",
    ),
    Code(
        "W307",
        "a baseline that contains the sample's own reward",
        "the group mean over k samples shrinks the gradient by (k − 1)/k; with a standard deviation the "
        "scale also "
        "depends on the sample",
        "use the leave-one-out mean, or take the factor into the learning rate",
        "objective: {preset: grpo}\ndata: {kind: prompts, source: prompts.jsonl, completions_per_prompt: 4}",
    ),
    Code(
        "W308",
        "advantages divided by their deviation change the strength of the KL",
        "with the KL in the loss the effective β is β·σ_R(prompt): strong where rewards spread, weak "
        "where they agree",
        "place the KL in the reward, where both scale together, or do not divide",
        "objective: {preset: grpo, kl: {estimator: k2, placement: loss, beta: 0.04}}",
    ),
    Code(
        "W309",
        "two samples, divided by their deviation, forget how far rewards lie apart",
        "of two samples the advantages are always one positive and one negative constant",
        "use four or more samples a prompt, or no division",
        "objective: {preset: grpo}\ndata: {kind: prompts, source: prompts.jsonl, completions_per_prompt: 2}",
    ),
    Code(
        "W310",
        "an average over each response's own tokens favours length",
        "each token of a long wrong answer is punished less, each token of a short right one rewarded more",
        "divide by a constant (`dr_grpo`) or by the tokens of the batch (`dapo`)",
        "objective: {preset: grpo}",
    ),
    Code(
        "W311",
        "a group of equal rewards teaches nothing",
        "all advantages of the group are zero, so the samples were generated for nothing",
        "sample more completions, or leave such prompts out of the data",
        "objective: {preset: grpo}\ndata: {kind: prompts, source: prompts.jsonl, completions_per_prompt: 4, "
        "reward: {kind: verifier, name: exact_match}}",
    ),
    Code(
        "W312",
        "samples of a sharpened law, taken for the policy's own",
        "log-probabilities and ratios are those of the policy itself: at another temperature, or with the tail cut "
        "off, E[∇log π] is not 0 and the gradient is biased",
        "sample with `temperature: 1` and `top_p: 1`, or waive it where a little bias buys better samples",
        "objective: {preset: rloo}\ndata: {kind: prompts, source: prompts.jsonl, temperature: 0.7}",
    ),
    Code(
        "W313",
        "several updates a rollout without a ratio",
        "after the first update the samples are another policy's, and without the ratio of the two the gradient is "
        "no longer that of the expected reward",
        "use one update a rollout, or a surrogate with a ratio: `importance` or `clipped`",
        "objective: {preset: rloo, epochs: 2}",
    ),
)

__all__ = ["POLICY_GRADIENT"]
