"""Batches of token rows: packed into one stream with shared prompts, or padded.

Both layouts tell the scorer the same: which hidden states predict which targets, and where the answers go.
A response's last token is only ever a target, so it is no input. The first token of *each* response is
predicted from the last token of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.example import Example
from ..kernels.attention import Segments

__all__ = ["Batch", "pack", "pad", "unpacked"]


@dataclass(frozen=True)
class Batch:
    """The inputs of a forward ``[B, S]``, N tokens to score, and their places in an answer ``[rows, k, T]``."""

    input_ids: Tensor  # [B, S]
    position_ids: Tensor | None  # [B, S], packed only: they restart after the prompt for every response
    attention_mask: Tensor | None  # [B, S], padded only
    segments: Segments | None  # packed only
    score_at: Tensor  # [N] places in the flattened input whose hidden state predicts a target
    targets: Tensor  # [N] token ids
    slots: Tensor  # [N] places in the flattened answer
    mask: Tensor  # [rows, k, T] bool: where a response has a token

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        moved: dict[str, Any] = {name: x.to(device) for name, x in values if isinstance(x, Tensor)}
        return replace(self, **moved)


def pack(examples: Sequence[Example], device: torch.device | str = "cpu") -> Batch:
    """Lay rows out as one stream ``[1, S]`` without padding; a row's responses share its prompt's tokens."""
    # A row with the prompt p0 p1 p2 and the responses a0 a1 and b0 b1 b2 becomes this stream of 6 inputs:
    #   input_ids     p0 p1 p2 a0 b0 b1      the last token of a response is a target alone
    #   position_ids   0  1  2  3  3  4      each response goes on where the prompt ends
    #   score_at             2  3             for a0 and a1: the inputs p2 and a0 predict them
    #                        2     4  5       for b0, b1 and b2: the inputs p2, b0 and b1
    #   segments      (3, 1, 2)
    tokens, positions, score_at = [], [], []
    segments, at = [], 0
    for example in examples:
        start, at = at + len(example.prompt) - 1, at + len(example.prompt)
        tokens.append(example.prompt)
        positions.append(np.arange(len(example.prompt)))
        for response in example.responses:
            inputs = response[:-1]
            tokens.append(inputs)
            positions.append(len(example.prompt) + np.arange(len(inputs)))
            score_at += [np.array([start]), at + np.arange(len(inputs))]
            at += len(inputs)
        segments.append((len(example.prompt), *(len(response) - 1 for response in example.responses)))
    return Batch(
        input_ids=_integers(tokens)[None],
        position_ids=_integers(positions)[None],
        attention_mask=None,
        segments=tuple(segments),
        score_at=_integers(score_at),
        **_answers(examples),
    ).to(device)


def pad(examples: Sequence[Example], device: torch.device | str = "cpu", pad_id: int = 0) -> Batch:
    """Lay every response out with its own copy of the prompt, padded on the right to ``[responses, S]``."""
    sequences = [
        np.concatenate([example.prompt, response[:-1]])
        for example in examples
        for response in example.responses
    ]
    prompts = [len(example.prompt) for example in examples for _ in example.responses]
    longest = max(map(len, sequences))
    inputs = np.full((len(sequences), longest), pad_id)
    for line, sequence in zip(inputs, sequences, strict=True):
        line[: len(sequence)] = sequence
    lengths = np.array([len(sequence) for sequence in sequences])
    spans = zip(range(len(sequences)), prompts, lengths, strict=True)
    return Batch(
        input_ids=torch.from_numpy(inputs),
        position_ids=None,
        attention_mask=torch.from_numpy((np.arange(longest) < lengths[:, None]).astype(np.int64)),
        segments=None,
        score_at=_integers(line * longest + np.arange(prompt - 1, length) for line, prompt, length in spans),
        **_answers(examples),
    ).to(device)


def unpacked(batch: Batch) -> Batch:
    """Lay the rows of a stream out padded, each response with its prompt: for a model that can't read the stream.

    Targets, slots and mask stay as they are.
    """
    assert batch.segments is not None
    stream, at = batch.input_ids[0], 0
    sequences, places = [], []
    for prompt, *responses in batch.segments:
        first, at = stream[at : at + prompt], at + prompt
        for length in responses:
            sequences.append(torch.cat([first, stream[at : at + length]]))
            places.append((prompt - 1, prompt + length))
            at += length
    inputs = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=inputs.device)
    longest = inputs.shape[1]
    score_at = [line * longest + torch.arange(*span) for line, span in enumerate(places)]
    return replace(
        batch,
        input_ids=inputs,
        position_ids=None,
        attention_mask=(torch.arange(longest, device=inputs.device) < lengths[:, None]).long(),
        segments=None,
        score_at=torch.cat(score_at).to(inputs.device),
    )


def _answers(examples: Sequence[Example]) -> dict[str, Tensor]:
    """Return the targets, their slots and the mask, all in the order row, response, token."""
    lengths = [[len(response) for response in example.responses] for example in examples]
    width, longest = max(map(len, lengths)), max(max(row) for row in lengths)
    mask = np.zeros((len(examples), width, longest), dtype=bool)
    for row, responses in enumerate(lengths):
        for number, length in enumerate(responses):
            mask[row, number, :length] = True
    return {
        "targets": _integers(response for example in examples for response in example.responses),
        "slots": torch.from_numpy(np.flatnonzero(mask)),
        "mask": torch.from_numpy(mask),
    }


def _integers(pieces: Iterable[NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.concatenate(list(pieces)).astype(np.int64))
