"""E1xx: what an objective needs from the data and the models."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

DATA_AND_TYPES = (
    Code(
        "E101",
        "the objective compares two responses, but the data has no pairs",
        "the loss compares a chosen with a rejected response to one prompt; this data has no such rows",
        "use `kind: pairwise` or `kind: scored`, or choose an objective for single responses such as `kto`",
        "objective: {preset: dpo}\ndata: {kind: demonstrations, source: rows.jsonl}",
    ),
    Code(
        "E102",
        "the objective needs labelled responses, but the data has no labels",
        "the loss raises desirable and lowers undesirable completions; the column `label` tells them apart",
        "add a column `label` (true or false), or name your column in `data.columns`",
        "objective: {preset: kto}\ndata: {kind: demonstrations, source: rows.jsonl}",
    ),
    Code(
        "E103",
        "the objective needs rewards, but the data has no score",
        "the target of the loss is a reward; neither a column nor a reward source provides this reward",
        "add a column of rewards, or add a reward source (`reward:`) to `data`",
        "objective: {preset: dro}\ndata: {kind: demonstrations, source: rows.jsonl}",
    ),
    Code(
        "E104",
        "a win rate is needed, but an oracle or an opponent is missing",
        "a win rate compares a response with at least one other sample; a single sample would win with "
        "probability ½, and the update would be zero",
        "add an `oracle:`, and sample two or more completions per prompt",
        "objective: {preset: sppo}\ndata: {kind: self_play, source: prompts.jsonl}",
    ),
    Code(
        "E105",
        "the responses to a prompt are compared, but there are fewer than two",
        "a pair, a leave-one-out mean and the baseline `other` need a second sample; the standard deviation "
        "of one sample is zero",
        "set `completions_per_prompt` to 2 or more, or choose an objective that judges each response by "
        "itself",
        "objective: {preset: rloo}\ndata: {kind: prompts, source: prompts.jsonl, completions_per_prompt: 1}",
    ),
    Code(
        "E106",
        "an SFT term without a response to imitate",
        "the likelihood term trains on chosen or desirable responses; this data marks no such responses",
        "use data with `chosen`, `completion` or `label`, or remove the term",
        "objective: {terms: [{name: sft, kind: likelihood, weight: 1}]}\ndata: {kind: prompts, source: "
        "prompts.jsonl}",
    ),
    Code(
        "E107",
        "the reference point of KTO cannot be estimated",
        "KTO estimates its reference point as a KL over the mismatched completions of the batch, without "
        "gradient; a global batch of one row has no other completion",
        "raise the global batch (per device × accumulation × processes) to 2 or more",
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
        "a probability ratio needs the log-probabilities of the rollout policy",
        "the surrogate divides by the probability of the response at sampling time; given data does not "
        "record this probability",
        "sample online (`kind: prompts`), or add a column with the log-probabilities of the rollout policy",
        "objective: {preset: ppo}\ndata: {kind: scored, source: rows.jsonl}",
    ),
    Code(
        "E112",
        "no term uses a source of rows",
        "each term learns from the source that its field `data` names; alignc would load this source for "
        "nothing",
        "name the source in the field `data` of a term, or delete the source",
        "objective: {terms: [{preset: dpo, data: pairs}]}\ndata: {sources: {pairs: {kind: pairwise, source: p.jsonl}, "
        "marks: {kind: pointwise, source: m.jsonl}}}",
    ),
    Code(
        "E113",
        "the command needs one source of rows, but the spec has several",
        "`diff` and `verify` work with rows of one kind: `diff` compares two losses on the same rows, and `verify` "
        "enumerates the responses",
        "name one source with `--source` (for `diff`, with `--source-a` and `--source-b`)",
        "data: {sources: {pairs: {kind: pairwise, source: p.jsonl}, marks: {kind: pointwise, source: m.jsonl}}}",
    ),
    Code(
        "W114",
        "a setting has no effect",
        "the value is valid, but nothing in this spec reads the setting",
        "delete the setting, or add the part of the spec that reads it",
        "objective: {preset: dpo}\ndata: {kind: pairwise, source: p.jsonl}\ntrain: {rollout_epochs: 4}",
    ),
    Code(
        "E115",
        "the policy samples the responses of two sources",
        "rollouts count the steps of a job, and each step takes the rows of one rollout; two sources would "
        "have two rollouts with different lengths",
        "put all prompts into one file and sample them as one source, or train two jobs; the second job "
        "starts from the model of the first",
        "data: {sources: {sums: {kind: prompts, source: a.jsonl}, games: {kind: self_play, source: b.jsonl}}}",
    ),
)

__all__ = ["DATA_AND_TYPES"]
