"""E2xx and W2xx: KL estimators. u = log π/ref of a sample; KL(a‖b) names its arguments, always."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

KL = (
    Code(
        "E201",
        "k1 in the loss on the policy's own samples does not regularize",
        "E_π[∇ log π/ref] = 0: the term does not pull the policy back to the reference, and only adds noise",
        "use k2 in the loss, which has the gradient of KL(π‖ref), or place k1 in the reward",
        "objective: {preset: rloo, kl: {estimator: k1, placement: loss, beta: 0.05}}",
    ),
    Code(
        "E202",
        "k1 in the loss on given data pushes the policy away from the data",
        "on samples of μ, the gradient is −∇KL(μ‖π); a step lowers the likelihood of the data without bound",
        "use k2 in the loss with importance weights, or sample from the policy",
        "objective: {terms: [{name: pull, kind: kl, on: completions, estimator: k1, weight: 0.1}]}\n"
        "data: {kind: scored, source: rows.jsonl}",
    ),
    Code(
        "E203",
        "k2 in the reward has no restoring force",
        "the curvature of the penalty changes sign at π = ref; the reference is a saddle point, and the "
        "pull to the reference vanishes to first order",
        "place k1 in the reward, or k2 in the loss",
        "objective: {preset: rloo, kl: {estimator: k2, placement: reward, beta: 0.05}}",
    ),
    Code(
        "E204",
        "k3 in the reward drives the policy to collapse",
        "the effective penalty is KL(π‖ref) − KL(ref‖π), which is unbounded below; its descent alone ends "
        "with a single response",
        "place k1 in the reward; use k3 in the loss, or under a differentiated ratio",
        "objective: {preset: rloo, kl: {estimator: k3, placement: reward, beta: 0.05}}",
    ),
    Code(
        "E205",
        "|u| in the reward has no restoring force",
        "the curvature of the penalty changes sign at π = ref, as with k2; the reference is a saddle point",
        "place k1 in the reward",
        "objective: {preset: rloo, kl: {estimator: abs, placement: reward, beta: 0.05}}",
    ),
    Code(
        "W206",
        "k3 in the loss regularizes with KL(ref‖π), not KL(π‖ref)",
        "the expected gradient is ∇KL(ref‖π), a valid but different divergence; its optimum is ref·β/(β + ν "
        "− R), and not ref·exp(R/β)",
        "use k2 in the loss for KL(π‖ref); if you want KL(ref‖π), keep k3 and waive this warning",
        "objective: {preset: grpo, kl: {estimator: k3, placement: loss, beta: 0.04}}",
    ),
    Code(
        "W207",
        "|u| in the loss regularizes with twice the total variation",
        "the expected gradient is the gradient of Σ|π − ref|; its pull has the same strength near the "
        "reference and far from it",
        "use k2 in the loss for KL(π‖ref)",
        "objective: {preset: grpo, kl: {estimator: abs, placement: loss, beta: 0.04}}",
    ),
    Code(
        "W208",
        "k2 under a differentiated ratio is not a KL",
        "the term ρ·k2 descends E_π[u²/2], which is not convex where π < ref/e",
        "use k1 or k3 under the ratio, or k2 in the loss",
        "objective: {preset: grpo, kl: {estimator: k2, placement: ratio, beta: 0.04}}",
    ),
    Code(
        "W209",
        "a token-level KL in the loss gives the stepwise gradient",
        "each token is pulled to the reference given its prefix, but is not charged for later prefixes; the "
        "result is not ∇KL of whole responses",
        "for the exact gradient, use `granularity: sequence`, or k1 in the reward",
        "objective: {preset: grpo, kl: {estimator: k2, placement: loss, granularity: token, beta: 0.04}}",
    ),
    Code(
        "W210",
        "a discounted KL in the reward loses part of the credit",
        "with a discount below 1, a token is charged less for the KL of later tokens; a discount of 0 gives "
        "the gradient of token-level k2 in the loss",
        "set `discount: 1` for the gradient of KL(π‖ref)",
        "objective: {preset: ppo, discount: 0.99, kl: {estimator: k1, placement: reward, beta: 0.05}}",
    ),
    Code(
        "W211",
        "a full-vocabulary KL in one place misses a part of the gradient",
        "in the reward alone, the gradient misses the term of the token itself; in the loss alone, the "
        "gradient misses the term of the future tokens; both places together are exact",
        "use both places, with only future tokens in the reward, or use k1 in the reward",
        "objective: {preset: ppo, kl: {estimator: full, placement: loss, beta: 0.05}}",
    ),
    Code(
        "W212",
        "a clamped KL estimator has no gradient outside the clamp",
        "where the policy has moved furthest, the pull to the reference is zero",
        "remove the clamp, and clip the norm of the gradient instead",
        "objective: {terms: [{name: pull, kind: kl, estimator: k3, clamp: 10, weight: 0.04}]}",
    ),
    Code(
        "W213",
        "a KL that is computed at sampling time is too weak in later epochs",
        "the penalty uses the policy that sampled; after the first update, the gradient is ∇J + β∇KL(π‖old)",
        "use one epoch per rollout, or place the KL in the loss",
        "objective: {preset: ppo, epochs: 4, kl: {estimator: k1, placement: reward, beta: 0.05}}",
    ),
    Code(
        "W214",
        "the logged KL and the trained KL are different",
        "the term takes its value from one estimator and its gradient from another estimator",
        "log both estimators under their own names, or use one estimator",
        "objective: {terms: [{name: pull, kind: kl, estimator: k3, gradient: k2, weight: 0.04}]}",
    ),
)

__all__ = ["KL"]
