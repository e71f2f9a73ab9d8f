"""A reward model: the scalar head that a `reward_model` job trained, on text as its own tokenizer reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from ...contract.failure import Failure
from ...contract.job import Model, Reference
from ...contract.outputs import Quantity
from ..data.chat import chat_from
from ..data.cut import cut
from ..data.example import Example
from ..data.format import Parsed
from ..data.pieces import whole_texts
from ..data.render import Rendered, render
from ..data.template import Template
from ..data.tokenizer import load_tokenizer
from ..data.tokens import TokenRow, specials_of, tokenize
from ..kernels.attention import causal_lm, use_packed
from ..models.adapters import pretrained
from ..models.load import silence_dropout
from ..scoring.micro import BatchLayout
from ..scoring.reference import chunks
from ..scoring.rewards import RewardScorer
from ..scoring.trust import trusted
from .sample import Sample, row_of

__all__ = ["RewardModel"]

HEAD = "score."


class RewardModel:
    """A frozen sequence classifier with one label; scores as its own training scored."""

    def __init__(self, path: str, device: Any, template: Template | None = None) -> None:
        section = Model(policy=path, reference=Reference("none"))
        check_base(Path(path))
        check_head(path)
        self.path, self.device, self.template = path, torch.device(device), template
        self.tokenizer = load_tokenizer(section)
        self.specials = specials_of(self.tokenizer)
        model = pretrained(path, section, rewards=True).to(self.device).eval()
        check_class(path, model)
        silence_dropout(model, keep_adapters=False)
        self.scorer = RewardScorer(model.requires_grad_(False))
        self.layout = arrangement_of(model, self.tokenizer, self.device)
        self.longest = getattr(causal_lm(model).config.get_text_config(), "max_position_embeddings", None)

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score samples in batches of about as many tokens."""
        examples = [self.example(place, sample) for place, sample in enumerate(samples)]
        values: list[float] = []
        with torch.no_grad():
            for chunk in chunks(examples):
                values += self.scorer(self.layout.batch(chunk))[Quantity.SCORE][:, 0].tolist()
        for sample, value in zip(samples, values, strict=True):
            if not np.isfinite(value):
                raise Failure("E809", f"the reward model `{self.path}` gives {value} ({sample.label})")
        return values

    def example(self, place: int, sample: Sample) -> Example:
        """Tokenize a sample as a training row is; a prompt too long for the model loses its beginning."""
        tokens = self.tokens(sample)
        fitted = cut(tokens.prompt, tokens.responses, self.longest, self.specials.bos)
        if fitted.responses_cut:
            message = f"a response is longer than the reward model `{self.path}` reads ({sample.label})"
            why = f"it has {len(tokens.responses[0])} tokens there; the model reads {self.longest} with the prompt"
            raise Failure("E807", message, why=why, help="lower `data.max_new_tokens`")
        prompt, response = (np.array(ids, np.int32) for ids in (fitted.prompt, fitted.responses[0]))
        return Example(place, sample.origin, prompt, (response,), {})

    def tokens(self, sample: Sample) -> TokenRow:
        """Tokenize prompt and response; a response that was cut off has no end here either."""
        rendered = self.rendered(sample)
        empty = rendered.wholes[0] == rendered.prompt
        asked = Rendered(rendered.prompt, () if empty else rendered.wholes, rendered.templated)
        row = tokenize([(row_of(sample), asked)], whole_texts(self.tokenizer), self.specials)[0]
        if isinstance(row, Failure):
            raise row
        response = [self.specials.eos] if empty else list(row.responses[0])
        if not sample.ended and len(response) > 1 and response[-1] in self.specials.ends:
            response.pop()
        return TokenRow(row.prompt, (response,))

    def rendered(self, sample: Sample) -> Rendered:
        """Write the text: a conversation through this model's own template, else the prompt as it stands."""
        prompt = sample.fields.get("prompt")
        chat = chat_from(prompt) if isinstance(prompt, list) else None
        if chat is None or isinstance(chat, str):
            return Rendered(sample.prompt, (sample.prompt + sample.completion,), templated=False)
        reply = ({"role": "assistant", "content": sample.completion},)
        return render(row_of(sample), Parsed(chat, (reply,)), self.tokenizer, self.template)

    def close(self) -> None:
        """Let the model go."""
        self.scorer.model.to("meta")


def arrangement_of(model: torch.nn.Module, tokenizer: Any, device: torch.device) -> BatchLayout:
    """Lay rows out packed where the architecture takes them so."""
    packed = trusted(model, scalar=True).packed
    if packed:
        use_packed(model)
    dtype = next(model.parameters()).dtype
    return BatchLayout(packed, tokenizer.pad_token_id or 0, device, None, dtype, whole=True)


def check_base(folder: Path) -> None:
    """Raise E612 for an adapter on a model that was made on the spot: its base was never saved."""
    config = folder / "adapter_config.json"
    if config.is_file() and not json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path"):
        raise Failure(
            "E612",
            f"`{folder}` holds only an adapter, without its base model",
            why="the adapter was trained on new random weights (`policy: {init: …}`), which were not saved",
            help="train the reward model without `model.adapter`, or from a saved policy",
        )


def check_head(path: str) -> None:
    """Raise E612 for a folder whose weights hold no scalar head: a new one would be drawn at random."""
    names = list(weight_names(Path(path)))
    if names and not any(HEAD in name for name in names):
        raise headless(path)


def check_class(path: str, model: Any) -> None:
    """Raise E612 for a model of the hub that was not saved as a sequence classifier."""
    saved = getattr(causal_lm(model).config, "architectures", None) or ()
    if not Path(path).is_dir() and not any(name.endswith("ForSequenceClassification") for name in saved):
        raise headless(path)


def headless(path: str) -> Failure:
    """Say that a model has no head that was trained."""
    return Failure(
        "E612",
        f"`{path}` is not a reward model: it has no trained scalar head",
        why="a language model predicts tokens; a new scalar head on it would give random scores",
        help="train a reward model with the preset `reward_model`, and name `{run: SPEC}` or its folder `model`",
    )


def weight_names(folder: Path) -> Iterator[str]:
    """List the names of the weights that a folder holds."""
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            yield from weights.keys()
    for index in folder.glob("*.bin.index.json"):
        yield from json.loads(index.read_text(encoding="utf-8"))["weight_map"]
