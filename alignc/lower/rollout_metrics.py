"""What a rollout logs of itself beside the loss's own metrics: names, meanings, and what is healthy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    """List what each step logs of its rollout; nothing for given data."""
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
                else "falls, as its weight is below 0"
                if weight < 0
                else "any, as it weighs nothing"
            )
            yield Logged(f"rewards/{name}/mean", "mean of this reward, before its weight", way)
    elif data.oracle is not None and data.opponent.kind == "mixture":
        meaning = "mean win rate against the opponent's responses"
        yield Logged("objective/scores", meaning, "near ½: the opponent learns too")
    if data.reward is not None or data.oracle is not None:
        meaning = "prompts whose responses are several, and all worth the same"
        few = "few: compared with one another, they teach nothing"
        yield Logged("rollout/degenerate_groups", meaning, few)


def _parts(data: Sampled) -> list[tuple[str, float]]:
    """Name the parts of a reward as a run does, each with its weight: namesakes are numbered from the second on."""
    listed = data.reward if isinstance(data.reward, list) else [data.reward]
    plain = [str(getattr(source, "name", None) or getattr(source, "kind", "")) for source in listed]
    counts = [plain[:place].count(name) for place, name in enumerate(plain)]
    names = [f"{name}#{count + 1}" if count else name for name, count in zip(plain, counts, strict=True)]
    return [(name, float(getattr(each, "weight", 1.0))) for name, each in zip(names, listed, strict=True)]


def _penalty(loss: Loss) -> Iterator[Logged]:
    found = loss.advantage
    if found is None or found.penalty is None:
        return
    worth = "win rate" if found.reward == "win_rate" else "reward"
    small = f"small beside the {worth}s' own differences"
    yield Logged("objective/non_score_reward", f"what the KL adds to a response's {worth}, on average", small)
    both = f"mean {worth}, what the KL adds to it included"
    yield Logged("objective/rlhf_reward", both, "rises")
    if found.adaptive is not None:
        yield Logged("objective/kl_coef", "β, as it follows objective/kl", "settles")


def _distance(data: Sampled, loss: Loss) -> Iterator[Logged]:
    """Describe the KL to the initial reference, where that is scored and the rows are a sample of the policy."""
    scored = "initial" in loss.models or data.opponent.kind == "mixture" or data.eval is not None
    selected = loss.view.convert == "best_worst" and data.completions_per_prompt > 2
    if not scored or selected:
        return
    adaptive = None if loss.advantage is None else loss.advantage.adaptive
    healthy = (
        "rises slowly and levels off" if adaptive is None else f"near its target, {adaptive['target']:g}"
    )
    meaning = "log π − log π_ref of the policy that sampled, summed over a response's tokens, in nat"
    yield Logged("objective/kl", meaning, healthy)


def _answers(data: Sampled) -> Iterator[Logged]:
    room = f"well below {data.max_new_tokens}, the most that there may be"
    yield Logged("completions/mean_length", "tokens of a response", room)
    yield Logged("completions/ended", "share of the responses that come to EOS", "near 1: the others are cut")
