"""The metrics of a rollout, in addition to the metrics of the loss: names, meanings and healthy values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alignc.contract.models import INITIAL
from alignc.contract.rewards import part_metric, part_names
from alignc.lower.loss import Loss
from alignc.spec.job import Job
from alignc.spec.rows import Sampled

__all__ = ["Logged", "rollout_metrics"]


@dataclass(frozen=True)
class Logged:
    """A number in every line of `metrics.jsonl`."""

    name: str
    meaning: str
    healthy: str


def rollout_metrics(job: Job, loss: Loss) -> tuple[Logged, ...]:
    """List the rollout metrics of each step; empty for given data."""
    data = job.data
    if not isinstance(data, Sampled):
        return ()
    return (*_worth(data), *_penalty(loss), *_distance(data, loss), *_answers(data))


def _worth(data: Sampled) -> Iterator[Logged]:
    if data.reward is not None:
        yield Logged("objective/scores", "mean reward of the responses", "rises")
        for name, weight in _parts(data):
            way = (
                "rises"
                if weight > 0
                else "falls, because its weight is negative"
                if weight < 0
                else "any value, because its weight is 0"
            )
            yield Logged(part_metric(name), "mean of this reward before weighting", way)
    elif data.oracle is not None and data.opponent.kind == "mixture":
        meaning = "mean win rate against the opponent's responses"
        yield Logged("objective/scores", meaning, "near ½, because the opponent also learns")
    if data.reward is not None or data.oracle is not None:
        meaning = "number of prompts whose several responses all have the same score"
        few = "few, because such prompts give no gradient"
        yield Logged("rollout/degenerate_groups", meaning, few)


def _parts(data: Sampled) -> list[tuple[str, float]]:
    """Name the parts of a reward as a run does, with their weights."""
    listed = data.reward if isinstance(data.reward, list) else [data.reward]
    sources = [source.model_dump() for source in listed if source is not None]
    return [(name, source["weight"]) for name, source in zip(part_names(sources), sources, strict=True)]


def _penalty(loss: Loss) -> Iterator[Logged]:
    found = loss.advantage
    if found is None or not found.penalty:
        return
    worth = "win rate" if found.reward == "win_rate" else "reward"
    small = f"small compared with the differences of the {worth}s"
    yield Logged("objective/non_score_reward", f"mean KL term in the {worth} of a response", small)
    both = f"mean {worth} including the KL term"
    yield Logged("objective/rlhf_reward", both, "rises")
    if found.adaptive is not None:
        yield Logged("objective/kl_coef", "β of the adaptive KL controller", "becomes stable")


def _distance(data: Sampled, loss: Loss) -> Iterator[Logged]:
    """Describe the KL to the initial reference, if it is scored and the rows are an unselected sample of the policy."""
    scored = INITIAL in loss.models or data.opponent.kind == "mixture" or data.eval is not None
    selected = loss.view.convert == "best_worst" and data.completions_per_prompt > 2
    if not scored or selected:
        return
    adaptive = None if loss.advantage is None else loss.advantage.adaptive
    healthy = (
        "rises slowly and then stays level" if adaptive is None else f"near its target, {adaptive.target:g}"
    )
    meaning = "log π − log π_ref of the rollout policy, summed over the tokens of a response, in nat"
    yield Logged("objective/kl", meaning, healthy)


def _answers(data: Sampled) -> Iterator[Logged]:
    room = f"well below the limit of {data.max_new_tokens}"
    yield Logged("completions/mean_length", "mean number of tokens per response", room)
    yield Logged(
        "completions/ended", "share of responses that end with EOS", "near 1; the other responses are cut"
    )
