from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.contract.rows import HeldOut
from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.settings import DataSettings
from alignc.runtime.data.split import held_out

GOOD = {"prompt": "p", "chosen": "ab", "rejected": "c"}
BAD = {"prompt": "p", "chosen": "", "rejected": "c"}
Pairs = Callable[..., DataSettings]


def numbered(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"{number:03}", "chosen": "a", "rejected": "b"} for number in range(count)]


def failure(settings: DataSettings, tokenizer: Any, **options: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        load_examples(settings, tokenizer, **options)
    return caught.value


def numbers(settings: DataSettings, tokenizer: Any, **options: Any) -> list[int]:
    data = load_examples(settings, tokenizer, **options)
    return [int(bytes(token - 3 for token in each.prompt.tolist())) for each in data.examples]


def test_rows_are_counted_from_zero_and_know_their_origin(pairs: Pairs, byte_tokenizer: Any) -> None:
    data = load_examples(pairs([GOOD, BAD, GOOD], max_refused=1), byte_tokenizer)
    assert [(each.row, each.origin) for each in data.examples] == [(0, "rows.jsonl:1"), (1, "rows.jsonl:3")]
    assert vars(data.counts) == {
        "rows": 3,
        "kept": 2,
        "refused": 1,
        "prompts_cut": 0,
        "completions_cut": 0,
    }
    assert [(each.code, each.line) for each in data.refused] == [("E704", 2)]


@pytest.mark.parametrize(
    ("allowed", "passes"), [(0, False), (1, False), (2, True), (0.4, False), (0.5, True)]
)
def test_max_refused_is_a_number_of_rows_or_a_share(
    pairs: Pairs, byte_tokenizer: Any, allowed: float, passes: bool
) -> None:
    settings = pairs([GOOD, BAD, GOOD, BAD], max_refused=allowed)
    if passes:
        assert load_examples(settings, byte_tokenizer).counts.kept == 2
    else:
        assert [cause.line for cause in failure(settings, byte_tokenizer).causes] == [2, 4]


def test_quarantine_sets_bad_rows_aside_with_their_reason(
    pairs: Pairs, byte_tokenizer: Any, tmp_path: Path
) -> None:
    aside = tmp_path / "run" / "quarantine.jsonl"
    settings = pairs([GOOD, BAD, "{broken", GOOD], on_bad_row="quarantine", quarantine=str(aside))
    assert load_examples(settings, byte_tokenizer).counts.refused == 2
    lines = [json.loads(line) for line in aside.read_text().splitlines()]
    assert [(line["code"], line["line"], line["row"]) for line in lines] == [
        ("E704", 2, BAD),
        ("E703", 3, None),
    ]
    assert list(aside.parent.iterdir()) == [aside]


def test_quarantine_keeps_a_bound_that_the_spec_gives(
    pairs: Pairs, byte_tokenizer: Any, tmp_path: Path
) -> None:
    aside = str(tmp_path / "quarantine.jsonl")
    settings = pairs([GOOD, BAD, BAD], on_bad_row="quarantine", quarantine=aside, max_refused=1)
    assert failure(settings, byte_tokenizer).code == "E706"
    assert Path(aside).exists()


def test_one_cause_in_all_rows_is_said_once(pairs: Pairs, byte_tokenizer: Any) -> None:
    rows = [{"question": "q", "good": "a", "rejected": "b"}] * 3
    cause = failure(pairs(rows, columns={"prompt": "question"}), byte_tokenizer)
    assert (cause.code, cause.line, cause.causes) == ("E701", 1, ())
    assert cause.message == (
        "there is no column `chosen`; the columns are `question`, `good`, `rejected` (in all 3 rows)"
    )
    assert cause.help == "name the column: `columns: {chosen: COLUMN}`"


@pytest.mark.parametrize("rows", [[], ["", "  "]])
def test_an_empty_source_leaves_no_rows(pairs: Pairs, byte_tokenizer: Any, rows: list[str]) -> None:
    assert failure(pairs(rows), byte_tokenizer).code == "E707"


def test_quarantine_of_every_row_leaves_no_rows(pairs: Pairs, byte_tokenizer: Any, tmp_path: Path) -> None:
    aside = str(tmp_path / "quarantine.jsonl")
    settings = pairs([BAD, "{broken"], on_bad_row="quarantine", quarantine=aside)
    assert failure(settings, byte_tokenizer).code == "E707"


def test_too_many_cut_completions_are_an_error(pairs: Pairs, byte_tokenizer: Any) -> None:
    # max_length 4 holds a prompt token and 3 more: "abcd" and EOS are 5, "c" and EOS 2.
    rows = [{**GOOD, "chosen": "abcd"}, GOOD, GOOD, GOOD]
    assert load_examples(pairs(rows, max_length=4, max_cut=0.25), byte_tokenizer).counts.completions_cut == 1
    cut = failure(pairs(rows, max_length=4, max_cut=0.24), byte_tokenizer)
    assert cut.code == "E705"
    assert cut.message.startswith("1 of 4 rows (25.0%)")


def test_held_out_rows_and_training_rows_part_the_source(pairs: Pairs, byte_tokenizer: Any) -> None:
    settings = pairs(numbered(200), eval=HeldOut(fraction=0.1), seed=5)
    train = numbers(settings, byte_tokenizer)
    held = numbers(settings, byte_tokenizer, which="eval")
    assert held == [index for index in range(200) if held_out(index, 5, 0.1)]
    assert sorted(train + held) == list(range(200))
    assert 10 <= len(held) <= 30


def test_more_rows_do_not_move_the_others_between_the_parts(pairs: Pairs, byte_tokenizer: Any) -> None:
    few = numbers(pairs(numbered(50), eval=HeldOut(fraction=0.3)), byte_tokenizer, which="eval")
    many = numbers(pairs(numbered(100), eval=HeldOut(fraction=0.3)), byte_tokenizer, which="eval")
    assert [number for number in many if number < 50] == few


@pytest.mark.parametrize(
    ("fraction", "which", "told"),
    [
        (1e-9, "eval", "of 3 rows leaves no row held out"),
        (1 - 1e-9, "train", "of 3 rows leaves no row to train on"),
    ],
)
def test_a_share_that_leaves_a_part_empty_is_named(
    pairs: Pairs, byte_tokenizer: Any, fraction: float, which: str, told: str
) -> None:
    cause = failure(pairs(numbered(3), eval=HeldOut(fraction=fraction)), byte_tokenizer, which=which)
    assert (cause.code, told in cause.message, "eval.fraction" in cause.message) == ("E707", True, True)


def test_held_out_rows_may_have_a_source_of_their_own(
    pairs: Pairs, jsonl: Callable[..., Path], byte_tokenizer: Any
) -> None:
    other = jsonl(numbered(3), "held.jsonl")
    settings = pairs(numbered(5), eval=HeldOut(source=str(other)))
    assert numbers(settings, byte_tokenizer) == [0, 1, 2, 3, 4]
    assert numbers(settings, byte_tokenizer, which="eval") == [0, 1, 2]


def test_without_eval_nothing_is_held_out(pairs: Pairs, byte_tokenizer: Any) -> None:
    assert len(load_examples(pairs([GOOD]), byte_tokenizer, which="eval")) == 0


def test_limits_take_the_first_rows(pairs: Pairs, byte_tokenizer: Any) -> None:
    assert numbers(pairs(numbered(9), max_rows=4), byte_tokenizer) == [0, 1, 2, 3]
    assert numbers(pairs(numbered(9), max_rows=4), byte_tokenizer, limit=2) == [0, 1]


def test_chunks_keep_the_order(pairs: Pairs, byte_tokenizer: Any) -> None:
    assert numbers(pairs(numbered(999)), byte_tokenizer) == list(range(999))


def test_settings_come_from_a_job(tmp_path: Path) -> None:
    from alignc.contract.job import Formula, Job, Launch, Model, Reference, Spec, Train
    from alignc.contract.needs import LossNeeds
    from alignc.contract.rows import GivenData
    from alignc.runtime.data.settings import settings_from_job

    data = GivenData(
        kind="pairwise",
        source="/d.jsonl",
        split="train",
        columns={"prompt": "q"},
        chat_template=None,
        max_rows=9,
        eval=HeldOut(fraction=0.1),
        on_bad_row="error",
        max_refused=3,
        max_cut=0.5,
    )
    train = dict.fromkeys(Train.__dataclass_fields__, 1) | {"max_length": 77, "seed": 8}
    launch = dict.fromkeys(Launch.__dataclass_fields__, 1)
    model = Model("p", Reference("none"))
    spec = Spec(1, "n", {}, model, data, Train(**train), Launch(**launch), str(tmp_path))  # type: ignore[arg-type]
    empty = dict.fromkeys(LossNeeds.__dataclass_fields__, ()) | {"statistics": {}, "others": {}}
    plan = LossNeeds(**empty | {"responses": ["chosen", "rejected"], "columns": ["margin"]})  # type: ignore[arg-type]
    job = Job("0", "n", spec, {}, plan, Formula("", ""))
    assert settings_from_job(job) == DataSettings(
        kind="pairwise",
        source="/d.jsonl",
        columns={"prompt": "q"},
        max_rows=9,
        eval=HeldOut(fraction=0.1),
        max_refused=3,
        max_cut=0.5,
        max_length=77,
        responses=("chosen", "rejected"),
        needed=("margin",),
        seed=8,
        quarantine=str(tmp_path / "quarantine.jsonl"),
        date_record=str(tmp_path / "chat_template_date.txt"),
    )
