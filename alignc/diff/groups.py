"""Factors that depend on k, the number of responses in a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from alignc.diff.atoms import Bond, Bonds
from alignc.diff.decide import Proof, decide, decide_gradient
from alignc.diff.model import VERDICTS
from alignc.diff.sides import Side
from alignc.printers.dialect import number

__all__ = ["SIZES", "InK", "decided_by_size", "formula_in_k"]

SIZES = (2, 3, 4, 5, 6)
"""The sizes at which a formula in k is found and checked."""
FORMS: Mapping[str, Callable[[int], Fraction]] = {
    "": lambda k: Fraction(1),
    "k": lambda k: Fraction(k),
    "(k − 1)": lambda k: Fraction(k - 1),
    "(k − 1)/k": lambda k: Fraction(k - 1, k),
    "k/(k − 1)": lambda k: Fraction(k, k - 1),
    "1/k": lambda k: Fraction(1, k),
    "1/(k − 1)": lambda k: Fraction(1, k - 1),
    "k²": lambda k: Fraction(k * k),
    "k·(k − 1)": lambda k: Fraction(k * (k - 1)),
    "k²/(k − 1)": lambda k: Fraction(k * k, k - 1),
    "1/k²": lambda k: Fraction(1, k * k),
    "1/(k·(k − 1))": lambda k: Fraction(1, k * (k - 1)),
    "(k − 1)/k²": lambda k: Fraction(k - 1, k * k),
}


@dataclass(frozen=True)
class InK:
    """A factor as a formula: a number times a form of k. `words` is None for a factor without k."""

    scale: float
    form: str

    @property
    def words(self) -> str | None:
        """The formula as a reader would write it."""
        if not self.form:
            return None
        shown = number(float(f"{self.scale:.9g}"))
        if self.scale == 1:
            return self.form
        return f"{shown}{self.form[1:]}" if self.form.startswith("1/") else f"{shown}·{self.form}"

    def at(self, k: int) -> float:
        """Evaluate the formula."""
        return self.scale * float(FORMS[self.form](k))


def formula_in_k(factors: Mapping[int, float]) -> InK | None:
    """Find the form of k that all factors share, up to one number."""
    if len(factors) < len(SIZES):
        return None
    for form, of in FORMS.items():
        scales = [factor / float(of(k)) for k, factor in factors.items()]
        if max(scales) - min(scales) <= 1e-9 * abs(scales[0]):
            return InK(float(f"{scales[0]:.12g}"), form)
    return None


def decided_by_size(
    a: Side, b: Side, bonds: Bonds, own: int | None, *, gradient: bool = False
) -> Proof | None:
    """Decide for groups of the spec's own size, and find the factor as a formula in k.

    Without a size of its own, the formula must hold at all of `SIZES`, and no factor is given.
    """
    by_rule = decide_gradient if gradient else decide
    sized = {k: by_rule(a, b, _sized(bonds, k)) for k in ([own] if own else SIZES)}
    if any(p is None for p in sized.values()):
        return None
    if own:
        sized |= {k: by_rule(a, b, _sized(bonds, k)) for k in SIZES if k != own}
    proofs = {k: p for k, p in sized.items() if p is not None}
    found = formula_in_k({k: p.factor for k, p in proofs.items() if p.factor is not None})
    if own is None:
        return _for_any_size(proofs, found)
    formula = found.words if found else None
    return replace(proofs[own], formula=formula, trace=(*proofs[own].trace, *_checked(formula)))


def _for_any_size(proofs: Mapping[int, Proof], found: InK | None) -> Proof | None:
    weakest = max(proofs.values(), key=lambda p: VERDICTS.index(p.verdict))
    if found is None or weakest.constant is not None:
        return None
    factor = found.scale if not found.form else None
    trace = (*weakest.trace, *_checked(found.words))
    return Proof(weakest.verdict, factor, None, trace, found.words)


def _checked(formula: str | None) -> tuple[str, ...]:
    sizes = f"{SIZES[0]} to {SIZES[-1]}"
    return (
        ()
        if formula is None
        else (f"for groups of k responses the factor is {formula}: proved at k = {sizes}",)
    )


def _sized(bonds: Bonds, k: int) -> Bonds:
    return {**bonds, "k": Bond(None, Fraction(1), Fraction(k))}
