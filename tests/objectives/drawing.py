"""Draw values of a pydantic schema: every choice and every number, the extremes of their ranges included."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from alignc.spec.fields import members, plain

__all__ = ["BIAS", "LEFT_OUT", "Drawing", "Pools", "choices_of", "models_below", "of_text"]

Pools = Mapping[tuple[str, str], Callable[["Drawing"], Any]]
"""By model and field, what is drawn there in the place of any value of the type; `LEFT_OUT` leaves the field out."""

BIAS, WRITTEN, EXTREME = 0.93, 0.45, 0.06


@dataclass
class Drawing:
    """A random source, the pools of values for fields with a meaning, and the facts that pools read."""

    rng: random.Random
    pools: Pools
    texts: Pools
    """Pools of the fields that are texts; a text without a pool is left out."""
    facts: dict[str, Any] = field(default_factory=dict)
    seen: set[tuple[str, ...]] = field(default_factory=set)
    """The fields and choices that were drawn."""

    def model(self, model: type[BaseModel], **given: Any) -> dict[str, Any]:
        """Draw the fields of a model; `given` values are taken as they are."""
        found: dict[str, Any] = {}
        for name, info in model.model_fields.items():
            self._draw_field(model, name, info, given, found)
        return found

    def _draw_field(
        self,
        model: type[BaseModel],
        name: str,
        info: FieldInfo,
        given: Mapping[str, Any],
        found: dict[str, Any],
    ) -> None:
        if name in given:
            if given[name] is not LEFT_OUT:
                found[name] = given[name]
                self.seen |= {(model.__name__, name), (model.__name__, name, str(given[name]))}
            return
        tag = _only(info)
        if tag is not None:
            found[name] = tag
            self.seen.add((model.__name__, name, str(tag)))
            return
        known = (model.__name__, name) in self.texts or not of_text(info)
        if not info.is_required() and (not known or self.rng.random() > WRITTEN):
            return
        value = self.field(model, name, info)
        if value is not LEFT_OUT:
            found[name] = value
            self.seen.add((model.__name__, name))

    def field(self, model: type[BaseModel], name: str, info: FieldInfo) -> Any:
        """Draw the value of a field."""
        key = (model.__name__, name)
        if key in self.pools and self.rng.random() < BIAS:
            value = self.pools[key](self)
        else:
            value = self.value(key, info.annotation, info.metadata)
        if isinstance(value, str | int):
            self.seen.add((*key, str(value)))
        return value

    def value(self, key: tuple[str, str], annotation: Any, limits: Sequence[Any] = ()) -> Any:
        """Draw a value of a type; `limits` are the constraints of its field."""
        choice = self.rng.choice([c for c in members(annotation) if not _elsewhere(c)])
        bare = plain(choice)
        limits = [*limits, *(get_args(choice)[1:] if choice is not bare else ())]
        if isinstance(bare, type) and issubclass(bare, BaseModel):
            return self.model(bare)
        if get_origin(bare) is Literal:
            return self.rng.choice(get_args(bare))
        if get_origin(bare) is list:
            return [self.value(key, get_args(bare)[0]) for _ in range(self.rng.randint(1, 3))]
        if bare is bool:
            return self.rng.random() < 0.5
        if bare is int or bare is float:
            return self.number(bare, _bounds(limits))
        return self.texts[key](self)

    def number(self, kind: type, bounds: Mapping[str, float]) -> float:
        """Draw a number within bounds, now and then near one of them."""
        low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
        if kind is int:
            least = int(low if low is not None else -3) + ("gt" in bounds)
            return self.rng.randint(least, min(least + 5, int(high) if high is not None else least + 5))
        if self.rng.random() < EXTREME:
            return self._extreme(low, high, bounds)
        if low is not None and high is not None:
            return round(low + (high - low) * self.rng.uniform(0.02, 0.98), 4)
        if low is not None:
            return float(f"{low + 10 ** self.rng.uniform(-2.5, 1):.3g}")
        return self.rng.choice(
            (0.0, 1, -0.5, round(self.rng.gauss(0, 1), 3), round(abs(self.rng.gauss(0, 3)), 2))
        )

    def _extreme(self, low: float | None, high: float | None, bounds: Mapping[str, float]) -> float:
        above = 0 if "ge" in bounds else 1e-8
        least = -1e4 if low is None else low + above
        most = (
            (1e4 if low is None or low >= 0 else 1.0)
            if high is None
            else high - (1e-6 if "lt" in bounds else 0)
        )
        return self.rng.choice((least, most))


class _LeftOut:
    """What a pool gives for a field that is not written."""


LEFT_OUT = _LeftOut()


def of_text(info: FieldInfo) -> bool:
    """Tell a field that may be a text of any form, or a mapping."""
    plains = [plain(c) for c in members(info.annotation)]
    inner = [plain(get_args(p)[0]) if get_origin(p) is list else p for p in plains]
    return any(p is str or get_origin(p) is dict for p in inner)


def _only(info: FieldInfo) -> Any:
    """Return the value of a field that has only one, such as a discriminator."""
    bare = plain(info.annotation)
    values = get_args(bare) if get_origin(bare) is Literal else ()
    return values[0] if len(values) == 1 else None


def _elsewhere(annotation: Any) -> bool:
    """Tell types that name files of other specs, which no drawn spec has."""
    bare = plain(annotation)
    return isinstance(bare, type) and bare.__name__ == "RunPolicy"


def _bounds(limits: Sequence[Any]) -> dict[str, float]:
    names = ("gt", "ge", "lt", "le")
    return {
        n: float(getattr(limit, n)) for limit in limits for n in names if getattr(limit, n, None) is not None
    }


def models_below(annotation: Any) -> Iterator[type[BaseModel]]:
    """Walk all models of a type, those of their fields included."""
    for choice in members(annotation):
        bare = plain(choice)
        if isinstance(bare, type) and issubclass(bare, BaseModel) and not _elsewhere(bare):
            yield bare
            for info in bare.model_fields.values():
                yield from models_below(info.annotation)
        elif get_origin(bare) in (list, dict):
            yield from models_below(get_args(bare)[-1])


def choices_of(annotation: Any) -> Iterator[tuple[str, ...]]:
    """List every field of the models of a type, and every choice of a field that is one of several names."""
    for model in dict.fromkeys(models_below(annotation)):
        for name, info in model.model_fields.items():
            yield (model.__name__, name) if _only(info) is None else (model.__name__, name, str(_only(info)))
            for choice in members(info.annotation):
                bare = plain(choice)
                if get_origin(bare) is Literal and _only(info) is None:
                    yield from ((model.__name__, name, str(value)) for value in get_args(bare))
