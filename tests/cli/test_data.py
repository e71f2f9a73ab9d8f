from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Alignc

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_rows_lengths_and_checks(alignc: Alignc, here: Path) -> None:
    done = alignc("data", "spec.yaml", "--rows", 1)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "pairs.jsonl:1   prompt 4 tok | chosen 2 tok in the loss | rejected 2 tok in the loss\n"
        " prompt       [1|+|1|=]\n"
        " chosen       [2|</s>]\n"
        " rejected     [3|</s>]\n"
        "\n"
        "rows      2 read, 2 kept, 0 refused; 0 prompts cut on the left, 0 completions cut on the right\n"
        "lengths   prompt p50 4, p95 4, max 4 | chosen p50 2, p95 2, max 2 | rejected p50 2, p95 2, max 2 tokens\n"
        "          mean chosen − rejected +0.0 tokens\n"
        "checks    no row repeats another, and the responses of each row differ\n"
    )


def test_ids_and_json(alignc: Alignc, here: Path) -> None:
    data = json.loads(alignc("data", "spec.yaml", "--rows", 1, "--ids", "--json").out)
    # ByT5: a byte's id is its value + 3, </s> is 1
    assert data["rows"][0]["ids"] == {"prompt": [52, 46, 52, 64], "chosen": [53, 1], "rejected": [54, 1]}
    assert data["counts"]["kept"] == 2
    assert "ids" not in json.loads(alignc("data", "spec.yaml", "--json").out)["rows"][0]
    assert " chosen       53 1\n" in alignc("data", "spec.yaml", "--ids").out


def test_bad_rows_are_findings(alignc: Alignc, here: Path) -> None:
    with Path("pairs.jsonl").open("a") as file:
        file.write('{"prompt": "p", "chosen": ""}\n{"prompt": "p"\n')
    done = alignc("data", "spec.yaml")
    assert done.code == 1
    assert "2 refused" in done.out
    assert [c in done.err for c in ("pairs.jsonl:3:1", "pairs.jsonl:4:", "error[E703]", "error[E706]")] == [
        True
    ] * 4


def test_a_missing_column(alignc: Alignc, here: Path) -> None:
    done = alignc("data", "spec.yaml", "--set", "data.columns.chosen=better")
    assert (done.code, "there is no column `better`" in done.err) == (1, True)


def test_twins_and_equals_are_pointed_out(alignc: Alignc, here: Path) -> None:
    row = '{"prompt": "1+1=", "chosen": "2", "rejected": "2"}\n'
    Path("pairs.jsonl").write_text(row * 3)
    shown = alignc("data", "spec.yaml").out
    assert "! 2 rows that repeat another; ! 3 rows whose responses are the same" in shown


def test_one_cause_in_every_row_is_shown_once(alignc: Alignc, here: Path) -> None:
    done = alignc("data", "spec.yaml", "--set", "data.columns.chosen=better")
    assert done.err.count("error[E701]") == 1
    assert "(in all 2 rows)" in done.err
    assert "checks" not in done.out


def test_one_row_is_one_row(alignc: Alignc, here: Path) -> None:
    Path("pairs.jsonl").write_text('{"prompt": "p", "chosen": "2", "rejected": "2"}\n')
    assert "! 1 row whose responses are the same" in alignc("data", "spec.yaml").out


def test_no_data_at_all(alignc: Alignc, here: Path) -> None:
    Path("pairs.jsonl").unlink()
    done = alignc("data", "spec.yaml")
    assert (done.code, "error[E008]" in done.err) == (1, True)


def test_a_share_that_holds_nothing_out_is_told_before_a_run(alignc: Alignc, here: Path) -> None:
    done = alignc("data", "spec.yaml", "--set", "data.eval={fraction: 0.000001}")
    assert done.code == 1
    assert "error[E707]: `data.eval.fraction: 1e-06` of 2 rows leaves no row held out" in done.err
