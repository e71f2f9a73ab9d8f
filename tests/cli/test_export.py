from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, ByT5Tokenizer, LlamaConfig

from .conftest import Alignc

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def run(alignc: Alignc, here: Path) -> Path:
    """Leave a run as it is when its model has been written: the compiled job, the model, the status."""
    assert alignc("compile", "spec.yaml", "-o", "runs/spec/job").code == 0
    folder = here / "runs" / "spec"
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=384, **sizes)).save_pretrained(folder / "model")
    ByT5Tokenizer().save_pretrained(folder / "model")
    (folder / "status.json").write_text(json.dumps({"exit": 0, "finished": True, "step": 2}))
    return folder


def test_a_run_is_exported_by_folder_or_spec(alignc: Alignc, run: Path):
    done = alignc("export", run, "-o", "a")
    assert done.code == 0
    assert "wrote a: the model of step 2, float32, " in done.out
    assert alignc("export", "spec.yaml", "-o", "b", "--dtype", "bfloat16").code == 0
    assert json.loads(Path("b/config.json").read_text())["dtype"] == "bfloat16"


def test_what_is_not_there_or_in_use_is_told(alignc: Alignc, run: Path):
    assert alignc("export", "nowhere", "-o", "a").code == 1
    done = alignc("export", run, "-o", "a", "--checkpoint", "4")
    assert (done.code, "E008" in done.err) == (1, True)
    (run / "status.json").write_text(json.dumps({"exit": 75, "finished": False, "step": 2}))
    done = alignc("export", run, "-o", "a")
    assert (done.code, "E604" in done.err, "--checkpoint last" in done.err) == (3, True, True)
    done = alignc("export", "spec.yaml", "-o", ".")
    assert done.code == 3
    assert not Path("a").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--no-merge", "trained all weights"),
        ("--critic", "this run has no critic"),
        ("--checkpoint=newest", "is not `best`, `last` or a step"),
    ],
)
def test_what_has_no_meaning_is_wrong_usage(alignc: Alignc, run: Path, option: str, said: str):
    done = alignc("export", run, "-o", "a", option)
    assert done.code == 2
    assert said in done.err


def test_an_adapter_alone_needs_a_saved_base(alignc: Alignc, run: Path):
    adapter = "model={policy: {init: llama, tokenizer: bytes}, adapter: {kind: lora}}"
    assert alignc("compile", "spec.yaml", "-o", run / "job", "--set", adapter).code == 0
    done = alignc("export", run, "-o", "a", "--no-merge")
    assert (done.code, "was not saved" in done.err) == (2, True)


def test_a_base_that_has_changed_is_refused(alignc: Alignc, run: Path):
    model = f"model={{policy: {run / 'model'}, adapter: {{kind: lora}}}}"
    assert alignc("compile", "spec.yaml", "-o", "runs/more/job", "--set", model).code == 0
    more = run.parent / "more"
    more.joinpath("model").mkdir()
    more.joinpath("status.json").write_text(json.dumps({"exit": 0, "finished": True, "step": 2}))
    more.joinpath("run.json").write_text(json.dumps({"inputs": {"model.policy": "another digest"}}))
    done = alignc("export", more, "-o", "a")
    assert (done.code, "E805" in done.err, "has changed since the adapter was trained on it" in done.err) == (
        4,
        True,
        True,
    )
