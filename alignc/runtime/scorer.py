"""The scorer: a causal language model that answers with log-probabilities of response tokens only."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .attention import causal_lm
from .failure import Failure
from .layout import Batch
from .logprobs import KEEP_BYTES, LogitRule, token_log_probs
from .squares import log_sum_squares

__all__ = ["Scorer"]


class Scorer(nn.Module):
    """Wrap a causal LM (a PreTrainedModel or a PeftModel over one); a forward scores a batch.

    Every weight is used inside the call of the module that owns it, which is what DDP, FSDP and ZeRO-3 hook
    into. For that the LM head's ``forward`` is replaced on the instance by one that also takes targets;
    without them it is the ordinary linear map, so the model itself, and ``generate``, work as before.
    """

    def __init__(self, model: nn.Module, *, outputs: Collection[str] = (), budget: int = KEEP_BYTES) -> None:
        super().__init__()
        self.model, self.outputs = model, frozenset(outputs)
        base = causal_lm(model)
        head = base.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise Failure(
                "E607",
                f"the LM head of {type(base).__name__} is a {type(head).__name__}, not a linear layer",
                why="token log-probabilities are computed from the head's weight, without making all logits",
                help="leave the head out of the adapter's target_modules",
            )
        rule = _rule(base.config.get_text_config())
        head.forward = partial(_head_forward, head, rule, budget)  # type: ignore[method-assign]

    def forward(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """Return log p of every response token, ``[rows, k, T]`` float32 (float64), 0 where there is none.

        With other ``outputs`` a dict: `logps`, `log_sum_squares` (log Σ_v π(v)² of every token, no gradient) and
        `value` (of the prompt, ``[rows]``).
        """
        base = causal_lm(self.model)
        places = {
            name: value
            for name in ("position_ids", "attention_mask", "segments")
            if (value := getattr(batch, name)) is not None
        }
        hidden = base.base_model(input_ids=batch.input_ids, use_cache=False, **places).last_hidden_state
        scored = hidden.flatten(0, 1).index_select(0, batch.score_at)
        head = base.get_output_embeddings()
        logps = laid(head(scored, batch.targets), batch)
        if not self.outputs:
            return logps
        found = {"logps": logps}
        if "log_sum_squares" in self.outputs:
            found["log_sum_squares"] = laid(head(scored, squares=True), batch)
        if "value" in self.outputs:
            first = (
                batch.slots % batch.mask[0].numel() == 0
            )  # what predicts a row's first token ends its prompt
            found["value"] = base.value_head(scored[first]).squeeze(-1).double()
        return found


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
    squares: bool = False,
) -> Tensor:
    if squares:
        return log_sum_squares(hidden, head.weight, bias=head.bias, rule=rule)
    if targets is None:
        return F.linear(hidden, head.weight, head.bias)
    return token_log_probs(hidden, head.weight, targets, bias=head.bias, rule=rule, budget=budget)


def _rule(config: Any) -> LogitRule:
    """Read what the architecture does to its logits: the names under which transformers' configs keep it."""
    softcap = getattr(config, "final_logit_softcapping", None)
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        if (scale := getattr(config, name, None)) is not None:
            return LogitRule(scale, softcap)
    divisor = getattr(config, "logits_scaling", None)
    if divisor is not None:
        return LogitRule(divisor if config.model_type == "hyperclovax" else 1 / divisor, softcap)
    return LogitRule(1.0, softcap)
