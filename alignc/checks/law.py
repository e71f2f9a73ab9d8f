"""Are samples of the law that they are taken for?"""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked
from alignc.diagnostics import Diagnostic
from alignc.graph.soundness import placed
from alignc.spec.objective import KLTerm, Pointwise, PolicyGradient, Preference, Term
from alignc.spec.rows import Sampled, SelfPlay
from alignc.spec.targets import WinRateTarget

__all__ = ["sharpened"]


def sharpened(checked: Checked) -> Iterator[Diagnostic]:
    """W312: samples of another law than the one whose log-probabilities are differentiated or compared."""
    data = checked.spec.job.data
    if not isinstance(data, Sampled) or (data.temperature == 1 and data.top_p == 1):
        return
    law = " and ".join(
        [f"temperature {data.temperature:g}"] * (data.temperature != 1)
        + [f"top_p {data.top_p:g}"] * (data.top_p < 1)
    )
    for term in checked.spec.job.objective.terms:
        if said := _own_law(term, data, checked.spec.job.data.kind):
            cut = said[1] is CUT_OFF or data.temperature == 1
            path = ("data", "top_p" if cut else "temperature")
            yield checked.finding("W312", f"`{term.name}` {said[0].format(law=law)}", path, why=said[1])


def _own_law(term: Term, data: Sampled, kind: str) -> tuple[str, str | None] | None:
    """Say what a term takes for the policy's own law, and why it matters where that is not what the code says."""
    if isinstance(term, PolicyGradient):
        return "takes samples at {law} for samples of the policy", None
    if isinstance(term, KLTerm) and term.estimator != "full" and placed(term, kind)[2] != "given":
        return "takes samples at {law} for samples of the policy", None
    if (
        isinstance(term, Pointwise)
        and isinstance(term.target, WinRateTarget)
        and data.opponent.kind == "policy"
        and data.temperature > 0  # E105 says that nothing at all is learnt there
    ):
        return "takes win rates against samples at {law} for win rates against the policy", OTHER_OPPONENT
    if (
        isinstance(term, Preference)
        and isinstance(data, SelfPlay)
        and data.oracle is None
        and data.temperature > 0
    ):
        return "tells samples at {law} from the rows, not those of the policy", NOT_ITSELF
    if isinstance(term, Preference | Pointwise) and data.top_p < 1:
        return "compares samples at {law}, of a law without full support", CUT_OFF
    return None


NOT_ITSELF = (
    "self-play against the rows rests where the samples cannot be told from them: then the sharpened policy has their "
    "law, and the policy itself has not"
)
CUT_OFF = (
    "compared responses hold the policy at its optimum for any law that may draw every one: what the cut leaves out is "
    "never drawn, and nothing says where its probability goes"
)
OTHER_OPPONENT = (
    "the step of multiplicative weights is against the policy that samples: at another temperature, or with the tail "
    "cut off, it is against another opponent, and means over the responses are not the policy's"
)
