"""The names of values in an emitted loss."""

from __future__ import annotations

import builtins
import keyword

import pytest

from alignc.api import Compiled
from alignc.emit.tools import TOOLS, called
from alignc.printers import torch_names

from ..emitted import loss_module
from ..online_variants import METHODS, Online, compiled_online
from ..variants import ALL, Variant, compiled


def made_of(variant: Variant | Online) -> Compiled:
    return compiled_online(variant) if isinstance(variant, Online) else compiled(variant)


def test_no_value_is_named_as_a_function_of_the_file() -> None:
    assert set(TOOLS) == torch_names.TOOLS
    assert {*TOOLS, *keyword.kwlist} < torch_names.RESERVED


def test_a_function_brings_those_that_it_calls() -> None:
    assert called({"global_token_mean"}) == {"global_token_mean", "token_sum", "group_sum"}
    assert called({"log_odds"}) == {"log_odds", "log1mexp"}


@pytest.mark.parametrize("variant", [*ALL, *METHODS], ids=lambda v: v.name)
def test_every_name_has_one_meaning(variant: Variant | Online) -> None:
    """A hyper-parameter, a function and a local value never share a name, and none hides a word of Python."""
    module = loss_module(made_of(variant))
    outside = {n for n in vars(module) if not n.startswith("__")}
    inside = [set(f.__code__.co_varnames) for f in vars(module).values() if hasattr(f, "__code__")]
    assert not outside & inside[-1]
    assert not inside[-1] & set(dir(builtins))
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in inside[-1])
