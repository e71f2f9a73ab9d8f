from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from alignc.contract.failure import Failure
from alignc.runtime.data.cells import value_in
from alignc.runtime.data.hub import FromHub, read_hub
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
    assert ".arrow, .csv, .json, .jsonl, .ndjson, .parquet, .tsv" in refused(tmp_path / "a.xlsx").message
    assert refused("pairs.jsonl").code == "E703"


@pytest.mark.parametrize(
    ("name", "text", "told", "way_out"),
    [
        (
            "a.csv",
            "prompt,chosen,prompt\na,b,c\n",
            "the column `prompt` of `a.csv` stands twice",
            "rename one",
        ),
        ("a.tsv", "a\ta\n1\t2\n", "stands twice", "rename one"),
        ("a.json", '[{"a": 1} {"a": 2}]', "not a JSON array from here on", "one object per line"),
        ("a.json", '[{"a": 1}', "not a JSON array from here on", "one object per line"),
        ("a.jsonl.gz", "no such thing", "cannot be read", "write the file again"),
        ("a.arrow", "no such thing", "is not Arrow", "write or download"),
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


ODD = "one\u2028two\u2029three\x85four\r\nfive\x1csix"
TURNS = [{"role": "user", "content": ODD}, {"role": "assistant", "content": "é"}]
ROWS = [{"prompt": ODD, "turns": TURNS}, {"prompt": "b", "turns": TURNS[:1]}]


def written(folder: Path, name: str) -> Path:
    """Write ROWS in the format of a suffix; text has a byte order mark and CRLF."""
    path, bom = folder / name, b"\xef\xbb\xbf"
    lines = b"\r\n".join(json.dumps(row, ensure_ascii=False).encode() for row in ROWS)
    suffix = name.removesuffix(".gz").rpartition(".")[2]
    table = pa.Table.from_pylist(ROWS)
    if suffix == "parquet":
        pq.write_table(table, path)
    elif suffix == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    elif suffix in ("csv", "tsv"):
        text = io.StringIO()
        writer = csv.writer(text, delimiter="," if suffix == "csv" else "\t")
        writer.writerows([["prompt", "turns"], *([row["prompt"], json.dumps(row["turns"])] for row in ROWS)])
        pack(path, bom + text.getvalue().encode())
    else:
        array = b"[ " + lines.replace(b"\r\n{", b",\r\n{") + b"\r\n]\r\n"
        pack(path, bom + (array if name.startswith("array") else lines))
    return path


def pack(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.ndjson", "a.json", "array.json", "a.jsonl.gz", "array.json.gz", "a.csv", "a.csv.gz", "a.tsv",
     "a.parquet", "a.arrow", "A.JSONL"],
)  # fmt: skip
def test_every_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    read = list(read_rows(str(written(tmp_path, name))))
    text = [{**row.fields, "turns": value_in(row.fields["turns"])} for row in read if isinstance(row, Row)]
    assert text == ROWS
    assert [row.line for row in read] == ([1, 2] if "csv" not in name and "tsv" not in name else [2, 4])


def test_an_array_s_rows_know_their_lines_and_its_bad_items_are_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    long = "x" * 3_000_000  # longer than a piece of the file
    items = ['{"a": 1,\n "b": 2}', "7", '{"a": 1, "a": 2}', f'{{"a": {"9" * 5000}}}', json.dumps({"a": long})]
    path.write_text("[" + ",\n".join(items) + "\n]\n")
    rows = list(read_rows(str(path)))
    assert [row.line for row in rows] == [1, 3, 4, 5, 6]
    assert [type(row) for row in rows] == [Row, Failure, Failure, Failure, Row]
    assert rows[0].fields == {"a": 1, "b": 2}  # type: ignore[union-attr]
    assert rows[4].fields == {"a": long}  # type: ignore[union-attr]
    assert [row.message for row in rows if isinstance(row, Failure)][:2] == [
        "the item is not a JSON object but a number",
        "the item is not a row: the key `a` occurs twice",
    ]


def test_a_pattern_names_several_files_in_order(tmp_path: Path) -> None:
    for number in (2, 1):
        (tmp_path / f"part-{number}.jsonl").write_text(f'{{"a": {number}}}\n')
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "part-3.jsonl").write_text('{"a": 3}\n')
    assert fields(tmp_path / "part-*.jsonl") == [{"a": 1}, {"a": 2}]
    assert fields(tmp_path / "**" / "part-*.jsonl") == [{"a": 3}, {"a": 1}, {"a": 2}]
    failure = refused(tmp_path / "none-*.jsonl")
    assert (failure.code, "no file matches" in failure.message) == ("E703", True)


def test_files_of_a_folder_may_be_named(tmp_path: Path) -> None:
    for name in ("train", "extra"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"a": "{name}"}}\n')
    assert fields(tmp_path, hub=FromHub(data_files="extra.jsonl")) == [{"a": "extra"}]
    assert fields(tmp_path, hub=FromHub(data_files=["extra.*", "train.*"])) == [
        {"a": "extra"},
        {"a": "train"},
    ]


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["prompt", "prompt"])
    pq.write_table(twice, tmp_path / "a.parquet")
    assert "the column `prompt` of `a.parquet` stands twice" in refused(tmp_path / "a.parquet").message


def test_a_file_that_ends_within_its_packing_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-9])
    assert refused(path).code == "E703"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:dill", "ignore::ResourceWarning")
@pytest.mark.parametrize("form", ["numpy", "torch", "arrow", "pandas"])
def test_a_saved_data_set_s_format_hides_nothing(tmp_path: Path, form: str) -> None:
    if form == "pandas":
        pytest.importorskip("pandas")
    saved = datasets.Dataset.from_list([{"a": "x", "n": [1, 2]}, {"a": "y", "n": [3]}])
    saved.with_format(form, columns=["n"]).save_to_disk(str(tmp_path / "saved"))
    assert fields(tmp_path / "saved") == [{"a": "x", "n": [1, 2]}, {"a": "y", "n": [3]}]


def test_a_file_of_the_hub_is_read_from_its_cache(tmp_path: Path) -> None:
    """In a process of its own, whose hub is a folder: nothing is asked of a network."""
    snapshot = tmp_path / "hub" / "datasets--some--rows" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "train.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    program = (
        "from alignc.runtime.data.source import read_rows\n"
        "rows = list(read_rows('hf://datasets/some/rows/train.jsonl'))\n"
        "print([(dict(row.fields), row.origin) for row in rows])\n"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "[({'a': 1}, 'train.jsonl:1'), ({'a': 2}, 'train.jsonl:2')]\n", done.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_wanted_of_a_hub_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    """`load_dataset` reads a folder as it reads a repository: with configurations and patterns of files."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "README.md").write_text(
        "---\nconfigs:\n- {config_name: hard, data_files: hard.jsonl}\n"
        "- {config_name: easy, data_files: easy.jsonl}\n---\n"
    )
    for name in ("hard", "easy"):
        (folder / f"{name}.jsonl").write_text(f'{{"a": "{name}"}}\n')
    read = list(read_hub(str(folder), "train", FromHub(name="easy", streaming=streaming)))
    assert [dict(row.fields) for row in read] == [{"a": "easy"}]
    assert read[0].line == 1
