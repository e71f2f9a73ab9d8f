"""Before a model is trusted, it scores one short batch as plain transformers does, and as a run will.

The probe compares numbers, so that no list of architectures is kept: each response alone through ``model(...).logits``
against padded rows with our head, and against packed rows that share a prompt. What differs falls back to what does
not: padded rows, or the model's own head. Where that differs too, the job stops. It takes a few forwards of at most 24
tokens, without autocast, on the model as it is wrapped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...contract.failure import Failure
from ..data.example import Example, Tokens
from ..kernels.attention import backbone_of, causal_lm, packing_fault, takes_packed, use_packed
from ..kernels.heads import head_rule, set_rule
from ..kernels.tiles import LogitRule
from ..kernels.watch import watching
from .layout import Batch, pack, pad
from .scorer import Scorer, hidden_states, laid

__all__ = ["TOLERANCE", "Verdict", "probe", "probe_backbone", "short_rows", "use"]

TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-4}
"""The most that two log-probabilities of a token may differ, in nat, or as a share of those above 1 nat.

Norms compute in float32 within float64 models. Every other type has eight bits or eleven, and 0.1.
"""
NARROW = 0.1
PROMPT, RESPONSE = 14, 8
WAYS_OUT = "try `model: {attn_implementation: eager}` or `dtype: float32`, or choose another architecture"


@dataclass(frozen=True)
class Verdict:
    """How a model is scored: packed rows or padded ones, the rule of its head (None: its own code), and why."""

    packed: bool
    rule: LogitRule | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return dataclasses.asdict(self)


def use(model: nn.Module, verdict: Verdict, *, scalar: bool = False) -> None:
    """Score a model as a verdict says from now on; a ``scalar`` model has no rule of logits."""
    if not scalar:
        set_rule(causal_lm(model), verdict.rule)
    if verdict.packed:
        use_packed(model)


def probe(model: nn.Module, examples: Sequence[Example] = (), *, packing: bool = True) -> Verdict:
    """Compare a language model's log-probabilities by plain transformers with ours, and say how to score it.

    ``examples`` are rows of the data, cut short here; without any, rows are made of the vocabulary. The model may carry
    an adapter, or quantized weights. It is left as it was: `use` follows the verdict. Failure E607 where no way of
    scoring gives the model's own numbers, or where it sees the tokens that it is to predict.
    """
    base = causal_lm(model)
    rows = short_rows(examples, base.config.get_text_config())
    with as_plain(model) as device:
        limit = tolerance(next(model.parameters()).dtype)
        try:
            alone = plain_log_probs(model, rows, device)
            rule, notes = fitting_head(model, pad(rows, device), alone, limit)
        except Failure:
            raise
        except Exception as problem:  # a forward may raise anything
            raise unreadable(base, problem) from problem
        packed, why = fitting_layout(model, rows, device, alone, limit, packing)
    return Verdict(packed, rule, (*notes, *why))


def probe_backbone(model: nn.Module, examples: Sequence[Example] = ()) -> Verdict:
    """Compare the hidden states of packed rows with those of each alone: for reward models and critics."""
    base = causal_lm(model)
    if not takes_packed(model):
        return Verdict(False, None)
    rows = short_rows(examples, base.config.get_text_config())
    with as_plain(model) as device:
        alone = [plain_hidden(base, ids) for ids in sequences(rows, device)]
        expected = torch.cat([x[0, len(e.prompt) - 1 : -1] for e, x in of_rows(rows, alone)])
        limit = tolerance(next(model.parameters()).dtype) * float(expected.abs().max())
        sums = partial(sums_of, base)
        noise = influence(sums, pad, rows, device)
        back, batch = use_packed(model), pack(rows, device)
        good = seen_fault(base, batch) is None
        if good:
            off = float((hidden_states(backbone_of(base), batch) - expected).abs().max())
            good = off <= limit and influence(sums, pack, rows, device) <= 8 * noise
        back()
    return Verdict(good, None)


def sums_of(base: Any, batch: Batch) -> Tensor:
    """Sum the hidden state of every scored token ``[rows, k, T]``: a number that moves when any of it moves."""
    return laid(hidden_states(backbone_of(base), batch).double().sum(-1), batch)


def short_rows(examples: Sequence[Example], config: Any) -> list[Example]:
    """Cut two rows short, each with two responses: what is compared must hold a shared prompt and another row."""
    words = int(config.vocab_size)
    known = [e for e in examples if len(e.responses) and fits(e, words)][:2]
    while len(known) < 2:
        known.append(made_up(len(known), words))
    most = getattr(config, "max_position_embeddings", None)
    room = PROMPT + RESPONSE if not isinstance(most, int) or most < 4 else min(most, PROMPT + RESPONSE)
    answers = max(1, min(RESPONSE, room // 2))
    spare = [response for e in reversed(known) for response in e.responses]
    return [
        Example(
            place,
            e.origin,
            e.prompt[-(room - answers) :],
            tuple(r[: answers - i] for i, r in enumerate((*e.responses, spare[place])[:2])),
        )
        for place, e in enumerate(known)
    ]


def fits(example: Example, words: int) -> bool:
    """Tell whether a row's ids lie within the vocabulary."""
    return all(int(ids.max()) < words for ids in (example.prompt, *example.responses))


def made_up(number: int, words: int) -> Example:
    """Make a row of ids that lie all over the vocabulary."""
    draw = np.random.default_rng(number)
    prompt, *responses = (draw.integers(0, words, n).astype(np.int32) for n in (PROMPT, RESPONSE, RESPONSE))
    return Example(number, "made up", prompt, tuple(responses))


@contextmanager
def as_plain(model: nn.Module) -> Iterator[torch.device]:
    """Score without gradient, dropout or autocast for a while."""
    device, training = next(model.parameters()).device, model.training
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield device
    finally:
        model.train(training)


def sequences(rows: Sequence[Example], device: torch.device) -> list[Tensor]:
    """List each response behind its prompt ``[1, S]``."""
    whole = [np.concatenate([e.prompt, r]).astype(np.int64) for e in rows for r in e.responses]
    return [torch.from_numpy(ids)[None].to(device) for ids in whole]


def of_rows(rows: Sequence[Example], values: Sequence[Tensor]) -> Iterator[tuple[Example, Tensor]]:
    """Pair the values of responses with the rows that they are of."""
    return zip([e for e in rows for _ in e.responses], values, strict=True)


def plain_log_probs(model: nn.Module, rows: Sequence[Example], device: torch.device) -> Tensor:
    """Score each response alone by the model itself: the log-probability of every token, one after another."""
    inputs = sequences(rows, device)
    scores = [plain_logits(model, ids).log_softmax(-1) for ids in inputs]
    refuse_later_tokens(model, inputs[0], scores[0])
    pairs = zip(of_rows(rows, scores), inputs, strict=True)
    return torch.cat(
        [
            logps[len(e.prompt) - 1 : -1].gather(1, ids[0, len(e.prompt) :, None])[:, 0]
            for (e, logps), ids in pairs
        ]
    )


def plain_logits(model: nn.Module, ids: Tensor) -> Tensor:
    """Call a model as anyone would: logits ``[S, V]`` in float32 (float64)."""
    logits: Tensor = model(input_ids=ids, use_cache=False).logits[0]
    return logits if logits.dtype == torch.float64 else logits.float()


def refuse_later_tokens(model: nn.Module, ids: Tensor, before: Tensor) -> None:
    """Stop where another last token changes what is said of the tokens before it (Failure E607)."""
    other = ids.clone()
    other[0, -1] = ids[0, 0] if ids[0, 0] != ids[0, -1] else (ids[0, 0] + 1) % before.shape[1]
    after = plain_logits(model, other).log_softmax(-1)
    off = float((after - before)[:-1].abs().max())
    dtype = next(model.parameters()).dtype
    rounding = min(tolerance(dtype), 32 * torch.finfo(dtype).eps if dtype.is_floating_point else NARROW)
    if not off <= rounding * max(1.0, float(before[:-1].abs().max())):
        name = type(causal_lm(model)).__name__
        raise Failure(
            "E607",
            f"{name} is no causal language model here: a later token changes an earlier prediction by {off:.3g} nat",
            why="its log-probabilities are of tokens that it has seen",
            help="choose a decoder, or set `is_decoder: true` in its config.json if it was trained as one",
        )


def fitting_head(
    model: nn.Module, batch: Batch, alone: Tensor, limit: float
) -> tuple[LogitRule | None, tuple[str, ...]]:
    """Find the head that gives the model's own numbers on padded rows. Failure E607 where neither does."""
    base = causal_lm(model)
    rule, notes = head_rule(base), tuple[str, ...]()
    name = type(base).__name__
    found = ours(model, batch)
    if rule is not None and not apart(found, alone) <= limit:
        notes = (f"{name}: its head differs from ours by {apart(found, alone):.2g} nat",)
        set_rule(base, None)
        found = ours(model, batch)
        rule = None
    if rule is None:
        notes = (*notes, f"{name}: its own code makes the logits of scored tokens, a chunk at a time")
    if not apart(found, alone) <= limit:
        place = int((found - alone).abs().argmax())
        raise Failure(
            "E607",
            f"{name} gives a token the log-probability {float(alone[place]):.6g} alone, and "
            f"{float(found[place]):.6g} in a batch of padded rows",
            why=f"this is more than the tolerance of {limit:g} nat, so no loss over its rows would be right",
            help=WAYS_OUT,
        )
    return rule, notes


def fitting_layout(
    model: nn.Module,
    rows: Sequence[Example],
    device: torch.device,
    alone: Tensor,
    limit: float,
    packing: bool,
) -> tuple[bool, tuple[str, ...]]:
    """Tell whether packed rows give the model's own numbers, and why not."""
    base = causal_lm(model)
    name = type(base).__name__
    if not packing:
        return False, ()
    if (fault := packing_fault(model)) is not None:
        return False, (f"{name}: rows are padded: {fault}",)
    noise = influence(partial(scored, model), pad, rows, device)
    back = use_packed(model)
    try:
        batch = pack(rows, device)
        fault = seen_fault(base, batch)
        if fault is None:
            off = apart(ours(model, batch), alone)
            fault = None if off <= limit else f"packed rows differ from rows alone by {off:.2g} nat"
        if fault is None:
            leak = influence(partial(scored, model), pack, rows, device)
            fault = None if leak <= 8 * noise else "a packed row changes what is said of another"
    except Exception as problem:  # a layer that can't take positions or segments may raise anything
        fault = f"it can't read packed rows ({type(problem).__name__})"
    finally:
        back()
    return fault is None, () if fault is None else (f"{name}: rows are padded: {fault}",)


def influence(
    score: Callable[[Batch], Tensor],
    lay_out: Callable[[Sequence[Example], torch.device], Batch],
    rows: Sequence[Example],
    device: torch.device,
) -> float:
    """Measure how far the numbers of a response move when all tokens that it must not see are others.

    Without a leak this is exactly 0, however small a model's weights are; where experts share a batch, rounding moves.
    """
    first, second = rows
    whole = score(lay_out(rows, device))
    later = [
        dataclasses.replace(first, responses=(first.responses[0], changed(first.responses[1]))),
        replaced(second),
    ]
    before = [
        replaced(first),
        dataclasses.replace(second, responses=(changed(second.responses[0]), second.responses[1])),
    ]
    ends = score(lay_out(later, device))[0, 0] - whole[0, 0]
    begins = score(lay_out(before, device))[1, 1] - whole[1, 1]
    return float(torch.stack([ends.abs().max(), begins.abs().max()]).max())


def replaced(example: Example) -> Example:
    """Put other tokens in the place of all of a row's."""
    responses = tuple(changed(response) for response in example.responses)
    return dataclasses.replace(example, prompt=changed(example.prompt), responses=responses)


def changed(ids: Tokens) -> Tokens:
    """Turn tokens around, and move the first one: the ids stay within the vocabulary."""
    other = ids[::-1].copy()
    return other if len(ids) > 1 and bool((other != ids).any()) else np.maximum(ids - 1, 0) + (ids == 0)


def seen_fault(base: Any, batch: Batch) -> str | None:
    """Look at the calls of attention, of a plain row and of a packed stream; say which condition is not kept."""
    with watching() as plain:
        plain_hidden(base, batch.input_ids[:, : sum(batch.segments[0][:2]) if batch.segments else None])
    with watching() as stream:
        hidden_states(backbone_of(base), batch)
    return plain.fault() or stream.leak()


def plain_hidden(base: Any, ids: Tensor) -> Tensor:
    """Return the last hidden states of a plain row."""
    hidden: Tensor = backbone_of(base)(input_ids=ids, use_cache=False).last_hidden_state
    return hidden


def scored(model: nn.Module, batch: Batch) -> Tensor:
    """Score a batch as a run does: log-probabilities ``[rows, k, T]``."""
    found: Tensor = Scorer(model)(batch)
    return found


def ours(model: nn.Module, batch: Batch) -> Tensor:
    """Score a batch as a run does: the log-probability of every token, one after another."""
    return scored(model, batch)[batch.mask]


def apart(found: Tensor, expected: Tensor) -> float:
    """Return how far log-probabilities are from the expected ones; of those above 1 nat as a share."""
    return float(((found - expected).abs() / expected.abs().clamp_min(1.0)).max())


def tolerance(dtype: torch.dtype) -> float:
    """Give the most that log-probabilities may differ in a type."""
    return TOLERANCE.get(dtype, NARROW)


def unreadable(base: Any, problem: Exception) -> Failure:
    """Say that a model can't score a row of text."""
    said = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    return Failure(
        "E607",
        f"{type(base).__name__} can't score a row of tokens: {type(problem).__name__}: {said}",
        why="`model(input_ids=…).logits` must give one number for each token and each word",
        help="choose a language model that reads text alone",
    )
