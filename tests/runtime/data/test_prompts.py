from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.contract.job import job_from
from alignc.contract.rows import HeldOut
from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.prompts import PromptSet, load_prompts
from alignc.runtime.data.settings import DataSettings, settings_from_job
from alignc.runtime.data.split import held_out

from ..fixtures import job_data

EOS = 1
ROW = {"prompt": "1+1=", "answer": "2", "level": 3}
CHAT = [{"role": "user", "content": "What color is the sky?"}]
Write = Callable[..., DataSettings]


@pytest.fixture
def asked(jsonl: Callable[..., Path]) -> Write:
    """Write rows and return the settings that read them as prompts."""

    def write(rows: Iterable[Any], **settings: Any) -> DataSettings:
        return DataSettings(**{"kind": "prompts", "responses": (), "source": str(jsonl(rows)), **settings})

    return write


def code(settings: DataSettings, tokenizer: Any, **options: Any) -> str:
    with pytest.raises(Failure) as caught:
        load_prompts(settings, tokenizer, **{"room": 4, **options})
    return caught.value.code


def ids_of(text: str) -> list[int]:
    return [byte + 3 for byte in text.encode()]


def test_a_prompt_keeps_the_whole_row(asked: Write, byte_tokenizer: Any):
    prompts = load_prompts(asked(["", ROW]), byte_tokenizer, room=4)
    assert len(prompts) == 1
    prompt = prompts[0]
    assert (prompt.row, prompt.origin, prompt.text) == (0, "rows.jsonl:2", "1+1=")
    assert prompt.ids.tolist() == ids_of("1+1=")
    assert prompt.fields == ROW
    assert prompt.demonstration is None


def test_mapped_columns_stand_under_their_names_too(asked: Write, byte_tokenizer: Any):
    row = {"task": {"question": "q"}, "solution": "s", "answer": "long"}
    columns = {"prompt": "task.question", "answer": "solution", "completion": "completion"}
    prompt = load_prompts(asked([row], columns=columns), byte_tokenizer, room=4)[0]
    assert prompt.ids.tolist() == ids_of("q")
    assert prompt.fields == {"task": {"question": "q"}, "solution": "s", "prompt": "q", "answer": "s"}


def test_the_prompt_is_that_of_a_training_row(asked: Write, chat_tokenizer: Any, jsonl: Callable[..., Path]):
    answer = [{"role": "assistant", "content": "It is blue."}]
    rows = jsonl([{"prompt": CHAT, "completion": answer}], "train.jsonl")
    trained = load_examples(DataSettings(kind="demonstrations", source=str(rows)), chat_tokenizer)[0]
    prompt = load_prompts(asked([{"prompt": CHAT}]), chat_tokenizer, room=4)[0]
    assert prompt.ids.tolist() == trained.prompt.tolist()
    assert prompt.text == chat_tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False)


def test_a_demonstration_is_tokenized_as_a_training_rows(
    asked: Write, chat_tokenizer: Any, jsonl: Callable[..., Path]
):
    row = {"prompt": CHAT, "completion": [{"role": "assistant", "content": "It is blue."}]}
    trained = load_examples(
        DataSettings(kind="demonstrations", source=str(jsonl([row], "t.jsonl"))), chat_tokenizer
    )
    prompt = load_prompts(asked([row], kind="self_play", demonstrated=True), chat_tokenizer, room=4)[0]
    assert prompt.demonstration is not None
    assert prompt.demonstration.tolist() == trained[0].responses[0].tolist()
    assert prompt.demonstration[-1] == chat_tokenizer.eos_token_id
    assert prompt.ids.tolist() == trained[0].prompt.tolist()


def test_a_completion_that_no_objective_asks_for_is_left_alone(asked: Write, byte_tokenizer: Any):
    row = {"prompt": "p", "completion": ""}
    assert load_prompts(asked([row]), byte_tokenizer, room=4)[0].demonstration is None
    assert code(asked([row], demonstrated=True), byte_tokenizer) == "E704"
    assert code(asked([{"prompt": "p"}], demonstrated=True), byte_tokenizer) == "E701"


def test_prompts_are_cut_on_the_left_so_that_a_completion_fits(asked: Write, byte_tokenizer: Any):
    settings = asked([{"prompt": "abcdef"}, {"prompt": "abcd"}], max_length=10)
    prompts = load_prompts(settings, byte_tokenizer, room=6)
    assert [each.ids.tolist() for each in prompts.prompts] == [ids_of("cdef"), ids_of("abcd")]
    assert prompts.counts.prompts_cut == 1
    assert prompts[0].text == "abcdef"
    whole = load_prompts(asked([{"prompt": "abcdef"}], max_length=None), byte_tokenizer, room=99)
    assert whole[0].ids.tolist() == ids_of("abcdef")


def test_bos_survives_the_cut(asked: Write, chat_tokenizer: Any):
    prompts = load_prompts(asked([{"prompt": CHAT}], max_length=8), chat_tokenizer, room=4)
    assert len(prompts[0].ids) == 4
    assert prompts[0].ids[0] == chat_tokenizer.bos_token_id


def test_a_long_demonstration_shortens_the_prompt_more(asked: Write, byte_tokenizer: Any):
    row = {"prompt": "abcdef", "completion": "ghijk"}
    settings = asked([row], kind="self_play", demonstrated=True, max_length=8)
    prompt = load_prompts(settings, byte_tokenizer, room=4)[0]
    assert prompt.ids.tolist() == ids_of("ef")
    assert prompt.demonstration is not None
    assert prompt.demonstration.tolist() == [*ids_of("ghijk"), EOS]


def test_cut_demonstrations_are_counted_and_judged(asked: Write, byte_tokenizer: Any):
    row = {"prompt": "abc", "completion": "ghijklmnop"}
    settings = asked([row], kind="self_play", demonstrated=True, max_length=8)
    assert code(settings, byte_tokenizer) == "E705"


def test_a_completion_needs_room_beside_a_prompt(asked: Write, byte_tokenizer: Any):
    settings = asked([ROW], max_length=8)
    assert load_prompts(settings, byte_tokenizer, room=7)[0].ids.tolist() == ids_of("=")
    assert code(settings, byte_tokenizer, room=8) == "E705"


@pytest.mark.parametrize("bad", [{"prompt": " "}, {"prompt": 3}, {"answer": "2"}, "{broken"])
def test_bad_rows_are_refused_or_set_aside(asked: Write, byte_tokenizer: Any, bad: Any, tmp_path: Path):
    aside = tmp_path / "run" / "quarantine.jsonl"
    prompts = load_prompts(
        asked([ROW, bad, ROW], on_bad_row="quarantine", quarantine=str(aside)), byte_tokenizer, room=4
    )
    assert [(each.row, each.origin) for each in prompts.prompts] == [(0, "rows.jsonl:1"), (1, "rows.jsonl:3")]
    assert (prompts.counts.rows, prompts.counts.kept, prompts.counts.refused) == (3, 2, 1)
    assert [each.line for each in prompts.refused] == [2]
    assert len(aside.read_text().splitlines()) == 1
    assert code(asked([ROW, bad, ROW]), byte_tokenizer) == "E706"


def test_train_and_eval_part_the_rows(asked: Write, byte_tokenizer: Any):
    rows = [{"prompt": f"{number:03}"} for number in range(40)]
    settings = asked(rows, eval=HeldOut(fraction=0.25), seed=5)

    def numbers(prompts: PromptSet) -> list[int]:
        return [int(each.fields["prompt"]) for each in prompts.prompts]

    held = [number for number in range(40) if held_out(number, 5, 0.25)]
    assert numbers(load_prompts(settings, byte_tokenizer, which="eval", room=4)) == held
    rest = sorted(set(range(40)) - set(held))
    assert numbers(load_prompts(settings, byte_tokenizer, room=4)) == rest
    assert numbers(load_prompts(settings, byte_tokenizer, room=4, limit=3)) == rest[:3]
    few = asked(rows, max_rows=7)
    assert numbers(load_prompts(few, byte_tokenizer, room=4)) == list(range(7))
    assert len(load_prompts(few, byte_tokenizer, which="eval", room=4)) == 0


def test_settings_take_what_they_know_of_a_job(tmp_path: Path):
    data = job_data("sft", tmp_path / "p.jsonl", tmp_path / "run", max_length=64)
    data["plan"] |= {"convert": "demonstration"}
    settings = settings_from_job(job_from(json.loads(json.dumps(data))))
    assert (settings.kind, settings.max_length, settings.demonstrated) == ("demonstrations", 64, True)
    data["plan"] |= {"convert": "best_worst"}
    assert not settings_from_job(job_from(data)).demonstrated
