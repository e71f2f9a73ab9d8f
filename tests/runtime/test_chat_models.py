"""Chat models end where they say: in rollouts as in transformers' `generate`, and in training rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, GenerationConfig

from alignc.api.compiled import lowered
from alignc.contract.failure import Failure
from alignc.contract.job import Model, Reference, job_from
from alignc.contract.plain import to_plain
from alignc.runtime.after.compare import Questions, compare
from alignc.runtime.base.endings import end_ids, named_ends
from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.prompts import Prompt, load_prompts
from alignc.runtime.data.settings import DataSettings
from alignc.runtime.data.template import Template
from alignc.runtime.data.tokenizer import load_tokenizer
from alignc.runtime.models.load import initial_model, save_model
from alignc.runtime.reward import Sample, build_reward
from alignc.runtime.rollout.answers import sampling_of, with_text
from alignc.runtime.samplers.sample import sample
from alignc.runtime.samplers.sampling import Sampling

from .chat_models import FAMILIES, QUESTION, save_chat_model

ASK = [{"role": "user", "content": QUESTION}]
LONGEST = 12


@pytest.fixture(scope="module", params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp(name)
    save_chat_model(FAMILIES[name], target)
    return target


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return load_tokenizer(Model(policy=str(folder), reference=Reference("none")))


def written(rows: list[dict[str, Any]], path: Path) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_the_ends_are_those_of_the_tokenizer_and_both_configs(name: str, tokenizer: Any):
    assert {tokenizer.convert_ids_to_tokens(end) for end in end_ids(tokenizer)} == FAMILIES[name].ends


def test_a_training_row_is_supervised_up_to_the_end_of_its_turn(name: str, tokenizer: Any, tmp_path: Path):
    rows = [
        {"prompt": ASK, "chosen": [{"role": "assistant", "content": text}], "rejected": "5"} for text in "44"
    ]
    settings = DataSettings(
        kind="pairwise", responses=("chosen", "rejected"), source=written(rows, tmp_path / "pairs.jsonl")
    )
    row = load_examples(settings, tokenizer)[0]
    assert tokenizer.decode(row.prompt) == FAMILIES[name].asked
    assert tokenizer.decode(row.responses[0]) == FAMILIES[name].answered
    assert tokenizer.decode(row.responses[1]) == FAMILIES[name].answered.replace("4", "5")
    assert row.responses[0][-1] in end_ids(tokenizer)


def test_turns_before_the_last_keep_their_ends(name: str, tokenizer: Any, tmp_path: Path):
    """Of two turns of the assistant, the first keeps what is written behind it, and the last one its end alone."""
    answers = [{"role": "assistant", "content": text} for text in ("4", "yes 4")]
    rows = [{"messages": [*ASK, *answers]}]
    settings = DataSettings(kind="demonstrations", source=written(rows, tmp_path / "turns.jsonl"))
    row = load_examples(settings, tokenizer)[0]
    whole = tokenizer.apply_chat_template(rows[0]["messages"], tokenize=False)
    text = tokenizer.decode([*row.prompt, *row.responses[0]])
    assert whole.startswith(text)
    closing = [token for token in FAMILIES[name].ends if text.endswith(token)]
    assert len(closing) == 1
    assert text.endswith(f"yes 4{closing[0]}")


def prompts_of(tokenizer: Any, tmp_path: Path) -> tuple[Prompt, ...]:
    rows = [
        {"prompt": ASK, "answer": "4"},
        {"prompt": [{"role": "user", "content": "the sky"}], "answer": "3"},
    ]
    settings = DataSettings(kind="prompts", responses=(), source=written(rows, tmp_path / "prompts.jsonl"))
    return load_prompts(settings, tokenizer, room=LONGEST).prompts


def greedy(tokenizer: Any) -> Sampling:
    return Sampling(1, LONGEST, 0.0, 1.0, end_ids(tokenizer), tokenizer.pad_token_id)


def by_generate(folder: Path, model: Any, prompt: Prompt) -> list[int]:
    """Ask transformers, with the settings that the folder carries; they sample nothing here."""
    ids = torch.tensor([prompt.ids.tolist()])
    found = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=LONGEST
    )
    return found[0, ids.shape[1] :].tolist()


def test_rollouts_end_as_generate_does(name: str, folder: Path, tokenizer: Any, tmp_path: Path):
    """A model is made to choose each of its ends in turn: the row of an end in the head takes the place of another."""
    prompts = prompts_of(tokenizer, tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    head, ended = model.get_output_embeddings().weight, 0
    before = head.detach().clone()
    for text in sorted(FAMILIES[name].generation_ends):
        end = tokenizer.convert_tokens_to_ids(text)
        with torch.no_grad():
            head.copy_(before)
            free = model.generate(
                input_ids=torch.tensor([prompts[0].ids.tolist()]), max_new_tokens=4, do_sample=False
            )[0, -1]
            head[[end, int(free)]] = head[[int(free), end]]
        expected = [by_generate(folder, model, prompt) for prompt in prompts]
        found = sample(
            model,
            [prompt.ids for prompt in prompts],
            [0, 1],
            greedy(tokenizer),
            seed=0,
            batch_size=2,
            each=lambda: None,
        )
        assert [group[0].tolist() for group in found] == expected
        ended += any(ids[-1] == end for ids in expected)
    assert ended == len(FAMILIES[name].generation_ends)


def test_an_answer_is_told_to_have_ended_and_its_text_has_no_end(name: str, tokenizer: Any, tmp_path: Path):
    prompt = prompts_of(tokenizer, tmp_path)[0]
    four = tokenizer("4", add_special_tokens=False)["input_ids"]
    for end in end_ids(tokenizer):
        responses = (np.array([*four, end], np.int32), np.array(four, np.int32))
        answers = with_text(prompt, responses, greedy(tokenizer), tokenizer)
        assert [(each.completion, each.ended) for each in answers.samples] == [("4", True), ("4", False)]


@pytest.mark.parametrize("adapter", [False, True])
def test_an_adapter_ends_where_its_base_ends(adapter: bool, tmp_path: Path):
    family = FAMILIES["gemma"]
    save_chat_model(family, tmp_path / "base")
    tokenizer = load_tokenizer(Model(policy=str(tmp_path / "base"), reference=Reference("none")))
    (tmp_path / "tuned").mkdir()
    tokenizer.save_pretrained(tmp_path / "tuned")
    base = {"base_model_name_or_path": str(tmp_path / "base")} if adapter else {}
    (tmp_path / "tuned/adapter_config.json").write_text(json.dumps(base))
    tuned = load_tokenizer(Model(policy=str(tmp_path / "tuned"), reference=Reference("none")))
    assert len(end_ids(tuned)) == (2 if adapter else 1)


def argmax_by_hand(folder: Path, ids: list[int], ends: tuple[int, ...], longest: int) -> list[int]:
    """Take the likeliest token again and again, with plain forwards."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    whole = list(ids)
    for _ in range(longest):
        with torch.no_grad():
            whole.append(int(model(torch.tensor([whole])).logits[0, -1].argmax()))
        if whole[-1] in ends:
            break
    return whole[len(ids) :]


def carry(folder: Path, **settings: Any) -> None:
    """Put settings of generation into a model's folder."""
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings), encoding="utf-8")


def test_eval_renders_conversations_and_takes_no_penalty_of_the_model(name: str, tmp_path: Path):
    """The answers are those of an argmax over the rendered prompt, whatever `generation_config.json` would do."""
    family, folder = FAMILIES[name], tmp_path / "model"
    save_chat_model(family, folder)
    tokenizer = load_tokenizer(Model(policy=str(folder), reference=Reference("none")))
    ids = tokenizer(family.asked, add_special_tokens=False)["input_ids"]
    found = argmax_by_hand(folder, ids, end_ids(tokenizer), LONGEST)
    carry(folder, suppress_tokens=found[:1], repetition_penalty=5.0, do_sample=True, top_k=3)
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    penalized = model.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False, max_new_tokens=1
    )
    assert int(penalized[0, -1]) != found[0], "what the folder carries tells here"
    own = [token for token in found if token not in end_ids(tokenizer)]
    right = tokenizer.decode(own, skip_special_tokens=True)
    file = written([{"prompt": ASK, "answer": right}], tmp_path / "chat.jsonl")
    asked = Questions(prompts=file, verifier="exact_match", max_new_tokens=LONGEST)
    figures = compare([folder], asked)[0]
    assert (figures.quality, figures.length) == (1.0, len(own))


def test_eval_reads_prompts_as_training_does(folder: Path, tmp_path: Path):
    """A byte-order mark, a blank line and a number as the answer; a row without an answer is named."""
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": QUESTION, "answer": 4}, {"prompt": ASK, "answer": "5"}]
    file.write_text("\ufeff" + "\n\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    asked = Questions(prompts=str(file), max_new_tokens=2)
    assert compare([folder], asked)[0].quality is not None
    file.write_text(json.dumps({"prompt": QUESTION}) + "\n", encoding="utf-8")
    with pytest.raises(Failure) as caught:
        compare([folder], asked)
    assert (caught.value.code, caught.value.line) == ("E701", 1)


def job_of(tmp_path: Path, folder: Path, **data: Any) -> Any:
    """Compile an online spec for a folder, as `alignc run` does."""
    spec = tmp_path / "spec.yaml"
    rows = {
        "kind": "prompts",
        "source": written([{"prompt": ASK, "answer": "4"}], tmp_path / "prompts.jsonl"),
    }
    rows |= {"completions_per_prompt": 2, "reward": {"kind": "verifier", "name": "exact_number"}, **data}
    model = {
        "policy": {
            "init": "llama",
            "hidden_size": 32,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "tokenizer": str(folder),
        }
    }
    spec.write_text(json.dumps({"objective": {"preset": "rloo"}, "model": model, "data": rows}))
    return lowered(spec).job


def test_the_law_of_a_spec_reaches_the_sampler(folder: Path, tokenizer: Any, tmp_path: Path):
    law = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "max_new_tokens": 5}
    job = job_from(json.loads(json.dumps(to_plain(job_of(tmp_path, folder, **law, stop=["Q:"])))))
    found = sampling_of(job, tokenizer)
    assert {name: getattr(found, name) for name in law} == law
    assert found.eos_ids == end_ids(tokenizer)
    assert found.stops is not None
    assert found.stops.strings == ("Q:",)


def test_a_model_that_is_made_keeps_the_ends_of_its_tokenizer(
    name: str, folder: Path, tokenizer: Any, tmp_path: Path
):
    """Saved and read again, with the files of transformers alone, it ends where the family does."""
    job = job_of(tmp_path, folder)
    model = initial_model(job, load_tokenizer(job.spec.model))
    save_model(model, model.state_dict(), tokenizer, tmp_path / "saved")
    read = load_tokenizer(Model(policy=str(tmp_path / "saved"), reference=Reference("none")))
    assert set(end_ids(read)) == set(end_ids(tokenizer))
    ends = GenerationConfig.from_pretrained(tmp_path / "saved").eos_token_id
    assert set(ends if isinstance(ends, list) else [ends]) == set(end_ids(tokenizer))


def test_eval_writes_conversations_and_stops_as_the_spec_of_the_run(tmp_path: Path):
    """The run closed the thought in each prompt and had a stop string: its model is asked in the same way."""
    family, output = FAMILIES["qwen3"], tmp_path / "run"
    save_chat_model(family, output / "model")
    values = {"enable_thinking": False}
    tokenizer = load_tokenizer(Model(policy=str(output / "model"), reference=Reference("none")))
    asked = tokenizer.apply_chat_template(ASK, tokenize=False, add_generation_prompt=True, **values)
    ids = tokenizer(asked, add_special_tokens=False)["input_ids"]
    found = argmax_by_hand(output / "model", ids, end_ids(tokenizer), LONGEST)
    texts = [tokenizer.decode(found[:count]) for count in range(len(found) + 1)]
    stop = next(text[-1] for text in texts[2:] if text[-1].isprintable() and text[-1] != "\ufffd")
    end = next(count for count, text in enumerate(texts) if stop in text)
    job = job_of(tmp_path, output / "model", chat_template_kwargs=values, stop=[stop])
    (output / "job").mkdir()
    (output / "job/job.json").write_text(json.dumps(to_plain(job)), encoding="utf-8")
    file = written([{"prompt": ASK, "answer": tokenizer.decode(found[:end])}], tmp_path / "asked.jsonl")
    figures = compare(
        [output / "model"], Questions(prompts=file, verifier="exact_match", max_new_tokens=LONGEST)
    )[0]
    assert (figures.quality, figures.length) == (1.0, end)


def test_a_reward_model_gives_its_template_the_values_of_the_job(tmp_path: Path):
    family = FAMILIES["qwen3"]
    model = save_chat_model(family, tmp_path)
    config = model.config
    config.num_labels = 1
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    template = Template(values={"enable_thinking": False})
    sample_ = Sample("as the policy has it", "4", "p.jsonl:1", 0, {"prompt": ASK})
    judge = {"kind": "model", "path": str(tmp_path)}
    with build_reward(judge, allowed=[], device="cpu", template=template) as reward:
        source: Any = reward.parts[0][2]
        row, tokenizer = source.tokens(sample_), source.tokenizer
        assert tokenizer.decode(row.prompt) == tokenizer.apply_chat_template(
            ASK, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        assert tokenizer.decode(row.responses[0]) == "4<|im_end|>"
        cut = source.tokens(dataclasses.replace(sample_, ended=False))
        assert tokenizer.decode(cut.responses[0]) == "4"


def test_a_model_of_the_hub_ends_where_its_cached_files_say(tmp_path: Path):
    snapshot = tmp_path / "models--own--chat/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc")
    (snapshot / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 106]}))
    (snapshot / "config.json").write_text(json.dumps({"text_config": {"eos_token_id": 5}}))
    options = {"cache_dir": str(tmp_path), "local_files_only": True}
    assert named_ends("own/chat", **options) == (5, 1, 106)
    assert named_ends("own/other", **options) == ()
