from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alignc.contract.failure import Failure
from alignc.runtime.data.rows import Row
from alignc.runtime.data.source import read_rows


def fields(source: Path | str, **options: object) -> list[object]:
    return [dict(row.fields) for row in read_rows(str(source), **options) if isinstance(row, Row)]  # type: ignore[arg-type]


def refused(source: Path | str, split: str = "train") -> Failure:
    with pytest.raises(Failure) as caught:
        list(read_rows(str(source), split))
    return caught.value


def test_csv_rows_know_their_first_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,chosen\n"two\nlines",b\n\nc,"d, ""e"""\n')
    rows = [row for row in read_rows(str(path)) if isinstance(row, Row)]
    assert [dict(row.fields) for row in rows] == [
        {"prompt": "two\nlines", "chosen": "b"},
        {"prompt": "c", "chosen": 'd, "e"'},
    ]
    assert [row.origin for row in rows] == ["a.csv:2", "a.csv:5"]


def test_a_csv_row_of_another_width_is_located(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n1,2,3\n")
    (_, bad) = read_rows(str(path))
    assert isinstance(bad, Failure)
    assert (bad.code, bad.line, bad.message) == (
        "E703",
        3,
        "the row has 3 cells, but the header has 2 columns",
    )


def test_a_csv_file_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"2\n3,4\n')
    assert (refused(path).code, refused(path).file) == ("E703", str(path))


def test_parquet_rows_are_numbered(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    rows = [{"prompt": "a", "n": 1.5, "turns": [{"role": "user", "content": "x"}]}, {"prompt": "b"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    read = [row for row in read_rows(str(tmp_path / "a.parquet")) if isinstance(row, Row)]
    assert [row.origin for row in read] == ["a.parquet#1", "a.parquet#2"]
    assert read[0].fields == rows[0]
    assert read[1].fields == {"prompt": "b", "n": None, "turns": None}


def test_a_file_that_only_calls_itself_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no such thing")
    assert refused(tmp_path / "a.parquet").code == "E703"


def test_limit_reads_no_further(jsonl: Callable[..., Path]) -> None:
    path = jsonl([{"a": 1}, {"a": 2}, "{broken"])
    assert fields(path, limit=2) == [{"a": 1}, {"a": 2}]


def test_a_missing_file_and_an_unknown_suffix(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.jsonl").message
    (tmp_path / "a.xlsx").write_text("")
    assert ".csv, .jsonl, .ndjson, .parquet" in refused(tmp_path / "a.xlsx").message
    assert refused("pairs.jsonl").code == "E703"


@pytest.mark.parametrize(
    ("name", "text", "told", "way_out"),
    [
        ("a.json", "[{}]", "has none of the suffixes", "one object per line"),
        ("a.xlsx", "", "has none of the suffixes", "convert the file"),
        ("a.parquet", "no such thing", "is not parquet", "download the file again"),
        ("a.csv", "prompt;chosen\na;b\n", "separated by semicolons", "with commas"),
        ("a.csv", "prompt\tchosen\na\tb, c\n", "separated by tabs", "with commas"),
    ],
)
def test_a_file_that_is_no_data_says_why_and_what_to_do(
    tmp_path: Path, name: str, text: str, told: str, way_out: str
) -> None:
    (tmp_path / name).write_text(text)
    failure = refused(tmp_path / name)
    assert (failure.code, told in failure.message, bool(failure.why)) == ("E703", True, True)
    assert way_out in str(failure.help)


def test_an_empty_folder_is_not_a_matter_of_splits(tmp_path: Path) -> None:
    failure = refused(tmp_path)
    assert (failure.code, failure.help) == ("E703", "correct `data.source`, or put the data into this folder")


def test_a_folder_s_files_are_chosen_by_split(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "data" / "train-00001.csv").write_text("a\n2\n")
    (tmp_path / "data" / "test.jsonl").write_text('{"a": 3}\n')
    assert fields(tmp_path) == [{"a": 1}, {"a": "2"}]
    assert fields(tmp_path, split="test") == [{"a": 3}]
    failure = refused(tmp_path, "validation")
    assert failure.code == "E703"
    assert "data/test.jsonl, data/train-00000.jsonl, data/train-00001.csv" in failure.message


def test_a_folder_with_one_file_is_its_training_split(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"a": 1}\n')
    assert fields(tmp_path) == [{"a": 1}]
    assert refused(tmp_path, "test").code == "E703"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:dill", "ignore::ResourceWarning")
def test_a_folder_that_datasets_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    train = datasets.Dataset.from_list([{"a": "x"}, {"a": "y"}])
    datasets.DatasetDict({"train": train}).save_to_disk(str(tmp_path / "saved"))
    rows = [row for row in read_rows(str(tmp_path / "saved")) if isinstance(row, Row)]
    assert [(row.fields["a"], row.origin) for row in rows] == [
        ("x", "saved[train]#1"),
        ("y", "saved[train]#2"),
    ]
    assert "its splits are train" in refused(tmp_path / "saved", "test").message


def test_a_hub_id_without_a_hub_fails_quickly_with_its_name(tmp_path: Path) -> None:
    """In a process of its own: whether the hub answers is asked once, and shapes all later calls."""
    program = (
        "from alignc.runtime.data.source import read_rows\n"
        "from alignc.contract.failure import Failure\n"
        "try: list(read_rows('trl-lib/ultrafeedback_binarized'))\n"
        "except Failure as failure: print(failure.code, failure.exit_code, failure.message)\n"
    )
    dead = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | dead
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("E601 3 the data set `trl-lib/ultrafeedback_binarized`"), done.stderr
    assert time.monotonic() - begun < 30
