"""Checks of settings that nothing reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from alignc.checks.rule import Checked, term_path
from alignc.contract.baselines import BASELINES, Reads
from alignc.contract.kinds import ONLINE
from alignc.contract.models import PREVIOUS_ITERATE
from alignc.diagnostics import Diagnostic
from alignc.load.bound import Bound
from alignc.load.preset import Preset, defaults_of
from alignc.lower.policy import held
from alignc.lower.surrogates import SURROGATES
from alignc.spec.objective import PolicyGradient, Value
from alignc.spec.rows import Sampled, SelfPlay
from alignc.yaml.scalars import scalar_text
from alignc.yaml.source import NodePath

__all__ = ["unread_data", "unread_fields", "unread_parameters", "unread_train"]


def _written(checked: Checked, path: NodePath) -> bool:
    """Return whether a value comes from a user's file or the command line, and not from a preset."""
    origin = checked.spec.document.origins.get(path)
    return origin is not None and origin.span is not None


def _part(checked: Checked) -> bool:
    """Return whether this is one of several sources; another source may then read the setting."""
    return checked.spec.whole is not None


def unread_train(checked: Checked) -> Iterator[Diagnostic]:
    """W114: settings of rollouts for given rows, and `num_train_epochs` for self-play."""
    job = checked.spec.job
    for name in ("rollout_epochs", "rollout_minibatches"):
        path = ("train", name)
        unread = job.data.kind not in ONLINE and not checked.beside_sampled
        if unread and getattr(job.train, name) != 1 and _written(checked, path):
            message = (
                f"`{name}` is a setting of rollouts, but rows of kind `{job.data.kind}` have no rollouts"
            )
            yield checked.finding("W114", message, path)
    if isinstance(job.data, SelfPlay) and _written(checked, ("train", "num_train_epochs")):
        message = "`data.iterations` sets the length of self-play, and `num_train_epochs` has no effect"
        yield checked.finding("W114", message, ("train", "num_train_epochs"))


def unread_data(checked: Checked) -> Iterator[Diagnostic]:
    """W114: a critic, an opponent, a reward of cut responses or further samples that nothing reads."""
    job, view = checked.spec.job, checked.loss.view
    valued = any(isinstance(t, Value) or _valued(t) for t in job.objective.terms)
    if job.model.critic is not None and not valued and not _part(checked):
        yield checked.finding("W114", "no term reads the values of the critic", ("model", "critic"))
    if job.model.critic is not None and job.model.critic.kind == "head" and job.model.critic.path is not None:
        message = "a value head uses the trunk of the policy, and cannot start from another model"
        yield checked.finding("W114", message, ("model", "critic", "path"))
    data = job.data
    if not isinstance(data, Sampled):
        return
    if data.opponent.kind == "mixture" and data.oracle is None and _written(checked, ("data", "opponent")):
        message = "an opponent needs an oracle, but `data.oracle` is missing"
        yield checked.finding("W114", message, ("data", "opponent"))
    if data.temperature == 0:
        for name in data.cuts:
            message = f"temperature 0 takes the most likely token, so `{name}` has no effect"
            yield checked.finding("W114", message, ("data", name))
    if data.missing_eos_reward is not None and data.reward is None:
        message = "`missing_eos_reward` replaces a reward, but `data.reward` is missing"
        yield checked.finding("W114", message, ("data", "missing_eos_reward"))
    if view.convert == "demonstration" and data.completions_per_prompt > 1:
        message = f"only the first of the {data.completions_per_prompt} responses is compared with the demonstration"
        yield checked.finding("W114", message, ("data", "completions_per_prompt"))


def _valued(term: object) -> bool:
    return isinstance(term, PolicyGradient) and BASELINES[term.baseline.kind].reads is Reads.CRITIC


def unread_fields(checked: Checked) -> Iterator[Diagnostic]:
    """W114: a field of a policy gradient that has no effect because of another field."""
    for index, term in enumerate(checked.spec.job.objective.terms):
        if not isinstance(term, PolicyGradient):
            continue
        path = term_path(index)
        if (
            not SURROGATES[term.surrogate.kind].reads_ratio
            and not _ratio_in_kl(term)
            and _written(checked, (*path, "ratio"))
        ):
            yield checked.finding(
                "W114", f"`surrogate: {term.surrogate.kind}` uses no ratio", (*path, "ratio")
            )
        if not _valued(term) and _written(checked, (*path, "gae_lambda")):
            message = "`gae_lambda` needs the values of a critic, but the baseline is not `value`"
            yield checked.finding("W114", message, (*path, "gae_lambda"))
        if _still(term):
            message = "the previous iterate is the rollout policy, so the KL to it in the reward is 0"
            yield checked.finding("W114", message, (*path, "kl", "anchor"), help="place the KL in the loss")
        if term.kl is not None and term.kl.adaptive is not None and term.kl.beta == 0:
            message = "`beta` is 0: an adaptive controller multiplies `beta`, so `beta` stays 0"
            yield checked.finding("W114", message, (*path, "kl", "adaptive"))


def _still(term: PolicyGradient) -> bool:
    """Return whether the KL in the reward compares the rollout policy with itself."""
    kl = held(term, "reward")
    return kl is not None and kl.anchor == PREVIOUS_ITERATE


def _ratio_in_kl(term: PolicyGradient) -> bool:
    return term.kl is not None and term.kl.placement == "ratio"


def unread_parameters(checked: Checked) -> Iterator[Diagnostic]:
    """W114: a parameter that no term of its preset uses, or whose field the spec sets itself."""
    spec = checked.spec
    if spec.preset is not None:
        for name, bound in spec.parameters.items():
            if _written(checked, ("objective", name)):
                yield from _at_the_top(checked, spec.preset, name, bound)
    here = (spec.document.file, "--set")
    for each in {n.label: n for n in spec.nested.values()}.values():
        taken = _taken(each.preset.terms, each.parameters)
        for name in sorted(each.preset.parameters.keys() - taken):
            span = each.parameters[name].origin.span
            if span is not None and span.file in here:
                message = f"`{name}` has no effect: a preset that is used as a term sets only its terms"
                yield Diagnostic("W114", message, span)


def _at_the_top(checked: Checked, preset: Preset, name: str, bound: Bound) -> Iterator[Diagnostic]:
    online = checked.spec.job.data.kind in ONLINE
    if name in _taken(preset.terms, checked.spec.parameters) | _names(preset.train):
        return
    places = defaults_of(preset, name)
    path = ("objective", name)
    if not places:
        yield checked.finding(
            "W114", f"`{name}` has no effect together with the other parameters of the preset", path
        )
    elif not online and not checked.beside_sampled:
        message = f"`{name}` is a setting of sampled responses, but the rows give the responses"
        yield checked.finding("W114", message, path)
    for place in places if online else ():
        value, field = checked.spec.document.get(place), ".".join(str(step) for step in place)
        if value != bound.value:
            other = (
                f"`{field}: {scalar_text(value)}`"
                if value is not None
                else f"`{'.'.join(map(str, place[:-1]))}`"
            )
            message = f"`{name}` is {scalar_text(bound.value)}, but it is overridden by {other}"
            yield checked.finding("W114", message, path, help="delete one of the two")


def _taken(terms: list[dict[str, Any]], parameters: Mapping[str, Bound]) -> set[str]:
    """Collect the parameters of the terms that apply, and the parameters that choose these terms."""
    found: set[str] = set()
    for term in terms:
        wrong = [n for n, value in term.get("when", {}).items() if parameters[n].value != value]
        if not wrong:
            found |= _names(term) | set(term.get("when", {}))
        elif len(wrong) == 1:
            found |= set(wrong)
    return found


def _names(value: Any) -> set[str]:
    """Collect the parameters that a part of a preset refers to."""
    if isinstance(value, dict):
        return set().union(*map(_names, value.values()))
    if isinstance(value, list):
        return set().union(*map(_names, value))
    return (
        set(re.findall(r"[A-Za-z_]\w*", value)) if isinstance(value, str) and value.startswith("=") else set()
    )
