"""E6xx: resources and environment. E7xx: data rows. E8xx: a run that failed."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

ENVIRONMENT = (
    Code(
        "E601",
        "a model or data set of the hub cannot be fetched",
        "the hub does not answer, the name is unknown there, or access to the name is restricted",
        "check the name and the network, log in, or give a local folder",
        "model: {policy: org/name-that-is-not-there}",
    ),
    Code(
        "E602",
        "a package is missing",
        "the spec needs a package that is not installed",
        "install the package that the message names",
        "launch: {engine: deepspeed}",
    ),
    Code(
        "E603",
        "the output folder holds another run",
        "a new run in this folder would mix two runs or delete the older run",
        "choose another `output_dir`, or pass --overwrite",
        "output_dir: runs/of-another-spec",
    ),
    Code(
        "E604",
        "the output folder holds an unfinished run of this spec",
        "a new start would delete the checkpoints of this run",
        "pass --resume to continue, or --overwrite to start again",
        "output_dir: runs/unfinished",
    ),
    Code(
        "E605",
        "a device is missing",
        "the spec needs more GPUs than this machine has, or a number format that this machine does not "
        "support",
        "lower `launch.num_processes`, change `mixed_precision`, or run on another machine",
        "launch: {num_processes: 8}",
    ),
    Code(
        "E606",
        "not enough memory",
        "weights, gradients, optimizer states and activations together need more memory than the device has",
        "lower the batch size or `max_length`, add an adapter, raise `zero_stage`, or offload; `alignc "
        "plan` lists each part of the memory",
        "train: {per_device_train_batch_size: 512}",
    ),
    Code(
        "E607",
        "the form of a model is not supported",
        "before the first step, a short batch is scored as plain transformers scores it. Here alignc does not "
        "get the numbers of the model itself, or the model sees the tokens that it is to predict",
        "try `model.attn_implementation: eager` or `model.dtype: float32`, or choose another architecture",
        "model: {policy: org/an-encoder}",
    ),
    Code(
        "E608",
        "a file or folder can't be read or written",
        "the file system refused the access: a permission is missing, the disk is full, or a file has the "
        "place of a folder",
        "correct the path or its permissions, or free disk space",
        "output_dir: /proc/run",
    ),
    Code(
        "E609",
        "the model of another stage does not exist yet",
        "the spec starts from the model of another spec, and the run of this other spec has not finished",
        "run the other spec first, or run both with `alignc run --with-stages`",
        "model: {policy: {run: sft.yaml}}",
    ),
    Code(
        "E614",
        "a package is too old",
        "the installed version runs without an error and computes wrong numbers",
        "install a version in the range that the message names",
        "launch: {engine: deepspeed}",
    ),
    Code(
        "E615",
        "the tokenizer has more tokens than the model",
        "a token beyond the last row of the embedding has no vector, and a row that holds it cannot be read",
        "take the tokenizer that the model was trained with, or give the model more rows with transformers: "
        "`model.resize_token_embeddings(len(tokenizer))`",
        "model: {policy: ./model-with-a-longer-tokenizer}",
    ),
    Code(
        "E616",
        "the spec and the adapter that goes on contradict each other",
        "`start: policy` goes on with the adapter that the policy brings: its rank, scale and modules apply, and "
        "other values in the spec would describe another training",
        "delete the value, or set `start: new`: a new adapter on the policy, whose own adapter is merged",
        "model: {policy: {run: sft.yaml}, adapter: {start: policy, r: 16}}",
    ),
    Code(
        "W613",
        "a local model does not exist",
        "the folder holds no model, and no known spec writes a model into it; `alignc run` would refuse to "
        "start (E008)",
        "correct the path, which starts at the folder of the spec; write `{run: SPEC}` for a model that "
        "another spec trains, and `org/name` for a model of the hub",
        "model: {policy: ./folder-that-is-not-there}",
    ),
)

ROWS = (
    Code(
        "E701",
        "a column is missing in the data",
        "the objective reads a field that the row does not have",
        "name your column in `data.columns`, or add the field to the row",
        '{"prompt": "2+2?", "chosen": "4"}',
    ),
    Code(
        "E702",
        "a value of the wrong type in a row",
        "the objective reads text, a number or a truth value from this field, and the field holds another "
        "type",
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
        "an empty response has no log-probability to train, and a mean over its tokens would divide by zero",
        "correct or remove the row",
        '{"prompt": "2+2?", "chosen": "4", "rejected": ""}',
    ),
    Code(
        "E705",
        "too many completions are cut",
        "a cut completion has lost its end; the policy would learn to stop at a wrong place or never",
        "raise `train.max_length`, shorten the data, or allow more with `data.max_cut`",
        "train: {max_length: 16}",
    ),
    Code(
        "E706",
        "too many rows are refused",
        "more rows are faulty than `data.max_refused` allows",
        "correct the listed rows, or raise `data.max_refused`",
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
        "the beginning-of-text token occurs twice, or the end-of-text token is not trained and generation "
        "would not stop",
        "check the chat template: it must not add tokens that the tokenizer also adds",
        "data: {kind: pairwise, source: rows.jsonl, chat_template: two-beginnings.jinja}",
    ),
    Code(
        "E709",
        "a tokenizer or a chat template is missing",
        "the rows are conversations and no chat template is known, or the model folder has no tokenizer",
        "set `data.chat_template` or `model.policy.tokenizer`, or use a model with its own template and "
        "tokenizer",
        "model: {policy: {init: llama, tokenizer: folder-without-tokenizer}}",
    ),
)

RUNS = (
    Code(
        "E801",
        "the loss or a gradient is not finite",
        "the next update would write a NaN or an infinity into every weight; the run stopped before this "
        "update",
        "look at the row that the message names; lower the learning rate, or use float32 or bfloat16",
        "train: {learning_rate: 1000.0}",
    ),
    Code(
        "E802",
        "a value at step 0 differs from the value of the formula",
        "before the first update, policy and reference are the same, so the formula gives the loss; another "
        "value means that log-probabilities, masks or the reference are wrong",
        "check that policy and reference have the same weights, and that dropout is off; check that the "
        "tokenizer belongs to the model",
        "objective: {preset: dpo}  # step 0 must show log 2",
    ),
    Code(
        "E803",
        "a process of the run died",
        "the other processes cannot continue without this process, so the run ended",
        "look at the log of the rank that the message names, then continue with --resume",
        "launch: {num_processes: 2}  # one was killed",
    ),
    Code(
        "E804",
        "a process of the run hangs",
        "the process did not reach the common point within `launch.timeout`, so the run ended",
        "look at the rank that the message names, or raise `launch.timeout`; continue with --resume",
        "launch: {num_processes: 2, timeout: 60}",
    ),
    Code(
        "E805",
        "a checkpoint cannot be read",
        "a file is missing, the hash of a file differs, or the checkpoint belongs to another spec",
        "resume from an earlier checkpoint, or start again with --overwrite",
        "output_dir: runs/with-a-torn-checkpoint",
    ),
    Code(
        "E806",
        "the job crashed",
        "an unexpected error ended the run; the log holds the traceback of the error",
        "read the end of the log that the message names; remove the cause, then continue with --resume",
        "output_dir: runs/that-crashed",
    ),
)

__all__ = ["ENVIRONMENT", "ROWS", "RUNS"]
