"""Claims about the job: what a batch is a mean of, which models run, and how a rollout is made and scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from alignc.claims.kinds.spec import Bound, ModelRole, Recurrence, Scaling, Stated
from alignc.claims.model import Claim, Section, Subject
from alignc.claims.slopes import summed
from alignc.contract.baselines import BASELINES, PARTITIONS, Reads
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Named
from alignc.graph.walk import walk
from alignc.plan.needs import roles
from alignc.printers.formula import text
from alignc.spec.kl import FULL
from alignc.spec.objective import PolicyGradient
from alignc.spec.rows import Prompts, Sampled, SelfPlay

__all__ = ["models", "rollouts", "scaling"]


def scaling(subject: Subject) -> Iterator[Claim]:
    """Say what the loss of a batch is a mean of."""
    kinds = {n.kind for t in subject.loss.terms if evaluate(t.weight, {}) for n in summed(t.value)}
    over = "rows" if kinds <= {"mean"} else "tokens" if kinds == {"sum"} else "both"
    yield Scaling(over, bool(subject.needs.statistics))


def models(subject: Subject) -> Iterator[Claim]:
    """List the models of the job."""
    for r in roles(subject.needs, subject.loss, subject.spec.job):
        yield ModelRole(r.role, r.weights, r.trained, r.forwards, r.silent, r.grouped, r.cached)


# ---- rollouts ---------------------------------------------------------------------------------------------------

BATCH = (
    "train.per_device_train_batch_size",
    "train.gradient_accumulation_steps",
    "launch.num_processes",
)


def rollouts(subject: Subject) -> Iterator[Claim]:
    """Describe the rollouts of a spec whose policy samples the responses; nothing for given data."""
    data = subject.spec.job.data
    if isinstance(data, Prompts | SelfPlay):
        yield from _samples(subject, data)
        yield from _worth(subject, data)
        yield from _advantage(subject)
        yield from _inner(subject)


def bound(subject: Subject, name: str, *paths: str) -> Bound:
    """Read the product of fields of the spec."""
    return Bound(name, product(subject, paths), paths)


def product(subject: Subject, paths: tuple[str, ...]) -> float | str:
    """Multiply fields of the spec; one alone may be a name."""
    job: object = (subject.spec.whole or subject.spec).job
    values = []
    for path in paths:
        at = subject.spec.job if path.startswith("data.") else job
        for step in path.split("."):
            at = getattr(at, step)
        values.append(at)
    if len(values) == 1:
        return values[0]  # type: ignore[return-value]
    total = 1.0
    for value in values:
        total *= value  # type: ignore[operator]
    return total


def _fact(subject: Subject, template: str, **paths: tuple[str, ...] | str) -> Stated:
    named = ((n, (p,) if isinstance(p, str) else p) for n, p in paths.items())
    return Stated(Section.ROLLOUT, template, tuple(bound(subject, n, *p) for n, p in named))


def _samples(subject: Subject, data: Prompts | SelfPlay) -> Iterator[Claim]:
    k, tokens = "data.completions_per_prompt", "data.max_new_tokens"
    each, most = (
        _noun("k", data.completions_per_prompt, "response"),
        _noun("tokens", data.max_new_tokens, "token"),
    )
    responses = f"{each} of at most {most} per prompt"
    if isinstance(data, SelfPlay):
        rounds = _noun("rounds", data.iterations, "iteration")
        yield _fact(
            subject, f"{rounds} over all prompts, {responses}", k=k, tokens=tokens, rounds="data.iterations"
        )
    else:
        paths = (*BATCH, "train.rollout_minibatches")
        prompts, all_ = product(subject, paths), product(subject, (*paths, k))
        line = f"{_noun('prompts', prompts, 'prompt')}, {responses}: {_noun('all', all_, 'response')} per rollout"
        yield _fact(subject, line, k=k, tokens=tokens, prompts=paths, all=(*paths, k))
    if data.law:
        yield _fact(subject, "sampled at {law}: not the policy's own distribution", law="data.law")
    if data.stop:
        yield _sum(f"a response also ends after the token that completes {_either(data.stop)}")


def _either(strings: Sequence[str]) -> str:
    quoted = [json.dumps(string, ensure_ascii=False) for string in strings]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def _noun(name: str, count: float | str, one: str, many: str = "") -> str:
    return f"{{{name}}} {one if count == 1 else many or one + 's'}"


def _worth(subject: Subject, data: Sampled) -> Iterator[Claim]:
    if data.reward is not None:
        sources = data.reward if isinstance(data.reward, list) else [data.reward]
        weighing = [s for s in sources if s.weight != 0]
        parts = [f"{s.weight:g}·{_named(s)}" if s.weight != 1 else _named(s) for s in weighing]
        yield _sum(f"R = {' + '.join(parts) or '0'}")
        if watched := [_named(s) for s in sources if s.weight == 0]:
            yield _sum(f"only logged, because the weight is 0: {', '.join(watched)}")
    if data.oracle is not None:
        mixed = data.opponent.kind == "mixture"
        among = "a response of the mixture" if mixed else "each response to the prompt"
        yield _sum(f"P(y ≻ ·) = mean over {among} of {_named(data.oracle)}")
    if data.missing_eos_reward is not None:
        line = "R = {eos} if a response ends without EOS"
        yield _fact(subject, line, eos="data.missing_eos_reward")
    if subject.needs.baseline is not None:
        partition = PARTITIONS[subject.needs.baseline.kind]
        yield _sum(f"{partition.name} = {partition.text}")


def _sum(line: str) -> Stated:
    escaped = line.replace("{", "{{").replace("}", "}}")
    return Stated(Section.ROLLOUT, escaped)


def _named(source: object) -> str:
    return f"{getattr(source, 'kind', '')} {getattr(source, 'name', '')}".strip()


def _advantage(subject: Subject) -> Iterator[Claim]:
    """Write the recurrences that the rollout computes; T is the last token of a response."""
    loss, found = subject.loss, subject.loss.advantage
    if found is None:
        return
    critic = BASELINES[found.baseline.kind].reads is Reads.CRITIC
    settings = found.baseline.settings
    yield Recurrence(
        "P" if found.reward == "win_rate" else "R",
        "" if loss.penalty is None else text(loss.penalty),
        found.granularity != "sequence",
        found.discount,
        found.discount * found.gae_lambda if critic else None,
        found.baseline.kind,
        float(settings.get("value", 0.0)),
        (int(settings.get("ddof", 1)), float(settings.get("epsilon", 0.0))) if settings.get("std") else None,
        found.whiten,
    )
    for ratio in (n for n in walk(*loss.penalties) if isinstance(n, Named)):
        yield _sum(
            f"{ratio.symbol} = {text(ratio.argument)}: under the rollout policy, fixed until the next rollout"
        )
    if found.adaptive is not None:
        target, horizon = found.adaptive.target, found.adaptive.horizon
        yield _sum(
            f"after a rollout of n responses: β ← β·(1 + clip(KL/{target:g} − 1, −0.2, 0.2)·n/{horizon:g}),"
            " where KL is objective/kl"
        )


def _inner(subject: Subject) -> Iterator[Claim]:
    """Describe the updates of a rollout."""
    data, train = subject.spec.job.data, (subject.spec.whole or subject.spec).job.train
    epochs, parts = "train.rollout_epochs", "train.rollout_minibatches"
    passes = _noun("epochs", train.rollout_epochs, "pass", "passes")
    if isinstance(data, SelfPlay):
        line = f"each iteration trains for {passes}; the policy then becomes the anchor of the next iteration"
        yield _fact(subject, line, epochs=epochs)
    elif train.rollout_epochs * train.rollout_minibatches > 1:
        minibatches = _noun("parts", train.rollout_minibatches, "minibatch", "minibatches")
        line = f"{passes} over {minibatches}: {{all}} updates per rollout"
        yield _fact(subject, line, epochs=epochs, parts=parts, all=(epochs, parts))
        for term in subject.spec.job.objective.terms:
            full = isinstance(term, PolicyGradient) and term.kl is not None and term.kl.estimator == FULL.name
            if full and term.kl is not None and term.kl.placement == "reward" and term.kl.beta > 0:  # type: ignore[union-attr]
                yield _sum(
                    "the penalty is computed under the rollout policy, and stays the same in later updates"
                )
