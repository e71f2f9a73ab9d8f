"""Print a loss as torch source: the parts of an emitted `loss.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alignc.contract.responses import COMPLETIONS
from alignc.graph.nodes import Named, Node, Parameter
from alignc.graph.types import token_axis
from alignc.graph.walk import walk
from alignc.lower.loss import Loss
from alignc.lower.statistics import rows_of, statistics
from alignc.printers.dialect import TEXT
from alignc.printers.folding import folded
from alignc.printers.formula import text
from alignc.printers.terms import objective
from alignc.printers.torch import Printer, without_unit
from alignc.printers.torch_body import Body, Result, body
from alignc.printers.torch_names import Names, roles

__all__ = ["TorchSource", "torch_source"]


@dataclass(frozen=True)
class TorchSource:
    """The parts of `loss.py`, as lines."""

    parameters: list[str]
    loss: Body
    statistics: Body | None
    penalty: Body | None
    """The KL penalty that a rollout subtracts from its rewards, if there is one."""
    tools: frozenset[str]


def torch_source(loss: Loss) -> TorchSource:
    """Print a loss. The order of lines is that of the graph; a name is assigned once."""
    known = {node: f"s{i + 1}" for i, node in enumerate(statistics(loss))}
    source = Source(loss)
    parameters = source.parameters()
    share = source.share(known)
    coupled = source.row_values(known) if known else None
    penalty = source.penalty() if loss.penalties else None
    return TorchSource(parameters, share, coupled, penalty, frozenset(source.tools))


class Source:
    """Prints the functions of one module, which share the names of hyper-parameters."""

    def __init__(self, loss: Loss) -> None:
        self.loss, self.roles = loss, roles(loss)
        self.nodes = list(walk(objective(loss), *loss.outputs, *loss.penalties))
        self.named = {n.name for n in self.nodes if isinstance(n, Named)}
        self.names: dict[Parameter, str] = {}
        self.tools: set[str] = set()

    def parameters(self) -> list[str]:
        """Assign each hyper-parameter. Its value stands nowhere else in the file."""
        printer, lines = self.printer({}), []
        for p in self.nodes:
            if isinstance(p, Parameter):
                unit = f", {p.unit}" if p.unit.powers else ""
                lines.append(f"{printer.parameter(p)} = {p.value!r}  # {TEXT.symbol(p.symbol)}{unit}")
        return lines

    def printer(self, known: Mapping[Node, str]) -> Printer:
        """Make a printer for one function."""
        printer = Printer(known, self.named)
        printer.names, printer.tools = self.names, self.tools
        if any(n.type.axis == token_axis(COMPLETIONS) for n in self.nodes):
            printer.masks[COMPLETIONS] = "mask"
        return printer

    def laid_out(self, printer: Printer, results: Sequence[Result], roots: Iterable[Node]) -> Body:
        """Lay out a function."""
        names = Names({*self.named, *self.names.values()}, self.roles)
        return body(printer, names, results, list(roots))

    def share(self, known: Mapping[Node, str]) -> Body:
        """Print the loss and its metrics."""
        printer, root = self.printer(known), without_unit(objective(self.loss))
        metrics = [
            Result(m.value, f'            "{m.name}": {{}},', printer.metric, late=True)
            for m in self.loss.metrics[1:]
        ]
        printer.values[root] = "share"
        comment = folded(f"L = {text(root)}", "    # ", "    #     ") if len(self.loss.terms) > 1 else []
        around = "\n".join([*comment, "    share = {}"])
        share = Result(root, around, lambda node: printer.written(node)[0])
        return self.laid_out(printer, [share, *metrics], [root, *(m.node for m in metrics)])

    def row_values(self, known: Mapping[Node, str]) -> Body:
        """Print the row values of each statistic."""
        printer = self.printer({})
        results = [Result(n, f'        "{key}": {{}},', printer.stacked) for n, key in known.items()]
        return self.laid_out(printer, results, [row for node in known for row in rows_of(node)])

    def penalty(self) -> Body:
        """Print the penalty that a rollout subtracts from its rewards."""
        printer = self.printer({})
        results = [Result(n, "    return {}", lambda n: printer.show(n)[0]) for n in self.loss.penalties]
        return self.laid_out(printer, results, self.loss.penalties)
