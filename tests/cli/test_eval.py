from __future__ import annotations

import json
from pathlib import Path

from alignc.cli.eval import _own

from .conftest import Alignc


def test_what_is_no_run_or_has_no_model_is_wrong_usage(alignc: Alignc, here: Path):
    done = alignc("eval", ".")
    assert (
        done.code,
        "is not the output folder of a run" in done.err,
        "--pairs or --prompts" in done.err,
    ) == (2, True, True)
    alignc("compile", "spec.yaml", "-o", "runs/spec/job")
    done = alignc("eval", "spec.yaml")  # a spec stands for its output folder
    assert (done.code, "has no model yet" in done.err) == (2, True)


def test_own_metrics_are_a_line_each_and_a_column_a_run():
    found = [("a", {"eval_loss": 0.5, "eval_kl": 1.0}), ("long-name-run", {"eval_loss": 0.25})]
    assert _own(found, False).splitlines() == [
        "                    a  long-name-run",
        "eval_loss         0.5           0.25",
        "eval_kl             1              –",
    ]
    assert json.loads(_own(found, True))[1] == {"name": "long-name-run", "eval_loss": 0.25}
