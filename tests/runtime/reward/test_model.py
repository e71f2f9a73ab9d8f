"""A reward model that a job of ours trained: what it says of a text is what its own evaluation says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from alignc.contract.failure import Failure
from alignc.contract.job import read_job
from alignc.runtime.data import load_examples, settings_from_job
from alignc.runtime.data.tokenizer import load_tokenizer, train_bpe
from alignc.runtime.reward import Sample, build_oracle, build_reward
from alignc.runtime.scoring.micro import BatchLayout
from alignc.runtime.scoring.rewards import RewardScorer

from ..compiled import TINY, metrics, train_script, write_rows
from ..forks import Forks

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft's
LORA = {"kind": "lora", "r": 2, "alpha": 4, "target_modules": "all-linear"}


def trained(forks: Forks, folder: Path, preset: str = "reward_model", **sections: Any) -> Path:
    """Train on pairs of sums; gives `train.py`, whose run's folder holds the model."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = "demonstrations" if preset == "sft" else "pairwise"
    rows, held_out = (write_rows(folder / f"{name}.jsonl", kind, 12) for name in ("rows", "held_out"))
    data = {"eval": {"source": str(held_out)}}
    train = {"per_device_train_batch_size": 4, "num_train_epochs": 2}
    script = train_script(folder, {"preset": preset}, kind, rows, data=data, train=train, **sections)
    assert forks.run(script)["status"] == 0, (script.parents[1] / "status.json").read_text()
    return script


@pytest.fixture(scope="module")
def plain(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(forks, tmp_path_factory.mktemp("plain"))


def folder_of(script: Path) -> Path:
    return script.parents[1] / "model"


def scores(folder: Path, samples: list[Sample]) -> list[float]:
    with build_reward({"kind": "model", "path": str(folder)}, allowed=[], device="cpu") as reward:
        found = reward(samples)
    assert found.parts == {"model": found.values}
    return found.values


def held_out(script: Path) -> list[dict[str, str]]:
    lines = (script.parents[2] / "held_out.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def samples_of(rows: list[dict[str, str]]) -> list[Sample]:
    return [Sample(r["prompt"], r[n], "held_out.jsonl:1", 0, r) for r in rows for n in ("chosen", "rejected")]


def test_scores_are_the_run_s_own(plain: Path):
    """The evaluation's scorer on the evaluation's rows, and the figures that the run logged."""
    job = read_job(plain.with_name("job.json"))
    rows = load_examples(settings_from_job(job), load_tokenizer(job.spec.model), which="eval").examples
    model = AutoModelForSequenceClassification.from_pretrained(folder_of(plain)).eval()
    padded = BatchLayout(False, 0, torch.device("cpu"), None, torch.float32, whole=True)
    with torch.no_grad():
        expected = RewardScorer(model)(padded.batch(rows))["score"]
    found = torch.tensor(scores(folder_of(plain), samples_of(held_out(plain))), dtype=torch.float64).view(
        -1, 2
    )
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    last = metrics(plain)[-1]
    assert float(found.mean()) == pytest.approx(last["eval_mean_reward"], abs=1e-6)
    assert float((found[:, 0] - found[:, 1]).mean()) == pytest.approx(last["eval_margin"], abs=1e-6)


def by_transformers(folder: Path, *texts: str, end: bool = True) -> list[float]:
    """Score each text alone, as transformers has it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] * end
        with torch.no_grad():
            found.append(float(model(torch.tensor([ids])).logits[0, 0]))
    return found


def test_order_and_batch_change_nothing_and_no_gradient_is_kept(plain: Path):
    samples = [Sample(f"{n}+1=", "x" * (1 + 7 * n % 11)) for n in range(9)]
    expected = by_transformers(folder_of(plain), *(s.prompt + s.completion for s in samples))
    with build_reward({"kind": "model", "path": str(folder_of(plain))}, allowed=[], device="cpu") as reward:
        assert reward(samples).values == pytest.approx(expected, abs=1e-6)
        assert reward(samples[::-1]).values == pytest.approx(expected[::-1], abs=1e-6)
        assert reward(samples[:1]).values == pytest.approx(expected[:1], abs=1e-6)
        assert reward([]).values == []
        model = reward.parts[0][2].scorer.model  # type: ignore[attr-defined]
        assert not any(p.requires_grad for p in model.parameters())


def test_a_cut_response_has_no_end_and_an_empty_one_is_its_end(plain: Path):
    cut, empty = Sample("1+1=", "22", ended=False), Sample("1+1=", "")
    expected = [
        *by_transformers(folder_of(plain), "1+1=22", end=False),
        *by_transformers(folder_of(plain), "1+1="),
    ]
    assert scores(folder_of(plain), [cut, empty]) == pytest.approx(expected, abs=1e-6)


def test_a_long_prompt_loses_its_beginning_and_a_long_response_is_refused(plain: Path):
    """The model has 64 positions, and a byte is a token."""
    expected = by_transformers(folder_of(plain), "y" * 60 + "abc")
    assert scores(folder_of(plain), [Sample("x" * 40 + "y" * 60, "abc")]) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(Failure) as caught:
        scores(folder_of(plain), [Sample("x", "y" * 64, "rows.jsonl:3", 2)])
    assert (caught.value.code, "rows.jsonl:3, sample 2" in caught.value.message) == ("E807", True)


def test_a_conversation_is_written_through_the_reward_model_s_own_template(forks: Forks, tmp_path: Path):
    tokenizer = train_bpe(["1+2=3 so what is it? 45 67 89 user assistant"], 300, tmp_path / "tokenizer")
    policy = TINY | {"tokenizer": str(tmp_path / "tokenizer")}
    folder = folder_of(trained(forks, tmp_path / "rm", model={"policy": policy}))
    asked = [{"role": "user", "content": "1+2?"}]
    sample = Sample("<|another template|>1+2?<|end|>", "3", "rows.jsonl:1", 0, {"prompt": asked})
    whole = tokenizer.apply_chat_template(
        [*asked, {"role": "assistant", "content": "3"}], tokenize=False
    ).rstrip()
    assert whole.endswith("3<|im_end|>")
    assert scores(folder, [sample]) == pytest.approx(by_transformers(folder, whole, end=False), abs=1e-6)


def test_an_adapter_is_merged(forks: Forks, tmp_path: Path):
    base = {"policy": str(folder_of(trained(forks, tmp_path / "base", "sft")))}
    script = trained(forks, tmp_path / "rm", model=base | {"adapter": LORA})
    found = torch.tensor(scores(folder_of(script), samples_of(held_out(script)))).view(-1, 2)
    assert float(found.mean()) == pytest.approx(metrics(script)[-1]["eval_mean_reward"], abs=1e-5)


def test_an_adapter_on_a_made_base_is_scored_and_without_its_base_is_refused(forks: Forks, tmp_path: Path):
    script = trained(forks, tmp_path, model={"adapter": LORA})
    folder = folder_of(script)
    found = torch.tensor(scores(folder, samples_of(held_out(script)))).view(-1, 2)
    assert float(found.mean()) == pytest.approx(metrics(script)[-1]["eval_mean_reward"], abs=1e-5)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    with pytest.raises(Failure) as caught:
        scores(folder, [])
    assert caught.value.code == "E612"
    assert "only an adapter, without its base" in caught.value.message


def test_a_language_model_is_no_reward_model(forks: Forks, tmp_path: Path):
    folder = folder_of(trained(forks, tmp_path, "sft"))
    with pytest.raises(Failure) as caught:
        build_reward({"kind": "model", "path": str(folder)}, allowed=[], device="cpu")
    assert caught.value.code == "E612"
    assert "no trained scalar head" in caught.value.message


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(Failure) as caught:
        build_reward({"kind": "model", "path": str(tmp_path / "absent")}, allowed=[], device="cpu")
    assert "there is no folder" in caught.value.message


def test_an_oracle_of_it(plain: Path):
    a, b = samples_of(held_out(plain))[:2]
    first, second = scores(folder_of(plain), [a, b])
    config = {
        "kind": "bradley_terry",
        "reward": {"kind": "model", "path": str(folder_of(plain))},
        "scale": 2.0,
    }
    with build_oracle(config, allowed=[], device="cpu") as oracle:
        assert oracle([(a, b)]) == pytest.approx([1 / (1 + math.exp(-2 * (first - second)))], abs=1e-6)
