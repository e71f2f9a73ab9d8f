"""The scorer: a causal language model that answers with log-probabilities of response tokens only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...contract.outputs import Quantity
from ...contract.sizes import KEEP_BYTES
from ..kernels.attention import PACKED, backbone_of, causal_lm
from ..kernels.collision import log_sum_squares
from ..kernels.divergence import ReferenceHead, token_divergence
from ..kernels.entropy import token_entropy
from ..kernels.heads import head_rule, logits_of
from ..kernels.logprobs import LogitRule, token_log_probs
from ..kernels.own import own_divergence, own_log_probs, own_statistic
from ..models.critic import critic_of, has_critic
from .layout import Batch, unpacked

__all__ = ["ReferenceModel", "Scorer"]


OF_THE_HEAD: Mapping[str, Callable[..., Tensor]] = {
    Quantity.LOG_SUM_SQUARES: log_sum_squares,
    Quantity.ENTROPY: token_entropy,
}
"""The outputs that the head makes of a hidden state alone: statistics of the next token."""


@dataclass(frozen=True)
class ReferenceModel:
    """The model that the policy began as, or another; under LoRA the policy itself, its adapter switched off."""

    model: nn.Module
    scorer: nn.Module
    within: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass(frozen=True)
class OtherModel:
    """The hidden states ``[N, H]`` of a reference at the scored tokens, and the model that they come from."""

    hidden: Tensor
    base: Any
    within: Callable[[], AbstractContextManager[Any]]

    def logits(self, hidden: Tensor) -> Tensor:
        """Make the logits of some of its hidden states."""
        with self.within():
            return logits_of(self.base)(hidden)


class OwnHead:
    """A head that is called as the tiled one is; the model's own code makes the logits."""

    def __init__(self, base: Any) -> None:
        self.logits, self.words = logits_of(base), base.config.get_text_config().vocab_size

    def __call__(
        self, hidden: Tensor, targets: Tensor | None = None, *, statistic: str | None = None
    ) -> Tensor:
        """Score targets, or compute a statistic of the next token."""
        if statistic is not None:
            return own_statistic(statistic, self.logits, self.words, hidden)
        assert targets is not None
        return own_log_probs(self.logits, self.words, hidden, targets)


class Scorer(nn.Module):
    """Wrap a causal LM (a PreTrainedModel or a PeftModel over one); a forward scores a batch.

    Every weight is used inside the call of the module that owns it, which is what DDP, FSDP and ZeRO-3 hook
    into. For that the LM head's ``forward`` is replaced on the instance by one that also takes targets;
    without them it is the ordinary linear map, so the model itself, and ``generate``, work as before. A head
    that tiles of logits can't follow stays as it is: the model's own code makes the logits of scored tokens.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        outputs: Collection[str] = (),
        beside: ReferenceModel | None = None,
        budget: int = KEEP_BYTES,
    ) -> None:
        super().__init__()
        self.model, self.outputs = model, frozenset(outputs)
        self.beside = beside  # no module of this one: no engine wraps, counts or saves it
        base = causal_lm(model)
        self.rule = head_rule(base)
        if self.rule is not None:
            head = base.get_output_embeddings()
            head.forward = partial(_head_forward, head, self.rule, budget)
        if Quantity.TOKEN_VALUE in self.outputs:
            values = critic_of(base).score if has_critic(base) else base.value_head
            values.forward = partial(_wide_forward, values)

    def forward(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """Return log p of every response token, ``[rows, k, T]`` float32 (float64), 0 where there is none.

        With other ``outputs`` a dict: `logps`, `log_sum_squares` (log Σ_v π(v)² of every token, no gradient),
        `entropy` (of what each token was drawn from), `divergence` (of that from what the model ``beside`` would
        draw from), `token_value` (of the state before each token, from the
        critic or the value head) and `value` (of the prompt, ``[rows]``).
        """
        other = None
        if self.beside is not None and Quantity.DIVERGENCE in self.outputs:
            other = reading_of(self.beside, batch)
        base = causal_lm(self.model)
        scored = hidden_states(backbone_of(base), batch)
        head = base.get_output_embeddings() if self.rule is not None else OwnHead(base)
        logps = laid(head(scored, batch.targets), batch)
        if not self.outputs:
            return logps
        outputs = {"logps": logps}
        for name in OF_THE_HEAD:
            if name in self.outputs:
                outputs[name] = laid(head(scored, statistic=name), batch)
        if other is not None:
            outputs[Quantity.DIVERGENCE] = laid(divergence(base, head, scored, other), batch)
        if Quantity.TOKEN_VALUE in self.outputs:
            outputs[Quantity.TOKEN_VALUE] = laid(token_values(base, scored, batch).to(logps.dtype), batch)
        if Quantity.VALUE in self.outputs:
            first = (
                batch.slots % batch.mask[0].numel() == 0
            )  # the place that predicts a row's first token is the end of its prompt
            outputs[Quantity.VALUE] = base.value_head(scored[first]).squeeze(-1).double()
        return outputs


def hidden_states(backbone: Any, batch: Batch) -> Tensor:
    """Run a backbone over a batch; return the hidden states that predict its targets ``[N, H]``.

    A model whose attention can't read a packed stream, beside one that can, reads the rows padded.
    """
    if batch.segments is not None and backbone.config._attn_implementation != PACKED:
        batch = unpacked(batch)
    places = {
        name: value
        for name in ("position_ids", "attention_mask", "segments")
        if (value := getattr(batch, name)) is not None
    }
    hidden: Tensor = backbone(input_ids=batch.input_ids, use_cache=False, **places).last_hidden_state
    return hidden.flatten(0, 1).index_select(0, batch.score_at)


@torch.no_grad()
def reading_of(reference: ReferenceModel, batch: Batch) -> OtherModel:
    """Compute the hidden states of a reference for a batch, and keep them beside its head."""
    with reference.within():
        base = causal_lm(reference.model)
        return OtherModel(hidden_states(backbone_of(base), batch), base, reference.within)


def divergence(base: Any, head: Any, scored: Tensor, other: OtherModel) -> Tensor:
    """Compare the next token's distributions: by tiles where both heads allow, else by both models' logits."""
    rule = head_rule(other.base)
    if rule is not None and head_rule(base) is not None:
        beside = other.base.get_output_embeddings()
        result: Tensor = head(scored, beside=ReferenceHead(other.hidden, beside.weight, beside.bias, rule))
        return result
    words = base.config.get_text_config().vocab_size
    return own_divergence(logits_of(base), other.logits, words, scored, other.hidden)


def token_values(base: Any, scored: Tensor, batch: Batch) -> Tensor:
    """Value the state before each scored token ``[N]``: by the critic's own backbone, or on the policy's."""
    if has_critic(base):
        critic = critic_of(base)
        values: Tensor = critic.score(hidden_states(critic.base_model, batch))
    else:
        values = base.value_head(scored)
    return values.squeeze(-1)


def laid(values: Tensor, batch: Batch) -> Tensor:
    """Put one value a scored token where its response has it ``[rows, k, T]``, 0 elsewhere."""
    return values.new_zeros(batch.mask.numel()).index_copy(0, batch.slots, values).view(batch.mask.shape)


def _head_forward(
    head: nn.Linear,
    rule: LogitRule,
    budget: int,
    hidden: Tensor,
    targets: Tensor | None = None,
    *,
    statistic: str | None = None,
    beside: ReferenceHead | None = None,
) -> Tensor:
    if beside is not None:
        return token_divergence(hidden, head.weight, beside, bias=head.bias, rule=rule)
    if statistic is not None:
        return OF_THE_HEAD[statistic](hidden, head.weight, bias=head.bias, rule=rule)
    if targets is None:
        return F.linear(hidden, head.weight, head.bias)
    return token_log_probs(hidden, head.weight, targets, bias=head.bias, rule=rule, budget=budget)


def _wide_forward(head: nn.Linear, hidden: Tensor) -> Tensor:
    """Value in float32 (float64) whatever the trunk computes in: returns and errors are differences of values."""
    wide = torch.float64 if head.weight.dtype == torch.float64 else torch.float32
    bias = None if head.bias is None else head.bias.to(wide)
    with torch.autocast(hidden.device.type, enabled=False):
        return F.linear(hidden.to(wide), head.weight.to(wide), bias)
