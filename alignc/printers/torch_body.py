"""Lay out the body of a function of `loss.py`: which values have a line of their own, and in which order.

A value that the graph names has a line. An input of a group has a line, and so has a long expression that the loss and
a metric share. If a line is longer than 110 columns, a part of it gets a line of its own.

For example, GRPO's `row_loss = group_mean(token_mean(A, mask), mask)` is too long with its A written out. A is what the
term averages over tokens, so that its line is `token_loss = A`. That line may be too long again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from alignc.graph.nodes import Add, Apply, Column, Constant, GroupSize, Logp, Named, Node, Output, Parameter
from alignc.graph.types import CONSTANT, Axis
from alignc.graph.walk import walk
from alignc.printers.dialect import TEXT
from alignc.printers.folding import WIDTH, folded
from alignc.printers.formula import text
from alignc.printers.torch import Printer, negative
from alignc.printers.torch_names import Names

__all__ = ["Body", "Result", "body", "shape"]

SHARED, WORTH = 24, 12
"""The shortest expression that has a name because it is printed twice, or because its line is too long."""
GIVEN = (Column, GroupSize, Logp, Output)
MASK = re.compile(r"\bmask\b(?!/)")


@dataclass(frozen=True)
class Result:
    """A value that a function returns, and the text around it. A `late` result is a metric: it has no gradient."""

    node: Node
    around: str
    show: Callable[[Node], str]
    late: bool = False


@dataclass(frozen=True)
class Body:
    """The lines of a function: values that the loss needs, values that only metrics need, and results."""

    lines: list[str]
    late: list[str]
    results: list[str]


@dataclass(frozen=True)
class Printed:
    """The expression of a line or a result, and the values that were printed inside it."""

    expression: str
    parts: list[tuple[Node, str]]
    late: bool


@dataclass
class Draft:
    """A whole function, printed with the names that are chosen so far."""

    lines: dict[Node, Printed] = field(default_factory=dict)
    results: list[Printed] = field(default_factory=list)

    def count(self, *, late: bool) -> Counter[Node]:
        """Count how often each value is printed, with or without the metrics."""
        printed = [p for p in (*self.lines.values(), *self.results) if late or not p.late]
        return Counter(node for p in printed for node, _ in p.parts)


def body(printer: Printer, names: Names, results: Sequence[Result], roots: Sequence[Node]) -> Body:
    """Print a function: choose names until no line is too long and nothing long is printed twice."""
    layout = Layout(printer, names, results, roots)
    while chosen := layout.next():
        for node in chosen:
            layout.name(node)
    layout.renumber()
    return layout.body()


class Layout:
    """Chooses the values of a function that have a line."""

    def __init__(
        self, printer: Printer, names: Names, results: Sequence[Result], roots: Sequence[Node]
    ) -> None:
        self.printer, self.names, self.results = printer, names, results
        self.place = {node: i for i, node in enumerate(walk(*roots))}
        self.owner: dict[Node, Node] = {}
        """For each value that has a name, the value whose line defines the name."""
        reached = printer.reached(*roots)
        for node in [n for n in self.place if isinstance(n, Named) and n in reached]:
            self.owner[node] = node
            printer.values[node] = node.name
            if not isinstance(node.argument, Constant | Parameter | Named):
                self.owner.setdefault(node.argument, node)
                printer.same.setdefault(node.argument, node.name)

    def name(self, node: Node) -> None:
        """Give a value a line of its own."""
        self.owner[node] = node
        self.printer.values[node] = self.names.choose(node, self.printer.values)

    def renumber(self) -> None:
        """Number the parts without a natural name in the order of their lines."""
        parts = [n for n in self.place if self.owner.get(n) is n and not isinstance(n, Named)]
        parts = [n for n in parts if not self.names.natural(n, self.printer.values)]
        self.names.taken -= {self.printer.values[n] for n in parts}
        for node in parts:
            self.name(node)

    # ---- printing -----------------------------------------------------------------------------------------

    def draft(self) -> Draft:
        """Print the results, and a line for every value that they need."""
        draft = Draft()
        for late in (False, True):
            for result in (r for r in self.results if r.late is late):
                draft.results.append(self.printed(result.show, result.node, late))
                self.add_lines(draft, draft.results[-1].parts, late)
        return draft

    def printed(self, show: Callable[[Node], str], node: Node, late: bool) -> Printed:
        """Print a value, and keep what is printed inside it."""
        self.printer.trace, self.printer.late = [], late
        return Printed(show(node), self.printer.trace, late)

    def add_lines(self, draft: Draft, parts: Iterable[tuple[Node, str]], late: bool) -> None:
        """Print a line for every value among the parts that has one."""
        for node in (self.owner[n] for n, shown in parts if n in self.owner and shown.isidentifier()):
            if node not in draft.lines:
                draft.lines[node] = self.printed(self.printer.defined, node, late)
                self.add_lines(draft, draft.lines[node].parts, late)

    def line(self, node: Node, printed: Printed) -> str:
        """Write the line of a value."""
        return f"{'        ' if printed.late else '    '}{self.printer.values[node]} = {printed.expression}"

    # ---- choosing -----------------------------------------------------------------------------------------

    def next(self) -> list[Node]:
        """Choose the next values to name; nothing if the function reads well."""
        draft = self.draft()
        return self.given(draft) or self.shared(draft) or self.too_long(draft)

    def free(self, node: Node) -> bool:
        """Tell whether a value may get a line: it is in the graph and has no line yet."""
        named = node in self.printer.values or node in self.owner or isinstance(node, Constant | Parameter)
        return node in self.place and not named

    def given(self, draft: Draft) -> list[Node]:
        """Choose inputs, and ratios that are clipped."""
        counted = draft.count(late=True)
        read = [n for n in counted if isinstance(n, GIVEN) and counted[n] >= _often(n.type.axis)]
        held = [n for n in counted if isinstance(n, Apply) and n.function == "clip"]
        ratios = [n for n in held if isinstance(n.arguments[0], Named)]
        return [n for n in (*read, *ratios) if self.free(n)]

    def shared(self, draft: Draft) -> list[Node]:
        """Choose the longest expression that is printed twice.

        A trained value that the loss itself computes twice stays as it is: one name would sum its two gradients first.
        """
        lengths = {n: len(s) for p in (*draft.lines.values(), *draft.results) for n, s in p.parts}
        every, early = draft.count(late=True), draft.count(late=False)
        found = [
            n
            for n, length in lengths.items()
            if self.free(n)
            and every[n] > 1
            and length >= SHARED
            and not isinstance(n, GIVEN)
            and n.type.axis != CONSTANT
            and not (n.type.trained and early[n] > 1)
        ]
        return sorted(found, key=lambda n: -lengths[n])[:1]

    def too_long(self, draft: Draft) -> list[Node]:
        """Choose a part of the first line that is too long."""
        lines = [(stacked(self.line(n, p)), p) for n, p in draft.lines.items()]
        ends = [(self.result_lines(r, p), p) for r, p in zip(self.ordered(), draft.results, strict=True)]
        for shown, printed in (*lines, *ends):
            if max(map(len, shown)) > WIDTH and (chosen := self.shorter(printed)):
                return chosen
        return []

    def result_lines(self, result: Result, printed: Printed) -> list[str]:
        """Write a result."""
        *above, line = result.around.format(printed.expression).split("\n")
        return [*above, *([line] if result.late else stacked(line))]

    def ordered(self) -> list[Result]:
        """List the results as they are printed: those of the loss first."""
        return [r for late in (False, True) for r in self.results if r.late is late]

    def shorter(self, printed: Printed) -> list[Node]:
        """Choose the longest part that fits into a line; a part with a natural name comes first.

        If the part is a term of a sum, the other long terms of this sum get lines too.
        """
        parts = {n: len(s) for n, s in printed.parts if self.free(n) and len(s) >= WORTH}
        parts = {n: size for n, size in parts.items() if size < len(printed.expression) and not negative(n)}
        called = {n for n in parts if self.names.natural(n, self.printer.values)}
        fits = WIDTH - len("        part_10 = ")
        ranked = sorted(parts, key=lambda n: (n not in called, parts[n] > fits, -parts[n]))
        sums = [n.terms for n in self.place if isinstance(n, Add) and ranked and ranked[0] in n.terms]
        beside = [t for terms in sums for t in terms if t in parts and parts[t] >= SHARED]
        return list(dict.fromkeys([*ranked[:1], *(beside if ranked and ranked[0] not in called else [])]))

    # ---- layout -------------------------------------------------------------------------------------------

    def body(self) -> Body:
        """Put the lines in the order of the graph, inputs first."""
        draft = self.draft()
        lines = sorted(draft.lines.items(), key=lambda item: self.place[_made_of(item[0])])
        given = [self.input_line(n, p) for n, p in lines if not p.late and _is_given(n)]
        made = [line for n, p in lines if not p.late and not _is_given(n) for line in self.lines(n, p)]
        late = [line for n, p in lines if p.late for line in self.lines(n, p)]
        ends = [self.result_lines(r, p) for r, p in zip(self.ordered(), draft.results, strict=True)]
        shown = ["\n".join(lines) for lines in ends]
        if MASK.search("\n".join((*given, *made, *late, *shown))):
            given.insert(0, '    mask = batch["mask/completions"]  # [rows, k, time]')
        return Body([*given, *([""] if given and made else []), *made], late, shown)

    def input_line(self, node: Node, printed: Printed) -> str:
        """Write the line of an input, with its comment at the end."""
        line = self.line(node, printed)
        commented = f"{line}  # {self.comment(node)}"
        return commented if len(commented) <= WIDTH else line

    def lines(self, node: Node, printed: Printed) -> list[str]:
        """Write the line of a value below its comment."""
        line = self.line(node, printed)
        indent = line[: len(line) - len(line.lstrip())]
        return [*folded(self.comment(node), f"{indent}# ", f"{indent}#     "), *stacked(line)]

    def comment(self, node: Node) -> str:
        """Write the comment of a value: its formula, shape and unit."""
        formula = text(node)
        if isinstance(node, Named):
            formula = f"{TEXT.symbol(node.symbol)} = {text(node.argument)}"
        formula = "" if formula == self.printer.values[node] else f"{formula}  "
        unit = f", {node.type.unit}" if node.type.unit.powers else ""
        return f"{formula}{shape(node.type.axis)}{unit}"


def stacked(line: str) -> list[str]:
    """Break an assignment that is too long before the signs of its sum, if the sum has three or more terms."""
    name, _, expression = line.partition(" = ")
    indent = name[: len(name) - len(name.lstrip())]
    terms = _terms(expression)
    if len(line) <= WIDTH or len(terms) < 3:
        return [line]
    inner = f"{indent}    {expression}"
    shown = [inner] if len(inner) <= WIDTH else [f"{indent}    {term}" for term in terms]
    return [f"{name} = (", *shown, f"{indent})"]


def _terms(expression: str) -> list[str]:
    """Split a sum before each sign that stands outside of brackets."""
    depth, starts = 0, [0]
    for at, character in enumerate(expression):
        depth += (character in "([") - (character in ")]")
        if depth == 0 and expression[at : at + 3] in (" + ", " - "):
            starts.append(at + 1)
    return [expression[a:b].rstrip() for a, b in zip(starts, [*starts[1:], None], strict=True)]


def _often(axis: Axis) -> int:
    """Say how often an input must be read to have a line. Tokens of pairs and single responses never have one."""
    return 1 if axis.grouped else 1000 if axis.by_token else 2


def shape(axis: Axis) -> str:
    """Write the shape of a value's tensor."""
    names = ["rows", *(["k"] if axis.grouped else []), *(["time"] if axis.by_token else [])]
    return "one number" if axis.single else f"[{', '.join(names)}]"


def _made_of(node: Node) -> Node:
    return node.argument if isinstance(node, Named) else node


def _is_given(node: Node) -> bool:
    return isinstance(_made_of(node), GIVEN)
