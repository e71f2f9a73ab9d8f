"""Whether a model has an embedding for every token and every place of its rows: before a step, not in its midst."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from ...contract.exits import FINDINGS
from ...contract.failure import Failure
from ..kernels.attention import causal_lm

__all__ = ["check_reach"]

POSITION_TABLE = re.compile(r"(^|\.)wpe$|position")


def check_reach(model: nn.Module, tokenizer: Any, longest: int | None) -> None:
    """Stop where the tokenizer gives ids beyond the embedding, or rows may be longer than learned positions.

    Failure E615 for tokens, E004 for positions.
    """
    base = causal_lm(model)
    name, rows = type(base).__name__, base.get_input_embeddings().num_embeddings
    highest = max(tokenizer.get_vocab().values(), default=0)
    if highest >= rows:
        raise Failure(
            "E615",
            f"the tokenizer gives ids up to {highest}, but {name} has {rows} embeddings",
            why="a row that holds a token beyond the last embedding cannot be read",
            help="take the tokenizer that the model was trained with, or give the model more rows with transformers: "
            "`model.resize_token_embeddings(len(tokenizer))`",
            exit_code=FINDINGS,
        )
    positions = learned_positions(base)
    if positions is not None and (longest is None or longest > positions):
        raise Failure(
            "E004",
            f"`train.max_length` is {longest}, but {name} has {positions} learned positions",
            why="a token after the last position has no valid position embedding",
            help=f"set `train.max_length` to at most {positions}",
            exit_code=FINDINGS,
        )


def learned_positions(base: Any) -> int | None:
    """Count the positions that a model has a table of; some tables have two rows more."""
    limit = getattr(base.config.get_text_config(), "max_position_embeddings", None)
    tables = (
        module.num_embeddings
        for name, module in base.named_modules()
        if isinstance(module, nn.Embedding) and POSITION_TABLE.search(name)
    )
    return limit if isinstance(limit, int) and any(rows in (limit, limit + 2) for rows in tables) else None
