"""Sampling through vLLM, an extra: a faster engine beside the policy, which reads the policy's weights from a folder.

Written against the documented interface and the source of vLLM 0.32, which takes the torch that we take:
``LLM.generate`` on token ids with ``SamplingParams``, ``LLM.collective_rpc("reload_weights")`` and
``LLM.reset_prefix_cache``. What is tested here is the refusal without vLLM, the weights' folder, and what is asked of
the engine and made of its answers, on an engine that plays its part. Untested on vLLM itself: the loading and reloading
of weights, memory shared with training on one device, and speed.

Three things differ from sampling in this process. vLLM's kernels round otherwise, so that log-probabilities of its
tokens under the policy differ a little from those they were drawn with: the rollout's are always scored anew by the
policy. A seeded draw repeats on the same version and device, but is another than ``sample`` makes of the same seed. And
vLLM has temperatures from 0.01 to 2 and 0 alone.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ...contract.failure import Failure
from ...contract.support import VLLM_TEMPERATURES, refusal
from ..base import fsops
from ..base.seeds import derive
from ..data.example import Tokens
from ..kernels.attention import causal_lm
from ..models.adapters import merged as merged_adapter
from ..models.critic import parted
from .sampling import Sampling

__all__ = ["VllmSampler", "write_weights"]

_AT_ONCE = 1024  # responses asked for in one call, between two signs of life
_MEMORY_SHARE = 0.3  # of the device, for the engine's weights and cache; training has the rest


class VllmSampler:
    """Samples through an engine of its own; ``refresh`` writes the policy's weights and has the engine read them."""

    def __init__(self, model: nn.Module, *, folder: Path, max_length: int | None) -> None:
        """Start an engine on the policy's present weights.

        ``max_length`` bounds prompt and response together; None leaves it to the model. Raises E602 where vLLM is not
        installed, E605 where several processes train: the engine is one process's.
        """
        if importlib.util.find_spec("vllm") is None:
            raise _not_installed()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise refusal("vllm_processes").failure()
        self.model, self.folder = model, folder
        write_weights(model, folder)
        self.vllm: Any = importlib.import_module("vllm")
        self.engine: Any = self.vllm.LLM(
            model=str(folder),
            skip_tokenizer_init=True,
            dtype=_dtype_of(model),
            max_model_len=max_length,
            enable_prefix_caching=True,  # a prompt is read once for all of its samples
            gpu_memory_utilization=_MEMORY_SHARE,
        )

    def __call__(
        self,
        prompts: Sequence[Tokens],
        keys: Sequence[int],
        sampling: Sampling,
        *,
        seed: int,
        batch_size: int,
        each: Callable[[], object],
        mixture: tuple[nn.Module, float] | None = None,
    ) -> list[tuple[Tokens, ...]]:
        """Sample the responses to each prompt, in order; vLLM sizes its batches itself.

        Raises E602 for what vLLM does not offer: a mixture of models, a temperature beyond its own.
        """
        _check_offered(sampling, mixture is not None)
        k, asked = sampling.completions, [ids.tolist() for ids in prompts]
        requests = [
            ({"prompt_token_ids": ids}, self._parameters(sampling, derive(seed, "sample", key, number)))
            for ids, key in zip(asked, keys, strict=True)
            for number in range(k)
        ]
        responses: list[Tokens] = []
        for start in range(0, len(requests), _AT_ONCE):
            each()
            texts, parameters = zip(*requests[start : start + _AT_ONCE], strict=True)
            answers = self.engine.generate(list(texts), list(parameters), use_tqdm=False)
            responses += [_tokens(answer.outputs[0], sampling) for answer in answers]
        each()
        return [tuple(responses[at : at + k]) for at in range(0, len(responses), k)]

    def _parameters(self, sampling: Sampling, seed: int) -> Any:
        """Ask for one response: only our own ids end it, and the settings alone change its distribution.

        A stop string is looked for in what comes back: what is drawn before it does not depend on it.
        """
        return self.vllm.SamplingParams(
            n=1,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k or 0,
            min_p=sampling.min_p,
            repetition_penalty=1.0,
            presence_penalty=0.0,
            frequency_penalty=0.0,
            max_tokens=sampling.max_new_tokens,
            seed=seed,
            ignore_eos=True,
            stop_token_ids=list(sampling.eos_ids),
            detokenize=False,
        )

    def refresh(self) -> None:
        """Write the policy's weights and have the engine read them in place; its cache was of the old ones."""
        write_weights(self.model, self.folder)
        self.engine.collective_rpc("reload_weights")
        self.engine.reset_prefix_cache()

    def close(self) -> None:
        """Let go of the engine, and remove the weights it read."""
        self.engine = None
        fsops.remove(self.folder)


def write_weights(model: nn.Module, folder: Path) -> None:
    """Write a policy as vLLM reads it: an adapter merged in a copy, so that the policy keeps every bit; no critic."""
    merged: Any = model
    if causal_lm(model) is not model:
        merged = merged_adapter(copy.deepcopy(model))
    weights, _ = parted(merged.state_dict())
    own = {name: value for name, value in weights.items() if "value_head." not in name}
    folder.mkdir(parents=True, exist_ok=True)
    merged.save_pretrained(str(folder), state_dict=own)


def _dtype_of(model: nn.Module) -> str:
    """Name the policy's number format as vLLM does, which has none of 64 bits."""
    name = str(next(model.parameters()).dtype).removeprefix("torch.")
    return "float32" if name == "float64" else name


def _tokens(output: Any, sampling: Sampling) -> Tokens:
    """Take a response's tokens, with the EOS that ended it: not every version of vLLM keeps it among them."""
    ids = list(output.token_ids)
    if output.finish_reason == "stop" and (not ids or ids[-1] not in sampling.eos_ids):
        ids.append(output.stop_reason if isinstance(output.stop_reason, int) else sampling.eos_ids[0])
    return np.array(ids[: sampling.stops.end(ids)] if sampling.stops else ids, dtype=np.int32)


def _not_installed() -> Failure:
    return Failure(
        "E602",
        "`data.sampler: vllm` needs vLLM, but vLLM is not installed",
        why="vLLM is an optional package: it needs a GPU, and installs its own version of torch",
        help="`pip install 'alignc[vllm]'`, or set `data.sampler: transformers`",
    )


def _check_offered(sampling: Sampling, mixed: bool) -> None:
    coolest, hottest = VLLM_TEMPERATURES
    if mixed:
        raise refusal("vllm_mixture").failure()
    if sampling.min_p > 0 and sampling.top_p < 1:
        raise refusal("vllm_min_p_and_top_p").failure()
    if sampling.temperature and not coolest <= sampling.temperature <= hottest:
        raise refusal("vllm_temperature").failure()
