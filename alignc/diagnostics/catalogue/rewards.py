"""Rewards and oracles: permissions for functions and hosts (E6xx), and failed answers (E8xx)."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

REWARD_PERMISSIONS = (
    Code(
        "E610",
        "a function that is not allowed",
        "a spec is data and may come from another person; a spec must not choose which Python code runs",
        "read the function, then add the line of the message to the `alignc.toml` beside the spec, or pass "
        "--allow-function",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "module:function"}}',
    ),
    Code(
        "E611",
        "a host that is not allowed",
        "the reward sends prompts and completions to this host; a spec must not choose a host, not even "
        "this machine",
        "add the line of the message to the `alignc.toml` beside the spec, or pass --allow-host",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: http, url: "http://localhost:8000/score"}}',
    ),
    Code(
        "E612",
        "a reward cannot be loaded",
        "no module or function has this name, or the model has no trained scalar head",
        "correct the name; alignc looks for modules in the working directory and beside the spec; the "
        "preset `reward_model` trains reward models",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "modul:function"}}',
    ),
)

REWARD_ANSWERS = (
    Code(
        "E807",
        "a reward failed",
        "the function raised an error or ended its process, or the endpoint refused the request; alignc "
        "does not replace a missing score",
        "correct the reward for the sample that the message names, then continue with --resume",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "module:raises"}}',
    ),
    Code(
        "E808",
        "a reward did not answer in time",
        "a call took longer than the `timeout` of the source, or a regular expression took longer than 30 "
        "s; the process of the call was killed",
        "look at the sample that the message names; raise `timeout`, or write the expression without nested "
        "repetitions; continue with --resume",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "module:hangs", timeout: 5}}',
    ),
    Code(
        "E809",
        "a reward's answer cannot be used",
        "the answer must be a list of finite numbers, one number for each response; the numbers of an "
        "oracle are probabilities",
        "correct the reward for the sample that the message names, then continue with --resume",
        'data: {kind: prompts, source: rows.jsonl, reward: {kind: function, name: "module:returns_nan"}}',
    ),
)

__all__ = ["REWARD_ANSWERS", "REWARD_PERMISSIONS"]
