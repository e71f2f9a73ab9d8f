"""Random legal objectives: whole specs that the schema accepts, a function of a seed alone.

The schema is walked: a new kind of term, or a new axis, is drawn without a change here. The pools below only favour
what goes together, so that most specs are sound; what the checks refuse is a result as well.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from alignc.contract.kinds import KINDS, ONLINE, SELF_PLAY
from alignc.contract.responses import COMPLETIONS, PAIR
from alignc.load.preset import Parameter, Preset, built_in, preset_names
from alignc.spec.axes import Link
from alignc.spec.fields import members, model_at, plain
from alignc.spec.kl import ESTIMATORS as NAMED
from alignc.spec.kl import AdaptiveKL
from alignc.spec.objective import Term
from alignc.spec.rows import OneSource
from alignc.spec.sections import Adapter, Critic, Reference, Train
from alignc.spec.targets import Target

from .drawing import BIAS, LEFT_OUT, Drawing, choices_of, of_text
from .formulas import ESTIMATORS, LINKS, TRANSFORMS, formula

__all__ = ["Drawn", "draw", "universe"]

TERMS: dict[str, Any] = {get_args(m.model_fields["kind"].annotation)[0]: m for m in members(Term)}
ROWS: dict[str, Any] = {get_args(m.model_fields["kind"].annotation)[0]: m for m in members(OneSource)}
PRESETS: dict[str, Preset] = {name: built_in(name) for name in preset_names()}
PLAIN_TRAIN = (
    "rollout_epochs", "rollout_minibatches", "per_device_train_batch_size", "gradient_accumulation_steps",
    "max_length", "max_steps",
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A spec of a seed, its text, and the fields and choices that it has."""

    seed: int
    spec: dict[str, Any]
    seen: frozenset[tuple[str, ...]]

    @property
    def text(self) -> str:
        """The spec as a file."""
        return json.dumps(self.spec, ensure_ascii=False) + "\n"


def universe() -> set[tuple[str, ...]]:
    """Name everything that draws must reach: terms, axes, rows, rewards, and presets with their parameters."""
    found = {*choices_of(Term), *choices_of(OneSource), *choices_of(Reference), *choices_of(Critic)}
    found |= {("preset", name) for name in PRESETS}
    found |= {("preset", name, p) for name, preset in PRESETS.items() for p in preset.parameters}
    return {key for key in found if not _of_files(key)}


def draw(seed: int) -> Drawn:
    """Draw the spec of a seed."""
    rng = random.Random(f"objective {seed}")
    drawing = Drawing(rng, POOLS, TEXTS)
    drawing.facts["several"] = rng.random() < 0.06
    objective, data = (_mixed if drawing.facts["several"] else _single)(drawing)
    spec: dict[str, Any] = {"objective": objective, "model": _model(drawing), "data": data}
    if rng.random() < 0.3:
        unread = set(Train.model_fields) - set(PLAIN_TRAIN)
        spec["train"] = drawing.model(Train, **dict.fromkeys(unread, LEFT_OUT))
    return Drawn(seed, spec, frozenset(drawing.seen))


def _single(drawing: Drawing) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw an objective on one source of rows."""
    rng = drawing.rng
    if rng.random() < 0.35:
        name = rng.choice(list(PRESETS))
        kind = rng.choice(PRESETS[name].data if rng.random() < 0.9 else list(KINDS))
        rows = _rows(drawing, kind)
        given = _preset(drawing, name)
        changes = _changes(drawing, PRESETS[name], given)
        return {**given, **({"terms": changes} if changes else {})}, rows
    kind = rng.choice(list(KINDS))
    rows = _rows(drawing, kind)
    return {"terms": _terms(drawing, rng.choice((1, 1, 1, 2, 2, 3)), {})}, rows


def _mixed(drawing: Drawing) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw an objective on two sources of rows, of which at most one is mostly sampled."""
    names, terms = ("first", "second"), []
    sources = {}
    for name in names:
        given = [k for k in KINDS if k not in ONLINE]
        kinds = given if any(s["kind"] in ONLINE for s in sources.values()) else list(KINDS)
        sources[name] = _rows(drawing, drawing.rng.choice(kinds))
        terms += _terms(drawing, drawing.rng.choice((1, 1, 2)), {"data": name}, prefix=name[0])
    return {"terms": terms}, {"sources": sources}


def _terms(drawing: Drawing, count: int, given: dict[str, Any], prefix: str = "t") -> list[dict[str, Any]]:
    """Draw terms; now and then one of them is a preset."""
    found = []
    for number in range(count):
        fitting = [n for n, p in PRESETS.items() if drawing.facts["kind"] in p.data]
        if drawing.rng.random() < 0.12 and fitting:
            weight = {"weight": 0.3} if drawing.rng.random() < 0.5 else {}
            found.append({**_preset(drawing, drawing.rng.choice(fitting)), **weight, **given})
        else:
            found.append(_term(drawing, f"{prefix}{number}", given))
    return found


def _term(drawing: Drawing, name: str, given: dict[str, Any]) -> dict[str, Any]:
    online = drawing.facts["kind"] in ONLINE
    grouped = drawing.facts["kind"] in ("scored", *ONLINE)
    usual = [
        *(["preference"] * 3 if drawing.facts["kind"] not in ("pointwise", "demonstrations") else []),
        *["pointwise", "pointwise", "kl"],
        *([] if grouped else ["likelihood"]),
        *(["policy_gradient"] * 3 + ["value", "entropy"] if online else []),
    ]
    kind = drawing.rng.choice(usual if drawing.rng.random() < 0.9 else list(TERMS))
    drawing.seen.add(("term", kind))
    if kind == "pointwise" and drawing.facts["kind"] != "pointwise" and drawing.rng.random() < BIAS:
        given = {"direction": drawing.rng.choice(("up", "up", "down")), **given}
    return drawing.model(TERMS[kind], **{"name": name, "data": LEFT_OUT, **given})


def _preset(drawing: Drawing, name: str) -> dict[str, Any]:
    drawing.seen.add(("preset", name))
    found: dict[str, Any] = {"preset": name}
    for key, parameter in PRESETS[name].parameters.items():
        if drawing.rng.random() < 0.4:
            found[key] = _parameter(drawing, PRESETS[name], key, parameter)
            drawing.seen.add(("preset", name, key))
    return found


def _parameter(drawing: Drawing, preset: Preset, name: str, parameter: Parameter) -> Any:
    match parameter.type:
        case "choice":
            return drawing.rng.choice(parameter.choices)
        case "boolean":
            return drawing.rng.random() < 0.5
        case "axis":
            return _axis(drawing, preset, name)
        case kind:
            bounds = {
                n: float(v) for n in ("gt", "ge", "lt", "le") if (v := getattr(parameter, n)) is not None
            }
            return drawing.number(int if kind == "integer" else float, bounds)


def _axis(drawing: Drawing, preset: Preset, name: str) -> Any:
    """Draw a part of a term, such as a `kl:` block: the value of the field that the parameter stands for."""
    model, key = next(
        found for term in preset.terms for found in _bound(term, TERMS[term["kind"]], f"={name}")
    )
    info = model.model_fields[key]
    nothing = type(None) in get_args(info.annotation)
    return None if nothing and drawing.rng.random() < 0.2 else drawing.field(model, key, info)


def _bound(part: dict[str, Any], model: Any, wanted: str) -> Iterator[tuple[Any, str]]:
    """Find the fields of a term that are written as a parameter."""
    for key, value in part.items():
        if value == wanted:
            yield model, key
        elif (
            isinstance(value, dict) and (inner := model_at(model, (key, str(value.get("kind"))))) is not None
        ):
            yield from _bound(value, inner, wanted)


def _changes(drawing: Drawing, preset: Preset, given: dict[str, Any]) -> dict[str, Any]:
    """Draw changes of the axes of a preset's terms, and now and then a further term."""
    changes: dict[str, Any] = {}
    values = {name: given.get(name, parameter.default) for name, parameter in preset.parameters.items()}
    for term in preset.terms:
        there = all(values[name] == value for name, value in term.get("when", {}).items())
        if there and "kind" in term and drawing.rng.random() < 0.5:
            changes[term["name"]] = _change(drawing, term)
    if drawing.rng.random() < 0.2:
        added = _term(drawing, "added", {})
        changes["added"] = {k: v for k, v in added.items() if k != "name"}
    return {name: change for name, change in changes.items() if change}


def _change(drawing: Drawing, term: dict[str, Any]) -> dict[str, Any]:
    """Draw one or two fields of a term in its own kind; a nested axis is replaced or completed."""
    model = TERMS[term["kind"]]
    names = [n for n in model.model_fields if n not in ("name", "kind", "data")]
    found = {}
    for name in drawing.rng.sample(names, drawing.rng.choice((1, 1, 2))):
        value = drawing.field(model, name, model.model_fields[name])
        if value is not LEFT_OUT:
            found[name] = value
            drawing.seen.add((model.__name__, name))
    return found


def _rows(drawing: Drawing, kind: str) -> dict[str, Any]:
    drawing.facts["kind"] = kind
    drawing.facts["responses"] = KINDS[kind].responses
    kept = {"kind": kind, "source": "x/y"}
    found = drawing.model(ROWS[kind], **kept, **dict.fromkeys(UNDRAWN_ROWS, LEFT_OUT))
    if kind in ONLINE and drawing.rng.random() < 0.9:
        found.setdefault("completions_per_prompt", drawing.rng.choice((2, 3, 4)))
        name = "oracle" if kind == SELF_PLAY or drawing.rng.random() < 0.15 else "reward"
        found.setdefault(name, {"kind": "verifier", "name": "exact_number"})
    return found


def _model(drawing: Drawing) -> dict[str, Any]:
    found: dict[str, Any] = {"policy": {"init": "llama", "tokenizer": "bytes"}}
    if drawing.rng.random() < 0.12:
        reference = drawing.model(Reference)
        if reference["kind"] == "path":
            reference["path"] = "x/reference"
        found["reference"] = reference
        if reference["kind"] == "adapter_off":
            found["adapter"] = drawing.model(Adapter, target_modules="all-linear")
    if drawing.rng.random() < 0.05:
        found["critic"] = drawing.model(Critic)
    return found


UNDRAWN_ROWS = (
    "split",
    "chat_template",
    "max_rows",
    "eval",
    "on_bad_row",
    "max_refused",
    "max_cut",
    "columns",
)
NEVER = {
    (model.__name__, name)
    for model in ROWS.values()
    for name, info in model.model_fields.items()
    if name in UNDRAWN_ROWS or (of_text(info) and name != "source")
}
"""Fields about files, which no loss reads; nor does one read what the columns of files are called."""


def _of_files(key: tuple[str, ...]) -> bool:
    return key[:2] in NEVER or key[0].endswith("Columns") or key[0].startswith("HeldOut")


def _on(drawing: Drawing) -> Any:
    return drawing.rng.choice(("completion", *drawing.facts["responses"], LEFT_OUT))


def _one_response(drawing: Drawing) -> Any:
    responses = [r for r in drawing.facts["responses"] if r != COMPLETIONS]
    return drawing.rng.choice(responses or PAIR)


def _weight(drawing: Drawing) -> Any:
    return drawing.rng.choice((1.0, 0.1, 2.5, 0.5, LEFT_OUT, LEFT_OUT))


def _anchor(drawing: Drawing) -> Any:
    online = ("rollout", "previous_iterate", "ema") if drawing.facts["kind"] in ONLINE else ()
    return drawing.rng.choice(("initial", "initial", "x/other", LEFT_OUT, *online))


def _estimator(drawing: Drawing) -> Any:
    usual = [n for n in NAMED if n != "full" or drawing.facts["kind"] in ONLINE]
    return drawing.rng.choice(usual) if drawing.rng.random() < 0.6 else _kappa(drawing)


def _kappa(drawing: Drawing) -> str:
    return formula(drawing.rng, "u", ESTIMATORS)


def _of(drawing: Drawing) -> str:
    return drawing.rng.choice(("log_ratio", "log_ratio", "log_prob", "log_odds", "f_ratio", "scalar_head"))


def _reduce(drawing: Drawing) -> str:
    return drawing.rng.choice(("sum", "mean"))


def _link(drawing: Drawing) -> Any:
    value = drawing.value(("", "link"), Link)
    short = isinstance(value, dict) and len(value) == 1 and drawing.rng.random() < 0.5
    return value["kind"] if short else value


def _target(drawing: Drawing) -> Any:
    fits = {"pointwise": ("none", "constant", "reward", "win_rate"), "scored": ("none", "constant", "reward"),
            "prompts": ("none", "constant", "reward"), SELF_PLAY: ("none", "constant", "win_rate")}  # fmt: skip
    wanted = drawing.rng.choice(fits.get(drawing.facts["kind"], ("none", "constant")))
    model = next(
        plain(m) for m in members(Target) if get_args(m.model_fields["kind"].annotation)[0] == wanted
    )
    return drawing.model(model)


def _pairs(drawing: Drawing) -> Any:
    usual = (
        ("best_worst", "all", "demonstration")
        if drawing.facts["kind"] == SELF_PLAY
        else ("best_worst", "all")
    )
    return drawing.rng.choice(usual if drawing.facts["kind"] in ("scored", *ONLINE) else (LEFT_OUT,))


def _path(drawing: Drawing) -> str:
    return drawing.rng.choice(("x/other", "x/third"))


POOLS = {
    ("Pointwise", "on"): _on,
    ("KLTerm", "on"): _on,
    ("Likelihood", "on"): _one_response,
    **{(model.__name__, "weight"): _weight for model in TERMS.values()},
    ("KLTerm", "estimator"): _estimator,
    ("KLTerm", "gradient"): lambda d: d.rng.choice((LEFT_OUT, LEFT_OUT, "k2", "k3", "k1")),
    ("KLTerm", "correction"): lambda d: (
        d.rng.choice(("none", "importance", "ratio")) if d.facts["kind"] in ONLINE else "none"
    ),
    ("KLTerm", "anchor"): _anchor,
    ("KLPlacement", "estimator"): _estimator,
    ("KLPlacement", "adaptive"): lambda d: LEFT_OUT if d.rng.random() < 0.8 else d.model(AdaptiveKL),
    ("Score", "anchor"): lambda d: LEFT_OUT if d.rng.random() < 0.6 else _anchor(d),
    ("Score", "of"): _of,
    ("Score", "reduce"): _reduce,
    ("Score", "transform"): lambda d: LEFT_OUT if d.rng.random() < 0.7 else formula(d.rng, "x", TRANSFORMS),
    ("Score", "tail_weight"): lambda d: LEFT_OUT if d.rng.random() < 0.8 else 0.5,
    ("Score", "divergence"): lambda d: d.rng.choice(("reverse_kl", "forward_kl", "js", "alpha")),
    ("Preference", "pairs"): _pairs,
    ("Preference", "link"): _link,
    ("Preference", "order"): lambda d: d.rng.choice(("row", "row", "row", "row", "sorted")),
    ("Preference", "sample_weight"): lambda d: d.rng.choice(("none", "none", "none", "likelihood")),
    ("Preference", "center"): lambda d: d.rng.choice((0, 0, 0.1)),
    ("Pointwise", "link"): _link,
    ("Pointwise", "target"): _target,
    ("Sampled", "temperature"): lambda d: 1.0,
    **{(ROWS[k].__name__, "temperature"): lambda d: d.rng.choice((1.0, 1.0, 1.0, 0.7)) for k in ONLINE},
    **{(ROWS[k].__name__, "top_p"): lambda d: 1.0 for k in ONLINE},
    **{(ROWS[k].__name__, "sampler"): lambda d: "transformers" for k in ONLINE},
    **{
        (ROWS[k].__name__, "completions_per_prompt"): lambda d: d.rng.choice((2, 2, 3, 4, 8, 1))
        for k in ONLINE
    },
    **{(ROWS[k].__name__, "max_new_tokens"): lambda d: d.rng.choice((16, 64)) for k in ONLINE},
    ("Train", "max_length"): lambda d: 256,
    ("Train", "max_steps"): lambda d: d.rng.choice((-1, 10)),
    ("Train", "rollout_minibatches"): lambda d: d.rng.choice((1, 1, 2, 4)),
    ("Reference", "path"): _path,
    ("Critic", "path"): lambda d: LEFT_OUT,
}

TEXTS = {
    ("KLTerm", "estimator"): _kappa,
    ("KLTerm", "gradient"): _kappa,
    ("KLTerm", "anchor"): _path,
    ("KLPlacement", "estimator"): _kappa,
    ("Score", "anchor"): _path,
    ("Score", "transform"): lambda d: formula(d.rng, "x", TRANSFORMS),
    ("FormulaLink", "formula"): lambda d: formula(d.rng, "z", LINKS),
    ("Preference", "link"): lambda d: formula(d.rng, "z", LINKS),
    ("Pointwise", "link"): lambda d: formula(d.rng, "z", LINKS),
    ("AnswerVerifier", "answer"): lambda d: "answer",
    ("RegexVerifier", "pattern"): lambda d: "[0-9]+",
    ("JsonVerifier", "answer"): lambda d: "answer",
    ("ModelReward", "path"): _path,
    ("FunctionReward", "name"): lambda d: "judges:score",
    ("FunctionOracle", "name"): lambda d: "judges:prefer",
    ("HttpReward", "url"): lambda d: "https://example.org/score",
    ("ColumnReward", "name"): lambda d: "quality",
    ("Reference", "path"): _path,
    ("Critic", "path"): _path,
}
