"""A whole online job on a chat model that ends its turns with another token than its tokenizer's EOS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from .chat_models import FAMILIES, save_chat_model
from .compiled import train_script
from .forks import Forks
from .online_jobs import read_rows

ASKED = ("what is two plus two", "the sky", "7 8 9")


def turn(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def by_generate(folder: Path, text: str, longest: int) -> str:
    """The answer of transformers: greedy, with the ends that the folder names, and none of its penalties."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    written = tokenizer.apply_chat_template(turn(text), tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([tokenizer(written, add_special_tokens=False)["input_ids"]])
    found = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        repetition_penalty=1.0,
        max_new_tokens=longest,
    )
    return str(tokenizer.decode(found[0, ids.shape[1] :]))


def test_rollouts_of_a_run_end_with_the_turn(forks: Forks, tmp_path: Path):
    """The answers of a greedy rollout are those of `generate`; each that ends is told so, and is not paid as cut."""
    folder, longest = tmp_path / "gemma", 8
    model = save_chat_model(FAMILIES["gemma"], folder, repetition_penalty=3.0)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    third = tokenizer(by_generate(folder, ASKED[0], 3), add_special_tokens=False)["input_ids"][-1]
    head = model.get_output_embeddings().weight
    with torch.no_grad():  # what would be the third token of the first answer is the end of the turn now
        head[[end, third]] = head[[third, end]]
    model.save_pretrained(folder)
    expected = [by_generate(folder, text, longest) for text in ASKED]
    assert expected[0].endswith("<end_of_turn>")
    source = tmp_path / "prompts.jsonl"
    source.write_text("".join(json.dumps({"prompt": turn(text)}) + "\n" for text in ASKED))
    data = {"temperature": 0, "max_new_tokens": longest, "missing_eos_reward": -1}
    data |= {"reward": {"kind": "verifier", "name": "length", "limit": 99}}
    script = train_script(
        tmp_path / "run",
        {"preset": "reinforce"},
        "prompts",
        source,
        data=data,
        model={"policy": str(folder)},
        train={"per_device_train_batch_size": 3, "max_steps": 1},
    )
    assert forks.run(script)["status"] == 0, (script.parents[1] / "status.json").read_text()
    rows = sorted(read_rows(script, "rollouts.jsonl"), key=lambda row: row["row"])
    assert rows[0]["prompt"] == FAMILIES["gemma"].asked
    for row, whole in zip(rows, expected, strict=True):
        ended = whole.endswith(("<end_of_turn>", "<eos>"))
        assert row["ended"] == ended
        assert row["reward"] == (1.0 if ended else -1.0)
    assert rows[0]["completion"] == tokenizer.decode(
        tokenizer(expected[0], add_special_tokens=False)["input_ids"][:-1], skip_special_tokens=True
    )
    assert read_rows(script)[0]["completions/ended"] == sum(row["ended"] for row in rows) / 3
