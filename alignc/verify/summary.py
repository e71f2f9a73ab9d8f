"""The closing lines of `verify`: what the spec does by what was found, and what was not tried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alignc.verify.report import Claim, Verdict

__all__ = ["does", "untried"]

WIDTH = (
    "a network that shares weights among responses and prompts, finite batches, and an optimizer's own steps"
)


def does(claims: Sequence[Claim]) -> str:
    """Say in two sentences what the spec was found to do: where it pushes, and where it ends."""
    found = [*_online(claims), *_of_data(claims)]
    failed = [c for c in claims if c.verdict is Verdict.REFUTED]
    if failed:
        found.append(f"What is said of it is refuted: {failed[0].about}.")
    return " ".join(found)


def _starting(claims: Iterable[Claim], start: str) -> list[Claim]:
    return [c for c in claims if c.about.startswith(start)]


def _online(claims: Sequence[Claim]) -> list[str]:
    steps, ends = _starting(claims, "first inner step"), _starting(claims, "optimum, one action, own samples")
    if not steps:
        return []
    said = [f"The first update of a rollout {'; it '.join(_ascent(c) for c in steps)}."]
    later = _starting(claims, "later inner steps")
    end = next((f"Its rest is {c.says} on one action." for c in ends if c.verdict is Verdict.HOLDS), "")
    said.append(end or (f"Later updates: {later[0].says}." if later else ""))
    return [s for s in said if s]


def _ascent(claim: Claim) -> str:
    where = claim.about.removeprefix("first inner step, ").partition(", k = ")[0]
    if claim.says.startswith("ascends"):
        return f"{claim.says}, on {where}"
    return f"is {claim.found}, and lowers none of the divergences tried, on {where}"


def _of_data(claims: Sequence[Claim]) -> list[str]:
    ends = [c for c in _starting(claims, "optimum, o") if not c.about.startswith("optimum, one action")]
    steps = [c for c in _starting(claims, "first step") if c.verdict is Verdict.HOLDS]
    said = [f"At the reference it {steps[0].says}."] if steps else []
    proven = [c for c in ends if c.verdict is Verdict.HOLDS]
    if proven:
        both = "own samples and other data" if len(proven) > 1 else proven[0].about.removeprefix("optimum, ")
        known = proven[0].says
        said.append(
            f"It has no optimum on {both}." if known.startswith("none") else f"It ends at {known}, on {both}."
        )
    elif ends:
        said.append(f"Where it ends is not decided: {ends[0].says}; {ends[0].found}.")
    return said


def untried(claims: Sequence[Claim], *, online: bool) -> str:
    """Say what no claim covers."""
    missing = [WIDTH]
    if online:
        missing.append("divergences other than KL(π‖ref), KL(ref‖π), Σ|π − ref| and the spec's own")
    open_ones = [c.about for c in claims if c.verdict is Verdict.UNDECIDED]
    if open_ones:
        missing.append(f"what is marked ? ({', '.join(dict.fromkeys(open_ones))})")
    return "; ".join(missing)
