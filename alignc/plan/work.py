"""The work of a step in FLOP: a multiplication and an addition count two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignc.contract.kinds import ONLINE
from alignc.contract.sizes import KEEP_BYTES
from alignc.plan.memory import Models
from alignc.plan.schedule import Schedule, Tokens
from alignc.plan.shapes import Layout

__all__ = ["Work", "work"]


@dataclass(frozen=True)
class Work:
    """FLOP of an optimizer step over all processes, of the reference's one pass over all rows, and of sampling.

    With N the backbone's weights, T a row's tokens, V·H the head and T_c the scored tokens: a forward takes
    2·N·T + 2·V·H·T_c, a backward twice that (once for frozen weights), attention about 2·H·S² a layer and sequence
    forward. None where the model's size is not known.
    """

    step: float | None
    reference_once: float | None
    rollout: float | None
    decoded: int | None
    head_share: float | None


def work(spec: Mapping[str, Any], models: Models, tokens: Tokens, plan: Schedule) -> Work:
    """Add up the work of a step."""
    layout = models.policy.layout
    if layout is None or models.policy.number is None:
        return Work(None, None, None, None, None)
    frozen = models.trained < models.policy.number
    train, rows = spec["train"], plan.rows_a_step
    head = 2.0 * layout.vocabulary * layout.hidden * tokens.scored
    body = 2.0 * models.policy.linear * tokens.backbone + _attention(layout, tokens)
    logits = train["per_device_train_batch_size"] * tokens.scored * layout.vocabulary * 4
    passes_head = 2 if frozen else 3 if logits <= KEEP_BYTES else 4
    passes_body = (2 if frozen else 3) + bool(train["activation_checkpointing"])
    step = passes_body * body + passes_head * head
    if models.critic is not None and models.critic.layout is not None:
        step += 3 * (2.0 * models.critic.linear * tokens.backbone + _attention(models.critic.layout, tokens))
    share = passes_head * head / step if step else None
    online = spec["data"]["kind"] in ONLINE
    once = None
    if models.reference is not None and not online and plan.rows is not None:
        once = plan.rows * (body + head)
    return Work(rows * step, once, *_rollout(spec, models, tokens, plan, body + head), head_share=share)


def _attention(layout: Layout, tokens: Tokens) -> float:
    """Count scores and sums of values, causal: 2·H·S² a layer and sequence."""
    length = tokens.prompt + tokens.scored / max(1, tokens.responses)
    return 2.0 * layout.query * length**2 * layout.layers * tokens.responses


def _rollout(
    spec: Mapping[str, Any], models: Models, tokens: Tokens, plan: Schedule, forward: float
) -> tuple[float | None, int | None]:
    """Count the work of a rollout: prompts once, each new token through backbone and head, one forward per judge."""
    layout, width = models.policy.layout, plan.prompts_a_rollout
    if spec["data"]["kind"] not in ONLINE or width is None or layout is None:
        return None, None
    made = width * tokens.responses * int(spec["data"]["max_new_tokens"])
    a_token = 2.0 * (models.policy.linear + layout.vocabulary * layout.hidden)
    sampling = made * a_token + width * tokens.prompt * 2.0 * models.policy.linear
    scoring = width * forward * (1 + (models.reference is not None))
    judged = width * tokens.responses * (tokens.prompt + tokens.scored / max(1, tokens.responses))
    judges = sum(
        2.0 * m.linear * judged for m in (*models.rewards, *([models.critic] if models.critic else []))
    )
    return sampling + scoring + judges, made
