from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from alignc.contract.failure import Failure
from alignc.contract.needs import Advantage, Baseline, LossNeeds, WinRateBaseline
from alignc.runtime.data.prompts import Prompt
from alignc.runtime.reward import Sample, Scores
from alignc.runtime.rollout.answers import Answers
from alignc.runtime.rollout.metrics import answer_metrics, rollout_metrics
from alignc.runtime.rollout.rows import extremes, rows_of, soft_mean
from alignc.runtime.rollout.scores import AnswerScores, RewardSources, against, degenerate, payer
from alignc.runtime.rollout.token_columns import mask_of, penalties_of, with_token_columns
from alignc.runtime.scoring.micro import column_tensor, totals_of


def plan(**changes: Any) -> LossNeeds:
    lists = ("anchors", "columns", "outputs", "statistic_responses", "loss_responses")
    known: dict[str, Any] = {name: [] for name in lists}
    known |= {
        "responses": ["completions"],
        "statistics": {},
        "convert": None,
        "totals": ["rows"],
        "coupled": False,
    }
    return LossNeeds(**(known | {"metrics": [], "step0": {}} | changes))


def answers(lengths: list[int], row: int = 0, demonstration: list[int] | None = None) -> Answers:
    """Answers to one prompt: the n-th one is the token n + 1, so often as its length says; odd ones have ended."""
    own = None if demonstration is None else np.array(demonstration, dtype=np.int32)
    prompt = Prompt(row, f"prompts.jsonl:{row + 1}", np.array([9, 9], dtype=np.int32), "p", {}, own)
    samples = [Sample("p", f"c{n}", prompt.origin, n, {}, ended=n % 2 == 1) for n in range(len(lengths))]
    texts = [np.full(length, n + 1, dtype=np.int32) for n, length in enumerate(lengths)]
    return Answers(prompt, tuple(texts), tuple(samples))


def tokens(row: Any) -> list[list[int]]:
    return [response.tolist() for response in row.responses]


def test_a_group_keeps_all_answers_and_bears_a_number_for_each():
    scores = AnswerScores(rewards=[(1.0, 2.0), (3.0, 4.0)])
    made = rows_of(plan(columns=["reward/completions"]), [answers([2, 3], 7), answers([1, 1], 4)], scores)
    assert [row.row for row in made] == [0, 1]
    assert [row.origin for row in made] == ["prompts.jsonl:8", "prompts.jsonl:5"]
    assert tokens(made[0]) == [[1, 1], [2, 2, 2]]
    assert made[1].columns == {"reward/completions": (3.0, 4.0)}


def test_the_best_and_the_worst_of_a_group_make_a_pair():
    pairs = plan(
        responses=["chosen", "rejected"], convert="best_worst", columns=["reward/chosen", "reward/rejected"]
    )
    (row,) = rows_of(pairs, [answers([1, 2, 3])], AnswerScores(rewards=[(0.5, -1.0, 2.0)]))
    assert tokens(row) == [[3, 3, 3], [2, 2]]
    assert row.columns == {"reward/chosen": 2.0, "reward/rejected": -1.0}


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1.0, 1.0), (0, 1)), ((1.0, 1.0, 1.0), (0, 2)), ((0.0, 2.0, 2.0), (1, 0)), ((2.0, 0.0, 0.0), (0, 2))],
)
def test_ties_go_to_the_first_as_best_and_to_the_last_as_worst(
    values: tuple[float, ...], expected: tuple[int, int]
):
    assert extremes(values) == expected


def test_pairs_are_ranked_by_win_rates_where_the_loss_reads_them():
    both = AnswerScores(rewards=[(1.0, 0.0)], win_rates=[(0.2, 0.8)])
    pairs = plan(responses=["chosen", "rejected"], convert="best_worst")
    assert tokens(rows_of(pairs, [answers([1, 1])], both)[0]) == [[1], [2]]
    pairs = plan(responses=["chosen", "rejected"], convert="best_worst", columns=["win_rate/chosen"])
    (row,) = rows_of(pairs, [answers([1, 1])], both)
    assert (tokens(row), row.columns) == ([[2], [1]], {"win_rate/chosen": 0.8})
    alone = AnswerScores(win_rates=[(0.2, 0.8)])
    assert tokens(rows_of(plan(responses=["a", "b"], convert="best_worst"), [answers([1, 1])], alone)[0]) == [
        [2],
        [1],
    ]


def test_a_demonstration_is_chosen_over_a_sample():
    pairs = plan(responses=["chosen", "rejected"], convert="demonstration")
    (row,) = rows_of(pairs, [answers([2], demonstration=[5, 6])], AnswerScores())
    assert tokens(row) == [[5, 6], [1, 1]]
    with pytest.raises(Failure, match=r"prompts.jsonl:1 has no completion"):
        rows_of(pairs, [answers([2])], AnswerScores())


def test_an_unknown_column_is_refused():
    with pytest.raises(Failure, match=r"no column `margin`"):
        rows_of(plan(columns=["margin"]), [answers([1, 1])], AnswerScores(rewards=[(0.0, 1.0)]))


def test_the_log_partition_is_that_of_the_prompts_own_answers():
    # (1/2)·log((e^0.5 + e^1.5)/2), by hand
    assert soft_mean([0.25, 0.75], 2.0) == pytest.approx(math.log((math.exp(0.5) + math.exp(1.5)) / 2) / 2)
    assert soft_mean([0.1, 0.9], 1e3) == pytest.approx(0.9 - math.log(2) / 1e3)  # no overflow
    rates = AnswerScores(win_rates=[(0.25, 0.75, 0.5), (0.5, 0.5, 0.5)])
    two = WinRateBaseline("log_partition", eta=2.0, samples=2)
    made = rows_of(plan(columns=["log_partition"], baseline=two), [answers([1, 1, 1])] * 2, rates)
    assert made[0].columns["log_partition"] == pytest.approx(soft_mean([0.25, 0.75], 2.0))
    assert made[1].columns["log_partition"] == pytest.approx(0.5)
    every = WinRateBaseline("log_partition", eta=2.0)
    made = rows_of(plan(columns=["log_partition"], baseline=every), [answers([1, 1, 1])] * 2, rates)
    assert made[0].columns["log_partition"] == pytest.approx(soft_mean([0.25, 0.75, 0.5], 2.0))


def test_the_batch_mean_is_over_all_answers_of_the_rollout():
    rates = AnswerScores(win_rates=[(0.2, 0.4), (0.6, 1.0)])
    mean = WinRateBaseline("batch_mean", eta=1.0)
    made = rows_of(plan(columns=["batch_mean"], baseline=mean), [answers([1, 1])] * 2, rates)
    assert [row.columns["batch_mean"] for row in made] == [pytest.approx(0.55)] * 2


def test_tokens_are_counted_over_all_answers_of_a_group():
    made = rows_of(plan(), [answers([2, 3]), answers([4, 1])], AnswerScores())
    assert totals_of(plan(totals=["rows", "tokens/completions"]), made) == {
        "rows": 2.0,
        "tokens/completions": 10.0,
    }


def test_columns_of_tokens_come_from_rewards_less_penalties():
    wanted = Advantage("reward", True, "token", Baseline("none"), 1.0, 1.0, whiten=False)
    made = plan(token_columns=["advantage/completions"], advantage=wanted)
    rows = rows_of(made, [answers([1, 2]), answers([2, 1])], AnswerScores(rewards=[(1.0, 2.0), (3.0, 4.0)]))
    mask = mask_of(rows)
    assert mask.tolist() == [[[True, False], [True, True]], [[True, True], [True, False]]]
    anchors = {
        "rollout": [(np.array([-1.0]), np.array([-2.0, -3.0])), (np.array([-1.0, -1.0]), np.array([0.0]))],
        "initial": [(np.array([-1.5]), np.array([-2.0, -4.0])), (np.array([-1.0, -1.0]), np.array([0.0]))],
    }
    charged = penalties_of(
        made, lambda batch: batch["rollout/completions"] - batch["initial/completions"], anchors, mask
    )
    assert charged is not None
    assert charged.tolist() == [[[0.5, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]
    scores = AnswerScores(rewards=[(1.0, 2.0), (3.0, 4.0)])
    weighed = with_token_columns(made, rows, [{}, {}], scores, charged)
    column: Any = [row.columns["advantage/completions"] for row in weighed]
    assert [[each.tolist() for each in row] for row in column] == [[[0.5], [1.0, 1.0]], [[3.0, 3.0], [4.0]]]
    assert column_tensor(column, mask).tolist() == [[[0.5, 0.0], [1.0, 1.0]], [[3.0, 3.0], [4.0, 0.0]]]
    said = rollout_metrics(made, [answers([1, 2]), answers([2, 1])], scores, rows, anchors, charged)
    assert said["objective/kl"] == pytest.approx(1.5 / 4)
    assert said["objective/non_score_reward"] == pytest.approx(-1.5 / 4)
    assert said["objective/rlhf_reward"] == pytest.approx(2.5 - 1.5 / 4)


def test_values_of_the_critic_are_kept_as_the_old_ones():
    made = plan(token_columns=["old_value/completions"])
    rows = rows_of(made, [answers([2, 1])], AnswerScores())
    values = (np.array([0.25, 0.5], dtype=np.float32), np.array([-1.0], dtype=np.float32))
    (row,) = with_token_columns(made, rows, [{"logps": values, "token_value": values}], AnswerScores(), None)
    column: Any = row.columns["old_value/completions"]
    assert [each.tolist() for each in column] == [[0.25, 0.5], [-1.0]]


def test_what_is_said_of_answers():
    scores = AnswerScores(rewards=[(1.0, 1.0), (0.0, 4.0)], parts={"length": [(1.0, 0.0), (0.0, 1.0)]})
    said = answer_metrics([answers([1, 2]), answers([4, 1])], scores)
    assert said == {
        "objective/scores": 1.5,
        "rewards/length/mean": 0.5,
        "rollout/degenerate_groups": 1.0,
        "completions/mean_length": 2.0,
        "completions/ended": 0.5,
    }


def test_win_rates_are_scores_against_an_opponent_alone():
    of_one_group = answer_metrics([answers([1, 1])], AnswerScores(win_rates=[(0.25, 0.75)]))
    assert "objective/scores" not in of_one_group
    assert of_one_group["rollout/degenerate_groups"] == 0.0
    against_others = AnswerScores(win_rates=[(0.25, 0.5)], abroad=True)
    assert answer_metrics([answers([1, 1])], against_others)["objective/scores"] == 0.375


def test_selected_answers_are_no_sample_to_estimate_a_kl_by():
    one = [(np.array([-1.0]), np.array([-3.0]))]
    anchors = {"rollout": one, "initial": [(np.array([-2.0]), np.array([-2.0]))]}
    kept = {"scores": AnswerScores(rewards=[(1.0, 0.0)]), "anchors": anchors, "penalties": None}
    of_two, of_three = [answers([1, 1])], [answers([1, 1, 1])]
    pair = plan(responses=["chosen", "rejected"], convert="best_worst")
    rows = rows_of(pair, of_two, kept["scores"])
    assert rollout_metrics(pair, of_two, rows=rows, **kept)["objective/kl"] == 0.0  # (1 − 1)/2
    assert "objective/kl" not in rollout_metrics(pair, of_three, rows=rows, **kept)
    own = plan(responses=["chosen", "rejected"], convert="demonstration")
    assert rollout_metrics(own, [answers([1])], rows=rows, **kept)["objective/kl"] == -1.0  # the sample alone


def test_groups_of_equal_worth_are_counted():
    assert degenerate([(1.0, 1.0), (0.0, 1.0), (2.0, 2.0, 2.0)]) == 2
    assert degenerate([(1.0,)]) == 0


def test_an_answer_that_was_cut_gets_what_the_job_says():
    class Ones:
        def __call__(self, samples: Any) -> Scores:
            return Scores([float(sample.number) for sample in samples], {"x": [5.0] * len(samples)})

    found = payer(Ones(), [answers([1, 1]), answers([1, 1, 1])], -9.0)([1, 0])  # type: ignore[arg-type]
    assert found == {1: {"": (-9.0, 1.0, -9.0), "x": (5.0, 5.0, 5.0)}, 0: {"": (-9.0, 1.0), "x": (5.0, 5.0)}}
    assert RewardSources(None, None).missing_eos_reward is None


def test_answers_play_against_every_answer_of_the_opponent():
    chances = {("c0", "c0"): 0.5, ("c0", "c1"): 0.9, ("c1", "c0"): 0.1, ("c1", "c1"): 0.7}

    def oracle(pairs: Any) -> list[float]:
        return [chances[one.completion, other.completion] for one, other in pairs]

    (found,) = against(oracle, [answers([1, 1])], [answers([1, 1])])  # type: ignore[arg-type]
    assert found == pytest.approx((0.7, 0.4))
