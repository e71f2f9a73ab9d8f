from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alignc.contract.failure import Failure
from alignc.contract.job import Job, Train, job_from
from alignc.runtime.base.signals import Interrupted
from alignc.runtime.data import Counts
from alignc.runtime.data.example import Example
from alignc.runtime.ranks.pulse import Pulse
from alignc.runtime.ranks.run import Options, Run
from alignc.runtime.ranks.world import World
from alignc.runtime.scoring.context import Context
from alignc.runtime.scoring.micro import BatchLayout, loss_inputs, stack, tokens_of, totals_of
from alignc.runtime.scoring.objective import SourceBatch, SourceObjective
from alignc.runtime.train.card import card_text, fenced
from alignc.runtime.train.checkpoint import TrainerState
from alignc.runtime.train.evaluate import evaluate, note_best, rises

from .fixtures import job_data, train_section

CPU = torch.device("cpu")
WORLD = World(0, 1, CPU)
LAYOUT = BatchLayout(True, 0, CPU, None, torch.float32)


def example(row: int, *lengths: int) -> Example:
    responses = tuple(np.full(length, row + 1, dtype=np.int32) for length in lengths)
    return Example(row, f"x:{row}", np.array([1, 2], dtype=np.int32), responses, {"weight": float(row)})


def context(job: Job, folder: Path) -> Context:
    return Context(Run(job, folder, Options(), Pulse(folder, 0)), WORLD, None, LAYOUT)


class Constant(nn.Module):
    """Gives every token of row r the log-probability -(r + 1)."""

    def forward(self, batch) -> Tensor:
        flat = torch.zeros(batch.mask.numel()).index_copy(0, batch.slots, -batch.targets.float())
        return flat.view(batch.mask.shape)


def token_mean(batch: dict[str, Tensor], totals: dict[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
    summed = (batch["policy/completion"] * batch["mask/completion"]).double().sum()
    rows = torch.tensor(float(len(batch["mask/completion"])), dtype=torch.float64)
    return -summed / totals["tokens/completion"], {"rows": rows}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_evaluation_is_over_all_rows_whatever_the_batch(size: int, tmp_path: Path):
    job = job_from(job_data("sft", Path("/r"), Path("/o"), per_device_eval_batch_size=size))
    examples = [example(row, row + 1) for row in range(3)]  # lengths 1, 2, 3 with values 1, 2, 3
    batch = SourceBatch(SourceObjective(job.needs, token_mean), examples)
    found = evaluate(context(job, tmp_path), batch, Constant())
    assert found == pytest.approx({"eval_loss": (1 + 4 + 9) / 6, "eval_rows": 3.0})


def test_evaluation_stops_when_told(tmp_path: Path):
    job = job_from(job_data("sft", Path("/r"), Path("/o")))
    told = context(job, tmp_path)
    told.run.stop.catch(15, None)
    with pytest.raises(Interrupted):
        evaluate(told, SourceBatch(SourceObjective(job.needs, token_mean), [example(0, 1)]), Constant())


def test_inputs_of_a_loss():
    job = job_from(job_data("dpo", Path("/r"), Path("/o")))
    plan = dataclasses.replace(
        job.needs, columns=["weight"], totals=["rows", "tokens/chosen", "column/weight"]
    )
    examples = [example(0, 1, 3), example(1, 2, 1)]
    anchors = {
        "initial": [(np.array([0.5]), np.array([1.0, 2.0, 3.0])), (np.array([4.0, 5.0]), np.array([6.0]))]
    }
    batch = LAYOUT.batch(examples)
    found = loss_inputs(plan, examples, batch, Constant()(batch), anchors)
    assert found["policy/rejected"].tolist() == [[-1.0, -1.0, -1.0], [-2.0, 0.0, 0.0]]
    assert found["initial/chosen"].tolist() == [[0.5, 0.0, 0.0], [4.0, 5.0, 0.0]]
    assert found["mask/chosen"].tolist() == [[True, False, False], [True, True, False]]
    assert found["column/weight"].tolist() == [0.0, 1.0]
    assert totals_of(plan, examples) == {"rows": 2.0, "tokens/chosen": 3.0, "column/weight": 1.0}
    assert tokens_of(examples) == 2 + 4 + 2 + 3


def test_stack_pads_on_the_right():
    assert stack([np.array([1.0]), np.array([2.0, 3.0])], 3).tolist() == [[1.0, 0.0, 0.0], [2.0, 3.0, 0.0]]


def test_judging_evaluations():
    train = Train(**train_section(metric_for_best_model="rewards/accuracies", early_stopping_patience=2))
    state = TrainerState()
    for step, value in enumerate([0.5, 0.75, 0.7, 0.75], start=1):
        state = note_best(dataclasses.replace(state, step=step), {"eval_rewards/accuracies": value}, train)
    assert state.best == {"step": 2, "value": 0.75}
    assert state.stopped_early
    assert note_best(TrainerState(), {}, Train(**train_section())) == TrainerState()


def test_losses_fall_and_the_rest_rises():
    assert not rises(Train(**train_section(metric_for_best_model="eval_loss")))
    assert rises(Train(**train_section(metric_for_best_model="rewards/margins")))
    assert rises(Train(**train_section(metric_for_best_model="loss", greater_is_better=True)))


def test_an_unknown_metric_names_the_known_ones():
    train = Train(**train_section(metric_for_best_model="bleu"))
    with pytest.raises(Failure, match="bleu") as caught:
        note_best(TrainerState(), {"eval_loss": 1.0}, train)
    assert "loss" in str(caught.value.help)


def test_a_card_carries_formula_and_spec_and_nothing_escapes():
    data = job_data("sft", Path("/r"), Path("/o"))
    data["name"] = 'a\n---\nevil: "yes"'
    data["formula"] = {"text": "L = -log p ```", "latex": r"\log p"}
    job = job_from(data)
    counts = Counts(rows=5, kept=4, refused=1, prompts_cut=2, completions_cut=0)
    text = card_text(job, counts, {"step": 3, "loss": 0.125}, data["spec"])
    front = text.split("\n---\n")[0]
    assert "evil" in front
    assert "\nevil" not in front
    assert "````text\nL = -log p ```\n````" in text
    assert "| loss | 0.125 |" in text
    assert "4 of 5 rows" in text
    assert json.dumps(data["spec"], indent=2) in text


def test_a_card_is_well_spaced_and_its_lines_read_the_model(tmp_path: Path):
    output = tmp_path / 'run "1" é'
    job = job_from(job_data("sft", Path("/r"), output))
    text = card_text(job, Counts(1, 1, 0, 0, 0), {"step": 3, "loss": 0.125}, {})
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith(("#", "| metric")) and i]
    assert len(starts) == 8
    assert all(lines[i - 1] == "" for i in starts)
    assert all(lines[i + 1] == "" for i in starts if lines[i].startswith("#"))
    assert lines[lines.index("| loss | 0.125 |") + 1] == ""
    assert "\n\n\n" not in text
    assign = next(line for line in lines if line.startswith("folder = "))
    assert ast.literal_eval(assign.removeprefix("folder = ")) == str(output / "model")
    assert "from_pretrained(folder)" in text


def test_fences_are_longer_than_what_they_hold():
    assert fenced("a", "x") == "```x\na\n```"
    assert fenced("````", "x").startswith("`````x")
