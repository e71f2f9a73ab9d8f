"""Rewards and oracles: what they may run or reach (E6xx), and what becomes of their answers (E8xx)."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

REWARD_PERMISSIONS = (
    Code(
        "E610",
        "a function that is not allowed",
        "a spec is data: it may be somebody else's, and must not run Python code of its own choice",
        "read the function, then add the line that the message shows to `alignc.toml` beside the spec, or pass "
        "--allow-function",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "module:function"}}',
    ),
    Code(
        "E611",
        "a host that is not allowed",
        "prompts and completions are sent there; a spec must not choose where by itself, not even on this machine",
        "add the line that the message shows to `alignc.toml` beside the spec, or pass --allow-host",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: http, url: "http://localhost:8000/score"}}',
    ),
    Code(
        "E612",
        "a reward that cannot be loaded",
        "there is no module or function of that name, or the model has no trained scalar head",
        "correct the name; modules are looked for in the working directory and beside the spec, and reward models "
        "are what the preset `reward_model` trains",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "modul:function"}}',
    ),
)

REWARD_ANSWERS = (
    Code(
        "E807",
        "a reward failed",
        "the function raised or ended its process, or the endpoint refused; no score stands in for one that is "
        "missing",
        "mend it for the sample that is named, then go on with --resume",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "module:raises"}}',
    ),
    Code(
        "E808",
        "a reward did not answer in time",
        "a call took longer than the source's `timeout`, or a regular expression longer than 30 s, as one does that "
        "backtracks; its process was killed",
        "look at the sample that is named; raise `timeout`, or write the expression without nested repetitions; go on "
        "with --resume",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "module:hangs", timeout: 5}}',
    ),
    Code(
        "E809",
        "a reward's answer cannot be used",
        "it must be a list of finite numbers, one for each response; an oracle's are probabilities",
        "mend it for the sample that is named, then go on with --resume",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "module:returns_nan"}}',
    ),
)

__all__ = ["REWARD_ANSWERS", "REWARD_PERMISSIONS"]
