"""The variants of a DPO step: TRL stock and tuned, each with and without its CPU head fixed, and alignc's."""

from __future__ import annotations

import copy
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
import transformers
import trl.trainer.utils as trl_utils
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from workload import Shape

from alignc.runtime.data.example import Example
from alignc.runtime.kernels.attention import use_packed
from alignc.runtime.kernels.logprobs import token_log_probs
from alignc.runtime.scoring.layout import Batch, pack
from alignc.runtime.scoring.scorer import Scorer

BETA, LEARNING_RATE, MAX_GRAD_NORM = 0.1, 1e-4, 1.0


class Variant(ABC):
    """One trainer with its own copy of the model; a step collates, descends and returns the loss."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def backward(self, rows: list[int]) -> float:
        """Collate the rows, compute the loss and leave its gradient."""

    def step(self, rows: list[int]) -> tuple[float, float]:
        """Take one step; return the loss and the gradient's norm."""
        loss = self.backward(rows)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss, norm.item()


class Ours(Variant):
    """Packed stream, shared prompts, fused head; the reference from a cache or run at every step."""

    def __init__(self, shape: Shape, examples: list[Example], *, cached: bool) -> None:
        self.examples = examples
        self.model = self._scorer(shape)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True
        )
        self.reference = None if cached else self._scorer(shape).requires_grad_(False)
        self.cache = [self._remember(example) for example in examples] if cached else None

    @staticmethod
    def _scorer(shape: Shape) -> Scorer:
        model = shape.model()
        use_packed(model)
        return Scorer(model)

    @torch.no_grad()
    def _remember(self, example: Example) -> torch.Tensor:
        batch = pack([example])
        return self.model(batch)[batch.mask]

    def backward(self, rows: list[int]) -> float:
        batch = pack([self.examples[row] for row in rows])
        policy, initial = self.model(batch), self._initial(batch, rows)
        logratios = ((policy.double() - initial.double()) * batch.mask).sum(-1)
        loss = -F.logsigmoid(BETA * (logratios[:, 0] - logratios[:, 1])).mean()
        loss.backward()
        return loss.item()

    @torch.no_grad()
    def _initial(self, batch: Batch, rows: list[int]) -> torch.Tensor:
        if self.cache is None:
            return self.reference(batch)
        known = torch.cat([self.cache[row] for row in rows])
        return torch.zeros(batch.mask.shape).masked_scatter_(batch.mask, known)


class _Tokenized(DPOTrainer):
    """TRL's trainer on rows that are token ids already."""

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset


class Trl(Variant):
    """TRL's own collator, training step and optimizer; float32, as everything here."""

    def __init__(self, shape: Shape, examples: list[Example], *, tuned: bool, fixed: bool) -> None:
        self.patch = fixed_head if fixed else ExitStack
        self.model = shape.model()
        # Where the reference is not precomputed it is a copy, as TRL makes one from the hub.
        reference = None if tuned else copy.deepcopy(self.model)
        with self.patch():
            self.trainer = _Tokenized(
                self.model,
                reference,
                self._config(tuned),
                train_dataset=_table(examples),
                processing_class=transformers.ByT5Tokenizer(),
            )
        if self.trainer.args.gradient_checkpointing:  # as Trainer.train does before its loop
            self.model.activation_checkpointing_enable(self.trainer.args.gradient_checkpointing_kwargs)
        self.trainer.current_gradient_accumulation_steps = 1
        self.optimizer = self.trainer.create_optimizer()

    @staticmethod
    def _config(tuned: bool) -> DPOConfig:
        changes = {"precompute_ref_log_probs": True, "gradient_checkpointing": False} if tuned else {}
        return DPOConfig(
            tempfile.mkdtemp(),
            beta=BETA,
            learning_rate=LEARNING_RATE,
            bf16=False,
            use_cpu=True,
            max_length=None,
            report_to=[],
            **changes,
        )

    def backward(self, rows: list[int]) -> float:
        batch = self.trainer.data_collator([self.trainer.train_dataset[row] for row in rows])
        with self.patch():
            return self.trainer.training_step(self.model, batch).item()


def _table(examples: list[Example]) -> Dataset:
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    rows = [(example.prompt, *example.responses) for example in examples]
    return Dataset.from_list([dict(zip(names, map(np.ndarray.tolist, row), strict=True)) for row in rows])


class _FixedHead:
    """alignc's fused head under the signature of TRL's, without the statistics that TRL logs (to TRL's advantage)."""

    @staticmethod
    def apply(hidden, weight, bias, targets, temperature, chunk_size, softcap, scale, outputs):
        assert (temperature, softcap, scale) == (1.0, None, 1.0)
        logps = token_log_probs(hidden, weight, targets, bias=bias)
        nothing = torch.zeros_like(logps)
        return logps, nothing, nothing, nothing, nothing.bool()


@contextmanager
def fixed_head():
    """Give TRL a tiled head that scores completion tokens only, as its GPU kernel does."""
    with (
        mock.patch.object(trl_utils, "_ChunkedLogProbFunction", _FixedHead),
        mock.patch.object(trl_utils, "_use_triton", return_value=True),
    ):
        yield


VARIANTS = {
    "TRL": lambda *given: Trl(*given, tuned=False, fixed=False),
    "TRL tuned": lambda *given: Trl(*given, tuned=True, fixed=False),
    "TRL, head fixed": lambda *given: Trl(*given, tuned=False, fixed=True),
    "TRL tuned, head fixed": lambda *given: Trl(*given, tuned=True, fixed=True),
    "alignc, no cache": lambda *given: Ours(*given, cached=False),
    "alignc": lambda *given: Ours(*given, cached=True),
}
