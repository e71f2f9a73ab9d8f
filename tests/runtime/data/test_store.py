"""Token ids are written once by content, read by all, and are the same however they were made."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignc.contract.failure import Failure
from alignc.contract.rows import HeldOut
from alignc.runtime.data import store
from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.example import Example
from alignc.runtime.data.key import store_key
from alignc.runtime.data.pipeline import CHUNK, Pipeline, in_order
from alignc.runtime.data.rows import Row
from alignc.runtime.data.settings import DataSettings

Pairs = Callable[..., DataSettings]
ROWS = [{"prompt": f"{n} ", "chosen": "a" * (n % 7 + 1), "rejected": "b"} for n in range(30)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def plain(example: Example) -> Any:
    ids = [example.prompt.tolist(), *(response.tolist() for response in example.responses)]
    return example.row, example.origin, ids, dict(example.columns)


def stores(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def test_rows_come_back_in_any_order_with_all_they_had(pairs: Pairs, byte_tokenizer: Any) -> None:
    rows = [{**row, "score_chosen": n / 3, "score_rejected": -n} for n, row in enumerate(ROWS)]
    settings = pairs(rows, needed=("reward/chosen", "reward/rejected"))
    data = load_examples(settings, byte_tokenizer)
    for place in (29, 0, 17, -1, -30):
        row = place % 30
        ids = [[byte + 3 for byte in text.encode()] for text in (f"{row} ", "a" * (row % 7 + 1), "b")]
        expected = [ids[0], [*ids[1], 1], [*ids[2], 1]]
        columns = {"reward/chosen": row / 3, "reward/rejected": -float(row)}
        assert plain(data.examples[place]) == (row, f"rows.jsonl:{row + 1}", expected, columns)
    assert [each.row for each in data.examples[5:9]] == [5, 6, 7, 8]
    assert data.examples[0].prompt.dtype == np.int32
    with pytest.raises(IndexError):
        data.examples[30]


def test_a_group_s_numbers_come_back_as_a_group(jsonl: Callable[..., Path], byte_tokenizer: Any) -> None:
    source = jsonl(
        [{"prompt": "p", "completions": ["a", "b", "c"][:n], "rewards": [1, 0, 0.5][:n]} for n in (3, 1)]
    )
    settings = DataSettings("scored", str(source), responses=("completions",), needed=("reward/completions",))
    data = load_examples(settings, byte_tokenizer)
    assert [each.columns["reward/completions"] for each in data.examples] == [(1.0, 0.0, 0.5), (1.0,)]


def test_a_later_run_reads_what_an_earlier_one_wrote(
    pairs: Pairs, byte_tokenizer: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = pairs([*ROWS, {"prompt": "p", "chosen": "", "rejected": "b"}, "{broken"], max_refused=2)
    first = load_examples(settings, byte_tokenizer)
    monkeypatch.setattr(Pipeline, "__call__", lambda *_: pytest.fail("tokenized again"))
    again = load_examples(settings, byte_tokenizer)
    assert list(map(plain, again.examples)) == list(map(plain, first.examples))
    assert again.counts == first.counts
    assert [failure.as_dict() for failure in again.refused] == [
        failure.as_dict() for failure in first.refused
    ]
    assert [failure.line for failure in again.refused] == [31, 32]
    assert len(stores(cache)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"max_length": 9},
        {"columns": {"prompt": "chosen"}},
        {"max_rows": 3},
        {"eval": HeldOut(fraction=0.5)},
        {"eval": HeldOut(fraction=0.5), "seed": 1},
        {"chat_template": "template.jinja"},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ],
)
def test_what_decides_the_ids_decides_the_name(
    pairs: Pairs, byte_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("template.jinja").write_text("{{ messages }}")
    plain_settings, changed = pairs(ROWS), pairs(ROWS, **other)
    names = {store_key(settings, byte_tokenizer, "train", None) for settings in (plain_settings, changed)}
    assert len(names) == 2


def test_content_and_tokenizer_decide_the_name_and_the_judgement_does_not(
    pairs: Pairs, byte_tokenizer: Any, chat_tokenizer: Any
) -> None:
    settings = pairs(ROWS)
    name = store_key(settings, byte_tokenizer, "train", None)
    assert store_key(pairs(ROWS, max_refused=9, max_cut=1.0), byte_tokenizer, "train", None) == name
    assert store_key(settings, chat_tokenizer, "train", None) != name
    assert store_key(settings, byte_tokenizer, "train", 5) != name
    with Path(settings.source).open("a") as file:
        file.write(json.dumps(ROWS[0]) + "\n")
    assert store_key(settings, byte_tokenizer, "train", None) != name


def loads(settings: DataSettings, made: Any) -> None:
    from transformers import ByT5Tokenizer

    begun = Pipeline.__call__

    def counted(self: Pipeline, chunk: Any) -> Any:
        made.put(len(chunk))
        time.sleep(0.5)
        return begun(self, chunk)

    Pipeline.__call__ = counted  # type: ignore[method-assign]
    made.put(("rows", len(load_examples(settings, ByT5Tokenizer()))))


def test_ranks_that_come_together_tokenize_once(pairs: Pairs) -> None:
    settings, context = pairs(ROWS), multiprocessing.get_context("fork")
    made: Any = context.Queue()
    ranks = [context.Process(target=loads, args=(settings, made)) for _ in range(3)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
    found = [made.get(timeout=5) for _ in range(4)]
    assert sorted(map(str, found)) == ["('rows', 30)"] * 3 + ["30"]


def test_a_wait_for_a_process_that_is_stuck_ends(tmp_path: Path) -> None:
    import fcntl

    folder = tmp_path / "cache" / "tokens" / "name"
    folder.parent.mkdir(parents=True)
    with folder.with_name("name.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(lock.fileno(), (0, time.time() - 60))
        with pytest.raises(Failure, match="no sign of life for 6") as caught:
            store.store_once(folder, lambda: iter(()), patience=30)
    assert (caught.value.code, caught.value.file) == ("E804", str(folder.with_name("name.lock")))


def test_what_a_killed_process_left_is_not_read(pairs: Pairs, byte_tokenizer: Any, cache: Path) -> None:
    settings = pairs(ROWS)
    folder = cache / store_key(settings, byte_tokenizer, "train", None)
    folder.mkdir(parents=True)
    (folder / store.TOKENS).write_bytes(b"ARROW1 and no more")
    assert len(load_examples(settings, byte_tokenizer)) == 30


def test_a_cache_that_cannot_be_written_is_told(
    pairs: Pairs, byte_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "file"))
    with pytest.raises(Failure, match="cannot be written into the cache") as caught:
        load_examples(pairs(ROWS), byte_tokenizer)
    assert caught.value.code == "E608"


def test_many_rows_keep_their_order_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    rows = [Row({"n": number}, "a.jsonl", number) for number in range(20 * CHUNK + 7)]

    def work(chunk: list[Any]) -> tuple[int, list[int]]:
        time.sleep(0.02 * (chunk[0].line // CHUNK % 3))
        return os.getpid(), [row.fields["n"] for row in chunk]

    results = list(in_order(rows, work))
    assert [number for _, numbers in results for number in numbers] == list(range(len(rows)))
    assert len({process for process, _ in results}) > 2


def test_a_failure_in_another_process_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    rows = [Row({}, "a.jsonl", number) for number in range(20 * CHUNK)]

    def work(chunk: list[Any]) -> int:
        if chunk[0].line > 15 * CHUNK:
            raise Failure("E709", "no template", help="name one", file="t.jinja", line=3)
        return 0

    with pytest.raises(Failure) as caught:
        list(in_order(rows, work))
    assert (caught.value.code, caught.value.help, caught.value.line) == ("E709", "name one", 3)
