"""The answers of the policy to prompts: sampled by all ranks, as tokens and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from ...contract.job import Job
from ..base.endings import end_ids, without_end
from ..data.batches import micro_batches
from ..data.example import Tokens
from ..data.prompts import Prompt
from ..ranks.shared import shared
from ..reward import Sample
from ..samplers.sampler import Sampler
from ..samplers.sampling import Sampling
from ..samplers.stops import stops_of
from ..scoring.context import Context

__all__ = ["Answers", "sample_answers", "sampling_of"]


@dataclass(frozen=True, eq=False)
class Answers:
    """One prompt and the answers to it: tokens (the end last where one was drawn), and the same as text without it."""

    prompt: Prompt
    completions: tuple[Tokens, ...]
    samples: tuple[Sample, ...]


def sampling_of(job: Job, tokenizer: Any) -> Sampling:
    """Take the settings of sampling out of a job."""
    data = job.prompts
    return Sampling(
        completions=data.completions_per_prompt,
        max_new_tokens=data.max_new_tokens,
        temperature=data.temperature,
        top_p=data.top_p,
        eos_ids=end_ids(tokenizer),
        pad_id=tokenizer.pad_token_id or 0,
        top_k=data.top_k,
        min_p=data.min_p,
        stops=stops_of(data.stop, tokenizer),
    )


def sample_answers(
    context: Context,
    sampler: Sampler,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    seed: int,
    mixture: tuple[nn.Module, float] | None = None,
) -> list[Answers]:
    """Sample the answers to some prompts, in their order, from the policy as it is.

    The ranks take prompts of like length in turn. A draw depends on the seed and the prompt's own row.
    """
    run, world = context.run, context.world
    sampler.refresh()
    size = run.job.spec.train.per_device_eval_batch_size
    order = sorted(range(len(prompts)), key=lambda place: (len(prompts[place].ids), place))

    def draw(places: list[int]) -> dict[int, tuple[Tokens, ...]]:
        asked = [prompts[place] for place in places]
        with context.layout.precision():
            groups = sampler(
                [prompt.ids for prompt in asked],
                [prompt.row for prompt in asked],
                sampling,
                seed=seed,
                batch_size=size * sampling.completions,
                each=partial(after_token, context),
                mixture=mixture,
            )
        return dict(zip(places, groups, strict=True))

    drawn = shared(run, world, micro_batches(order, size, world.rank, world.size), draw, "sampling")
    return [
        with_text(prompt, drawn[place], sampling, context.tokenizer) for place, prompt in enumerate(prompts)
    ]


def after_token(context: Context) -> None:
    """Count a sign of life, and stop where a signal came: one process at once, several together between pieces."""
    context.run.pulse.beat()
    if context.world.size == 1:
        context.run.stop.check()


def with_text(prompt: Prompt, completions: tuple[Tokens, ...], sampling: Sampling, tokenizer: Any) -> Answers:
    """Write completions as text, for the reward sources."""
    ended = [sampling.ended(ids) for ids in completions]
    samples = tuple(
        Sample(
            prompt=prompt.text,
            completion=tokenizer.decode(without_end(ids, sampling.eos_ids), skip_special_tokens=True),
            origin=prompt.origin,
            number=number,
            fields=prompt.fields,
            ended=ended[number],
        )
        for number, ids in enumerate(completions)
    )
    return Answers(prompt, completions, samples)
