"""Describe a rollout: the number of responses, their rewards, and their advantages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from alignc.contract.baselines import BASELINES, PARTITIONS, Reads
from alignc.contract.needs import LossNeeds
from alignc.graph import build as b
from alignc.graph.nodes import Column, Named
from alignc.graph.walk import walk
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.lower.policy import held
from alignc.lower.surrogates import SURROGATES
from alignc.printers.formula import text
from alignc.spec.kl import FULL
from alignc.spec.objective import PolicyGradient
from alignc.spec.rows import Prompts, Sampled, SelfPlay

__all__ = ["rollout_lines"]


def rollout_lines(spec: Loaded, loss: Loss, needs: LossNeeds) -> tuple[str, ...]:
    """Describe the rollouts of a spec whose policy samples the responses; empty for given data."""
    data = spec.job.data
    if not isinstance(data, Prompts | SelfPlay):
        return ()
    return (*_samples(spec, data), *_worth(data, needs), *_advantage(loss), *_inner(spec))


def _samples(spec: Loaded, data: Prompts | SelfPlay) -> Iterator[str]:
    train, launch = spec.job.train, spec.job.launch
    batch = train.per_device_train_batch_size * train.gradient_accumulation_steps * launch.num_processes
    k = data.completions_per_prompt
    responses = f"{counted(k, 'response')} of at most {counted(data.max_new_tokens, 'token')} per prompt"
    if isinstance(data, SelfPlay):
        yield f"{counted(data.iterations, 'iteration')} over all prompts, {responses}"
    else:
        prompts = batch * train.rollout_minibatches
        yield f"{counted(prompts, 'prompt')}, {responses}: {counted(prompts * k, 'response')} per rollout"
    if data.law:
        yield f"sampled at {data.law}: not the policy's own distribution"
    if data.stop:
        yield f"a response also ends after the token that completes {_either(data.stop)}"


def _either(strings: Sequence[str]) -> str:
    quoted = [json.dumps(string, ensure_ascii=False) for string in strings]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def _worth(data: Sampled, needs: LossNeeds) -> Iterator[str]:
    if data.reward is not None:
        sources = data.reward if isinstance(data.reward, list) else [data.reward]
        weighing = [s for s in sources if s.weight != 0]
        parts = [f"{s.weight:g}·{_named(s)}" if s.weight != 1 else _named(s) for s in weighing]
        yield f"R = {' + '.join(parts) or '0'}"
        if watched := [_named(s) for s in sources if s.weight == 0]:
            yield f"only logged, because the weight is 0: {', '.join(watched)}"
    if data.oracle is not None:
        among = (
            "a response of the mixture" if data.opponent.kind == "mixture" else "each response to the prompt"
        )
        yield f"P(y ≻ ·) = mean over {among} of {_named(data.oracle)}"
    if data.missing_eos_reward is not None:
        yield f"R = {data.missing_eos_reward:g} if a response ends without EOS"
    if needs.baseline is not None:
        partition = PARTITIONS[needs.baseline.kind]
        yield f"{partition.name} = {partition.text}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _named(source: object) -> str:
    kind = getattr(source, "kind", "")
    name = getattr(source, "name", "")
    return f"{kind} {name}".strip()


def _advantage(loss: Loss) -> Iterator[str]:
    """Write the recurrences that the rollout computes; T is the last token of a response."""
    found = loss.advantage
    if found is None:
        return
    earned = "P" if found.reward == "win_rate" else "R"
    if loss.penalty is None:
        yield f"R_t = 1[t = T]·{earned}"
    elif found.granularity == "sequence":
        yield f"R_t = 1[t = T]·({text(b.subtract(Column(earned, None, loss.penalty.type.unit), loss.penalty))})"
    else:
        yield f"R_t = {text(b.negate(loss.penalty))} + 1[t = T]·{earned}"
    for ratio in (n for n in walk(*loss.penalties) if isinstance(n, Named)):
        yield f"{ratio.symbol} = {text(ratio.argument)}: under the rollout policy, fixed until the next rollout"
    if found.adaptive is not None:
        target, horizon = found.adaptive.target, found.adaptive.horizon
        yield (
            f"after a rollout of n responses: β ← β·(1 + clip(KL/{target:g} − 1, −0.2, 0.2)·n/{horizon:g}),"
            " where KL is objective/kl"
        )
    gamma = f"{found.discount:g}·" if found.discount != 1 else ""
    baseline = BASELINES[found.baseline.kind]
    if baseline.reads is Reads.CRITIC:
        decay = found.discount * found.gae_lambda
        yield f"δ_t = R_t + {gamma}V_(t+1) − V_t;  A_t = δ_t + {decay:g}·A_(t+1);  G_t = A_t + V_t"
    else:
        less = f" − {baseline.text}" if baseline.text else ""
        yield f"G_t = R_t + {gamma}G_(t+1);  A_t = G_t{less}"
    if found.whiten:
        yield "A is whitened to mean 0 and variance 1 over the tokens of the rollout"


def _inner(spec: Loaded) -> Iterator[str]:
    """Describe the updates of a rollout, and the objective that each update ascends."""
    train = spec.job.train
    policy = next((t for t in spec.job.objective.terms if isinstance(t, PolicyGradient)), None)
    updates = train.rollout_epochs * train.rollout_minibatches
    if isinstance(spec.job.data, SelfPlay):
        passes = counted(train.rollout_epochs, "pass", "passes")
        yield f"each iteration trains for {passes}; the policy then becomes the anchor of the next iteration"
    elif updates > 1:
        passes = counted(train.rollout_epochs, "pass", "passes")
        parts = counted(train.rollout_minibatches, "minibatch", "minibatches")
        yield f"{passes} over {parts}: {updates} updates per rollout"
    if policy is None or updates == 1:
        return
    kl = held(policy, "reward")
    if kl is not None and kl.estimator == FULL.name:
        yield "the penalty is computed under the rollout policy, and stays the same in later updates"
    elif kl is not None:
        yield "the first update ascends J = E[R] − β·KL(π‖ref); later updates follow ∇J + β·∇KL(π‖old), as u is fixed"
    elif not SURROGATES[policy.surrogate.kind].reads_ratio:
        yield "from the second update on, samples come from an older policy; without a ratio, the gradient is biased"
