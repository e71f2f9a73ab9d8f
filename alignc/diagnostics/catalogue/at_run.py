"""E6xx: resources and environment. E7xx: data rows. E8xx: a run that failed."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

ENVIRONMENT = (
    Code(
        "E601",
        "a model or data set of the hub cannot be fetched",
        "the hub does not answer, the name is not known there, or access to it is gated",
        "check the name and the network, log in, or give a local folder",
        "model: {policy: org/name-that-is-not-there}",
    ),
    Code(
        "E602",
        "a package is missing",
        "the spec asks for a part that needs a package which is not installed",
        "install the package that the message names",
        "launch: {engine: deepspeed}",
    ),
    Code(
        "E603",
        "the output folder holds another run",
        "writing into it would mix two runs or lose the older one",
        "choose another `output_dir`, or pass --overwrite",
        "output_dir: runs/of-another-spec",
    ),
    Code(
        "E604",
        "the output folder holds an unfinished run of this spec",
        "starting anew would lose its checkpoints",
        "pass --resume to go on, or --overwrite to start again",
        "output_dir: runs/unfinished",
    ),
    Code(
        "E605",
        "a device is missing",
        "the spec asks for more GPUs, or another kind of number format, than this machine has",
        "lower `launch.num_processes`, change `mixed_precision`, or run on another machine",
        "launch: {num_processes: 8}",
    ),
    Code(
        "E606",
        "not enough memory",
        "weights, gradients, optimizer states and activations together do not fit the device",
        "lower the batch or `max_length`, add an adapter, a higher `zero_stage`, or offload; `alignc "
        "plan` itemises it",
        "train: {per_device_train_batch_size: 512}",
    ),
    Code(
        "E607",
        "a model of a form that is not supported",
        "log-probabilities are computed from the LM head's weight, which must be one linear layer",
        "leave the head out of `model.adapter.target_modules`, or take another architecture",
        "model: {policy: org/model, adapter: {kind: lora, target_modules: [lm_head]}}",
    ),
    Code(
        "E608",
        "a file or folder can't be read or written",
        "the file system refused it: no permission, no space, or a file where a folder should be",
        "correct the path or its permissions, or make room",
        "output_dir: /proc/run",
    ),
    Code(
        "E609",
        "the model of another stage is not there yet",
        "the spec starts from what another spec trains, and that one has not been run to its end",
        "run that spec first, or both with `alignc run --with-stages`",
        "model: {policy: {run: sft.yaml}}",
    ),
    Code(
        "W613",
        "a local model that is not there",
        "the folder holds no model yet, and no spec that is known here makes it; `alignc run` refuses to start so "
        "(E008)",
        "correct the path, which starts at the spec's folder; a model that another spec trains is `{run: SPEC}`, and "
        "one of the hub `org/name`",
        "model: {policy: ./folder-that-is-not-there}",
    ),
)

ROWS = (
    Code(
        "E701",
        "a column is missing in the data",
        "the objective reads a field that the row does not have",
        "name your column in `data.columns`, or add the field",
        '{"prompt": "2+2?", "chosen": "4"}',
    ),
    Code(
        "E702",
        "a value of the wrong type in a row",
        "a field holds something else than the text, number or truth value that the objective reads",
        "correct the row, or set it aside with `data.on_bad_row: quarantine`",
        '{"prompt": "2+2?", "chosen": 4, "rejected": "5"}',
    ),
    Code(
        "E703",
        "a row or a file that cannot be read",
        "the line is not JSON, the file is not what its name says, or its text is not UTF-8",
        "correct the line, or set it aside with `data.on_bad_row: quarantine`",
        '{"prompt": "2+2?", "chosen": "4"',
    ),
    Code(
        "E704",
        "an empty prompt or completion",
        "an empty response has no log-probability to train on, and an average over its tokens divides by "
        "zero",
        "correct or remove the row",
        '{"prompt": "2+2?", "chosen": "4", "rejected": ""}',
    ),
    Code(
        "E705",
        "too many completions are cut",
        "a cut completion has lost its end: the policy would learn to stop anywhere or never",
        "raise `train.max_length`, shorten the data, or allow more with `data.max_cut`",
        "train: {max_length: 16}",
    ),
    Code(
        "E706",
        "too many rows are refused",
        "more rows are faulty than `data.max_refused` allows",
        "correct the rows that are listed, or raise `data.max_refused`",
        "data: {kind: pairwise, source: rows.jsonl, max_refused: 0}",
    ),
    Code(
        "E707",
        "no rows are left",
        "the data is empty, or every row was refused",
        "check `data.source`, `split` and `columns`",
        "data: {kind: pairwise, source: empty.jsonl}",
    ),
    Code(
        "E708",
        "the mask of trained tokens is wrong",
        "the beginning-of-text token stands twice, or the end-of-text token is not trained, so that "
        "generation "
        "would not stop",
        "check the chat template: it should not add tokens that the tokenizer adds too",
        "data: {kind: pairwise, source: rows.jsonl, chat_template: two-beginnings.jinja}",
    ),
    Code(
        "E709",
        "a tokenizer or a chat template is missing",
        "the rows are conversations, or the model folder has no tokenizer",
        "set `data.chat_template` or `model.policy.tokenizer`, or use a model that brings its own",
        "model: {policy: {init: llama, tokenizer: folder-without-tokenizer}}",
    ),
)

RUNS = (
    Code(
        "E801",
        "the loss or a gradient is not finite",
        "a NaN or an infinity would reach every weight with the next update; the run stopped before it",
        "look at the row that is named; lower the learning rate, or use float32 or bfloat16",
        "train: {learning_rate: 1000.0}",
    ),
    Code(
        "E802",
        "a value at step 0 is not what the formula says",
        "before the first update policy and reference are the same, so that the loss is known in advance; "
        "another "
        "value means that log-probabilities, masks or the reference are wrong",
        "check that policy and reference are the same weights, dropout is off and the tokenizer is the "
        "model's",
        "objective: {preset: dpo}  # step 0 must show log 2",
    ),
    Code(
        "E803",
        "a process of the run died",
        "the others cannot go on without it, so the run ended",
        "look at the log of the rank that is named, then go on with --resume",
        "launch: {num_processes: 2}  # one was killed",
    ),
    Code(
        "E804",
        "a process of the run hangs",
        "it did not reach the common point within `launch.timeout`, so the run ended",
        "look at the rank that is named, or raise `launch.timeout`; go on with --resume",
        "launch: {num_processes: 2, timeout: 60}",
    ),
    Code(
        "E805",
        "a checkpoint cannot be read",
        "a file is missing, its hash differs, or it belongs to another spec",
        "resume from an earlier checkpoint, or start again with --overwrite",
        "output_dir: runs/with-a-torn-checkpoint",
    ),
    Code(
        "E806",
        "the job crashed",
        "an error that nobody foresaw ended the run; its traceback is in the log",
        "read the end of the log that is named; go on with --resume once the cause is gone",
        "output_dir: runs/that-crashed",
    ),
)

__all__ = ["ENVIRONMENT", "ROWS", "RUNS"]
