"""E1xx: what an objective needs from the data and the models."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

DATA_AND_TYPES = (
    Code(
        "E101",
        "a contrast of two responses on data without pairs",
        "the loss compares a chosen with a rejected response of one prompt, and this data has no such rows",
        "use `kind: pairwise` (or `scored`), or an objective for single responses such as `kto`",
        "objective: {preset: dpo}\ndata: {kind: demonstrations, source: rows.jsonl}",
    ),
    Code(
        "E102",
        "an objective of desirable and undesirable responses on data without labels",
        "each row must say whether its completion is wanted; without `label` there is nothing to learn from",
        "add a column `label` (true or false), or name yours in `data.columns`",
        "objective: {preset: kto}\ndata: {kind: demonstrations, source: rows.jsonl}",
    ),
    Code(
        "E103",
        "an objective of rewards on data without a score",
        "the target of the loss is a reward, and neither a column nor a reward source provides one",
        "add a column of rewards, or a `reward:` section",
        "objective: {preset: dro}\ndata: {kind: demonstrations, source: rows.jsonl}",
    ),
    Code(
        "E104",
        "win rates without an oracle or without an opponent",
        "P(y beats the policy) needs at least one other sample to compare with; with one sample it is ½ for "
        "every response and the update is zero",
        "add an `oracle:` and sample two or more completions a prompt",
        "objective: {preset: sppo}\ndata: {kind: self_play, source: prompts.jsonl}",
    ),
    Code(
        "E105",
        "fewer than two samples a prompt where they are compared",
        "a pair, leave-one-out and the pair's other sample need a second sample; a standard deviation of one is zero",
        "set `completions_per_prompt` to 2 or more, or choose what judges each response by itself",
        "objective: {preset: rloo}\ndata: {kind: prompts, source: prompts.jsonl, completions_per_prompt: 1}",
    ),
    Code(
        "E106",
        "an SFT term without a response to imitate",
        "the likelihood term trains on chosen or desirable responses, and this data marks none",
        "use data with `chosen`, `completion` or `label`, or remove the term",
        "objective: {terms: [{name: sft, kind: likelihood, weight: 1}]}\ndata: {kind: prompts, source: "
        "prompts.jsonl}",
    ),
    Code(
        "E107",
        "KTO's reference point cannot be estimated",
        "the reference point is a KL estimated from the mismatched completions of the batch, held "
        "constant: a "
        "global batch of one has no other completion, and a gradient through it would change the loss",
        "raise the batch (per device × accumulation × processes) to 2 or more",
        "objective: {preset: kto}\ntrain: {per_device_train_batch_size: 1, gradient_accumulation_steps: 1}",
    ),
    Code(
        "E110",
        "a reference is needed, but there is none",
        "the score or the KL term is a log-ratio to a reference policy",
        "remove `reference: {kind: none}`, or choose a loss without a reference such as `simpo`",
        "objective: {preset: dpo}\nmodel: {policy: org/model, reference: {kind: none}}",
    ),
    Code(
        "E111",
        "a probability ratio without the log-probabilities of the policy that sampled",
        "the surrogate divides by the probability at sampling time, and given data does not record it",
        "sample online (`kind: prompts`), or add a column with the sampler's log-probabilities",
        "objective: {preset: ppo}\ndata: {kind: scored, source: rows.jsonl}",
    ),
    Code(
        "E112",
        "a source of rows that no term takes",
        "each term learns from the rows of the source that its `data` names; a source that none names would be "
        "loaded for nothing",
        "name it in a term's `data`, or delete it",
        "objective: {terms: [{preset: dpo, data: pairs}]}\ndata: {sources: {pairs: {kind: pairwise, source: p.jsonl}, "
        "marks: {kind: pointwise, source: m.jsonl}}}",
    ),
    Code(
        "E113",
        "several sources of rows where one is needed",
        "`diff`, `verify` and `plan` reckon with rows of one kind: two losses are compared over the same rows, one is "
        "tried out on a policy small enough to enumerate, and memory follows from what a row holds",
        "name the source that is meant by `--source` (of `diff`: `--source-a`, `--source-b`)",
        "data: {sources: {pairs: {kind: pairwise, source: p.jsonl}, marks: {kind: pointwise, source: m.jsonl}}}",
    ),
    Code(
        "W114",
        "a setting that nothing reads",
        "the field is sound by itself, but what would read it is not in this spec: whoever wrote it expects an effect "
        "that there is not",
        "delete it, or add what reads it",
        "objective: {preset: dpo}\ndata: {kind: pairwise, source: p.jsonl}\ntrain: {rollout_epochs: 4}",
    ),
)

__all__ = ["DATA_AND_TYPES"]
