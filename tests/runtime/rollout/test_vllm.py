from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from alignc.contract.failure import Failure
from alignc.runtime.models.value import with_value_head
from alignc.runtime.samplers.sample import sample
from alignc.runtime.samplers.sampler import LocalSampler, open_sampler
from alignc.runtime.samplers.sampling import Sampling
from alignc.runtime.samplers.stops import Stops
from alignc.runtime.samplers.vllm import VllmSampler, write_weights
from alignc.runtime.scoring.scorer import Scorer

from .models import build, prompts_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers for it
)

SAMPLING = Sampling(completions=2, max_new_tokens=5, temperature=0.7, top_p=0.9, eos_ids=(4, 5), pad_id=0)
PROMPTS = prompts_of(3, 2)


def nothing() -> None:
    """Give no sign of life."""


@dataclass
class Parameters:
    """The settings of a request by the names that vLLM has for them; another name is an error."""

    n: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    max_tokens: int
    seed: int
    ignore_eos: bool
    stop_token_ids: list[int]
    detokenize: bool


@dataclass
class Engine:
    """Plays vLLM's part: answers each request with the numbers that were asked for, and ends in turn."""

    model: str
    skip_tokenizer_init: bool
    dtype: str
    max_model_len: int | None
    enable_prefix_caching: bool
    gpu_memory_utilization: float
    requests: list[tuple[dict[str, list[int]], Parameters]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def generate(self, prompts: list[Any], parameters: list[Parameters], use_tqdm: bool) -> list[Any]:
        self.calls.append(f"generate {len(prompts)}")
        self.requests += zip(prompts, parameters, strict=True)
        ends = [("length", None, [9, 8]), ("stop", 5, [9, 5]), ("stop", 5, [9])]
        whole = [ends[number % 3] for number in range(len(prompts))]
        return [
            SimpleNamespace(
                outputs=[SimpleNamespace(token_ids=tuple(ids), finish_reason=why, stop_reason=token)]
            )
            for why, token, ids in whole
        ]

    def collective_rpc(self, method: str) -> None:
        self.calls.append(method)

    def reset_prefix_cache(self) -> None:
        self.calls.append("reset_prefix_cache")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("vllm")
    module.__spec__ = importlib.util.spec_from_loader("vllm", loader=None)
    module.LLM, module.SamplingParams = Engine, Parameters  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)


def test_without_vllm_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vllm", None)  # as where it is not installed, also where it is
    with pytest.raises(Failure) as caught:
        open_sampler("vllm", build("llama"), folder=tmp_path / "weights", max_length=32)
    assert (caught.value.code, caught.value.exit_code) == ("E602", 3)
    assert caught.value.help is not None
    assert "alignc[vllm]" in caught.value.help
    assert "transformers" in caught.value.help
    assert not (tmp_path / "weights").exists()


@pytest.mark.usefixtures("played")
def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Failure, match="E605"):
        VllmSampler(build("llama"), folder=tmp_path, max_length=None)


@pytest.mark.usefixtures("played")
def test_what_is_asked_of_the_engine_and_made_of_its_answers(tmp_path: Path):
    sampler = open_sampler("vllm", build("llama"), folder=tmp_path / "weights", max_length=32)
    assert isinstance(sampler, VllmSampler)
    engine = sampler.engine
    assert (engine.model, engine.dtype, engine.max_model_len) == (str(tmp_path / "weights"), "float32", 32)
    steps: list[int] = []
    found = sampler(PROMPTS, [1, 2], SAMPLING, seed=3, batch_size=1, each=lambda: steps.append(1))
    assert [[ids.tolist() for ids in group] for group in found] == [[[9, 8], [9, 5]], [[9, 5], [9, 8]]]
    assert steps
    texts = [request["prompt_token_ids"] for request, _ in engine.requests]
    assert texts == [prompt.tolist() for prompt in PROMPTS for _ in range(2)]
    asked = [parameters for _, parameters in engine.requests]
    assert len({parameters.seed for parameters in asked}) == 4
    assert {(each.n, each.temperature, each.top_p, each.max_tokens) for each in asked} == {(1, 0.7, 0.9, 5)}
    assert {(each.top_k, each.min_p, each.repetition_penalty) for each in asked} == {(0, 0.0, 1.0)}
    assert all(each.ignore_eos and each.stop_token_ids == [4, 5] for each in asked)


@pytest.mark.usefixtures("played")
def test_the_engine_gets_the_law_and_strings_end_its_answers(tmp_path: Path):
    sampler = VllmSampler(build("llama"), folder=tmp_path, max_length=None)
    stops = Stops(("9",), lambda ids: " ".join(map(str, ids)))
    settings = replace(SAMPLING, top_p=1.0, top_k=7, min_p=0.25, stops=stops)
    found = sampler(PROMPTS, [1, 2], settings, seed=3, batch_size=1, each=nothing)
    assert [[ids.tolist() for ids in group] for group in found] == [[[9]] * 2] * 2
    assert {(each.top_k, each.min_p) for _, each in sampler.engine.requests} == {(7, 0.25)}
    with pytest.raises(Failure, match="E602"):
        sampler(PROMPTS, [1, 2], replace(settings, top_p=0.5), seed=3, batch_size=1, each=nothing)


@pytest.mark.usefixtures("played")
def test_seeds_do_not_depend_on_the_order(tmp_path: Path):
    sampler = VllmSampler(build("llama"), folder=tmp_path, max_length=None)
    for prompts, keys in ((PROMPTS, [1, 2]), (PROMPTS[::-1], [2, 1])):
        sampler(prompts, keys, SAMPLING, seed=3, batch_size=1, each=nothing)
    seeds = [parameters.seed for _, parameters in sampler.engine.requests]
    assert seeds[:4] == seeds[6:] + seeds[4:6]


@pytest.mark.usefixtures("played")
def test_a_refresh_writes_the_weights_before_the_engine_reads_them(tmp_path: Path):
    model, folder = build("llama"), tmp_path / "weights"
    sampler = VllmSampler(model, folder=folder, max_length=None)
    with torch.no_grad():
        model.lm_head.weight += 1
    sampler.refresh()
    assert sampler.engine.calls == ["reload_weights", "reset_prefix_cache"]
    read = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(read.lm_head.weight, model.lm_head.weight)
    sampler.close()
    assert not folder.exists()


@pytest.mark.usefixtures("played")
def test_a_mixture_is_refused(tmp_path: Path):
    model = build("llama")
    sampler = VllmSampler(model, folder=tmp_path, max_length=None)
    with pytest.raises(Failure, match="mixture"):
        sampler(PROMPTS, [1, 2], SAMPLING, seed=0, batch_size=1, each=nothing, mixture=(model, 0.5))


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize(("temperature", "taken"), [(0.0, True), (0.001, False), (2.0, True), (2.5, False)])
def test_temperatures_that_vllm_would_change_are_refused(tmp_path: Path, temperature: float, taken: bool):
    sampler = VllmSampler(build("llama"), folder=tmp_path, max_length=None)
    settings = replace(SAMPLING, temperature=temperature)
    if taken:
        assert len(sampler(PROMPTS, [1, 2], settings, seed=0, batch_size=1, each=nothing)) == 2
    else:
        with pytest.raises(Failure, match="E602"):
            sampler(PROMPTS, [1, 2], settings, seed=0, batch_size=1, each=nothing)


def test_an_adapter_is_merged_in_a_copy(tmp_path: Path):
    model = get_peft_model(
        build("llama"), LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    Scorer(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    write_weights(model, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    read = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([PROMPTS[0].tolist()])
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model(ids).logits, atol=1e-5, rtol=0)


def test_a_value_head_stays_behind(tmp_path: Path):
    model = with_value_head(build("llama"))
    write_weights(model, tmp_path)
    from safetensors import safe_open

    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert not [name for name in file.keys() if "value" in name]  # noqa: SIM118


def test_the_local_sampler_is_sample(tmp_path: Path):
    model = build("llama")
    sampler = open_sampler("transformers", model, folder=tmp_path, max_length=None)
    assert isinstance(sampler, LocalSampler)
    sampler.refresh()
    found = sampler(PROMPTS, [1, 2], SAMPLING, seed=3, batch_size=2, each=nothing)
    direct = sample(model, PROMPTS, [1, 2], SAMPLING, seed=3, batch_size=2, each=nothing)
    assert [[ids.tolist() for ids in group] for group in found] == [
        [ids.tolist() for ids in group] for group in direct
    ]
    sampler.close()
