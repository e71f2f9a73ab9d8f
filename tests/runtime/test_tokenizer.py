from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.contract.job import Model, Reference
from alignc.runtime.data.tokenizer import load_tokenizer, train_bpe

CORPUS = ["The sky is blue today, 12 times.", "It is green, 34 times."] * 10


def model(policy: Any) -> Model:
    return Model(policy=policy, reference=Reference("none"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    train_bpe(CORPUS, 300, path)
    return path


def test_a_trained_tokenizer_reads_back_what_it_wrote(folder: Path) -> None:
    tokenizer = load_tokenizer(model(str(folder)))
    text = "The sky is 12 times green — née?"
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert [tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token] == [
        "<|pad|>",
        "<|bos|>",
        "<|im_end|>",
    ]
    assert len(tokenizer) <= 300


def test_digits_stand_alone(folder: Path) -> None:
    assert load_tokenizer(model(str(folder))).tokenize("1234") == ["1", "2", "3", "4"]


def test_its_template_is_chatml(folder: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Blue."}]
    tokenizer = load_tokenizer(model(str(folder)))
    assert tokenizer.apply_chat_template(turns, tokenize=False) == (
        "<|bos|><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nBlue.<|im_end|>\n"
    )
    assert tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True) == (
        "<|bos|><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_training_twice_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    train_bpe(CORPUS, 300, tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_bytes_are_byt5_s() -> None:
    tokenizer = load_tokenizer(model({"init": "llama", "tokenizer": "bytes"}))
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id) == (0, 1, None)
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == [ord("a") + 3]


def test_an_initialised_model_may_name_a_folder(folder: Path) -> None:
    tokenizer = load_tokenizer(model({"init": "llama", "tokenizer": str(folder)}))
    assert tokenizer.eos_token == "<|im_end|>"


def test_a_missing_padding_token_falls_back_to_eos(tmp_path: Path) -> None:
    tokenizer = train_bpe(CORPUS, 300, tmp_path)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(str(tmp_path))
    assert load_tokenizer(model(str(tmp_path))).pad_token == "<|im_end|>"


def test_a_template_file_replaces_the_tokenizer_s_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages[0].content }}")
    tokenizer = load_tokenizer(model(str(folder)), str(tmp_path / "t.jinja"))
    assert tokenizer.chat_template == "{{ messages[0].content }}"


def test_a_tokenizer_without_eos_is_refused(tmp_path: Path) -> None:
    tokenizer = train_bpe(CORPUS, 300, tmp_path)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(str(tmp_path))
    with pytest.raises(Failure, match=r"E709: the tokenizer .* has no EOS token"):
        load_tokenizer(model(str(tmp_path)))


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_a_tokenizer(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Failure, match="E709") as caught:
        load_tokenizer(model(str(tmp_path / name)))
    assert str(tmp_path / name) in caught.value.message
    assert (caught.value.why is not None) == (name == "missing")


def test_a_hub_id_without_a_hub_fails_with_its_name(tmp_path: Path) -> None:
    program = (
        "from alignc.runtime.data.tokenizer import load_tokenizer\n"
        "from alignc.contract.job import Model, Reference\n"
        "from alignc.contract.failure import Failure\n"
        "try: load_tokenizer(Model('Qwen/Qwen2.5-0.5B-Instruct', Reference('none')))\n"
        "except Failure as failure: print(failure.code, failure.exit_code, failure.message)\n"
    )
    dead = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | dead
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("E601 3 the tokenizer of `Qwen/Qwen2.5-0.5B-Instruct`"), done.stderr
