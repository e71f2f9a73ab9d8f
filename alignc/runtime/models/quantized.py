"""The base of an adapter in 4 or 8 bits (QLoRA, Dettmers et al. 2023), through bitsandbytes.

Only the weights are in few bits: a layer makes its numbers out of them and multiplies as any layer does. So every
row is scored alike in any batch, and what is exported is what was trained. Where bitsandbytes would round the inputs
too (8 bits), or would lay the weights out anew (4 bits, on CPUs), the layer computes here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...contract.failure import Failure
from ...contract.files import QUANTIZATION
from ...contract.job import Quantization
from ..kernels.attention import causal_lm

__all__ = [
    "as_asked",
    "dequantized",
    "is_quantized",
    "quantization_in",
    "quantized_config",
    "with_exact_layers",
    "write_quantization",
]

FEW_BITS = ("Linear4bit", "Linear8bitLt")


def quantized_config(asked: Quantization, dtype: torch.dtype) -> Any:
    """Make the settings of bitsandbytes; layers compute in ``dtype`` where the spec names no type."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as problem:
        raise Failure(
            "E602",
            "`model.quantization` needs bitsandbytes, but bitsandbytes is not installed",
            why="bitsandbytes is an optional package",
            help="`pip install 'alignc[quant]'`, or remove `model.quantization`",
        ) from problem
    from transformers import BitsAndBytesConfig

    if asked.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=asked.type,
        bnb_4bit_use_double_quant=asked.double,
        bnb_4bit_compute_dtype=getattr(torch, asked.compute_dtype) if asked.compute_dtype else dtype,
    )


def is_quantized(model: nn.Module) -> bool:
    """Tell whether any layer of a model has its weights in 4 or 8 bits."""
    return next(few_bit_layers(model), None) is not None


def few_bit_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """List the layers of bitsandbytes, not the wrappers that PEFT puts around them."""
    for name, module in model.named_modules():
        if type(module).__name__ in FEW_BITS and not hasattr(module, "base_layer"):
            yield name, module


def numbers_of(layer: Any) -> Tensor:
    """Make the weights of a layer out of their bits: ``[out, in]``, in the type that they were before."""
    weight = layer.weight
    if type(layer).__name__ == "Linear8bitLt":
        scale = weight.SCB if getattr(weight, "SCB", None) is not None else layer.state.SCB
        return weight.data.float() * scale.float()[:, None] / 127.0
    from bitsandbytes.functional import dequantize_4bit

    made: Tensor = dequantize_4bit(weight.data, weight.quant_state)
    return made


class _Product(torch.autograd.Function):
    """x·Wᵀ with a frozen W that is made out of its bits twice, and not kept for the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Any) -> Tensor:
        ctx.layer = layer
        return F.linear(x, numbers_of(layer).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ numbers_of(ctx.layer).to(gradient.dtype), None


def exact_forward(layer: Any, dtype: torch.dtype | None, x: Tensor) -> Tensor:
    """Compute a layer from its weights' own numbers, in ``dtype`` or in the type of the input."""
    inner = x.to(dtype) if dtype is not None else x
    product: Tensor = _Product.apply(inner, layer)
    if layer.bias is not None:
        product = product + layer.bias.to(product.dtype)
    return product.to(x.dtype)


def with_exact_layers(model: nn.Module) -> nn.Module:
    """Let layers compute here where bitsandbytes would round inputs, or lay weights out anew."""
    for _, layer in few_bit_layers(model):
        eight = type(layer).__name__ == "Linear8bitLt"
        if eight or layer.weight.device.type == "cpu":
            dtype = None if eight else layer.compute_dtype
            layer.forward = partial(exact_forward, layer, dtype)
    return model


@torch.no_grad()
def dequantized(model: Any) -> Any:
    """Give every layer of a model, which carries no adapter, the numbers that its bits stand for. It is used up."""
    for name, layer in list(few_bit_layers(model)):
        weight = numbers_of(layer).to(model.dtype)
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        plain.weight = nn.Parameter(weight)
        if layer.bias is not None:
            plain.bias = nn.Parameter(layer.bias.detach().clone())
        model.set_submodule(name, plain)
    for attribute in ("hf_quantizer", "quantization_method"):
        if hasattr(model, attribute):
            setattr(model, attribute, None)
    model.is_quantized = model.is_loaded_in_4bit = model.is_loaded_in_8bit = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


def write_quantization(model: nn.Module, folder: Path) -> None:
    """Note beside an adapter in which bits its base was trained: PEFT has no word for it."""
    if is_quantized(model):
        settings = causal_lm(model).config.quantization_config.to_dict()
        kept = {name: value for name, value in settings.items() if isinstance(value, (bool, int, float, str))}
        (folder / QUANTIZATION).write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", "utf-8")


def quantization_in(folder: str) -> Any | None:
    """Read the settings that `write_quantization` left beside an adapter: None where there are none."""
    path = Path(folder) / QUANTIZATION
    if not path.is_file():
        return None
    from transformers import BitsAndBytesConfig

    settings = json.loads(path.read_text("utf-8"))
    quantized_config(Quantization(), torch.float32)  # refuses where bitsandbytes is missing
    return BitsAndBytesConfig.from_dict(settings)


def as_asked(settings: Any) -> Quantization:
    """Give settings of bitsandbytes in the words of a spec."""
    if settings.load_in_8bit:
        return Quantization(bits=8)
    dtype = str(settings.bnb_4bit_compute_dtype).removeprefix("torch.")
    return dataclasses.replace(
        Quantization(),
        type=settings.bnb_4bit_quant_type,
        double=settings.bnb_4bit_use_double_quant,
        compute_dtype=dtype,
    )
