"""Checks of policy gradients: whether samples, rewards and updates fit the estimator."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.estimators import PLACES, SAID
from alignc.checks.rule import Checked, term_path
from alignc.contract.baselines import BASELINES, LEAVE_ONE_OUT, Reads
from alignc.contract.kinds import ONLINE
from alignc.contract.rewards import REWARDS
from alignc.diagnostics import Diagnostic
from alignc.lower.policy import held
from alignc.lower.surrogates import SURROGATES
from alignc.spec.kl import FULL
from alignc.spec.objective import Pointwise, PolicyGradient, Preference, Value
from alignc.spec.policy import GroupMean
from alignc.spec.rows import Prompts, SelfPlay
from alignc.spec.targets import WinRateTarget
from alignc.theory.divergence import meaning
from alignc.theory.lengths import length_power, whole_ratio
from alignc.theory.soundness import kl_codes, whole_by_both

__all__ = [
    "baselines",
    "compared",
    "critic",
    "frozen_kl",
    "given_data",
    "group_normalisation",
    "idle_clip",
    "kl_in_policy_gradient",
    "length_bias",
    "long_ratios",
    "silent_groups",
    "stale",
]

LONG = 256
"""The number of tokens above which a ratio of whole responses leaves the range of a clip."""
FEW = 4
"""The largest size of a group whose rewards are often all equal.

Example: if half of the rewards are 1, four responses get equal rewards in one group of eight.
"""


CRITIC = "`baseline: value` reads the values of a critic, and a term `kind: value` trains this critic"


def _terms(checked: Checked) -> Iterator[tuple[int, PolicyGradient]]:
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, PolicyGradient):
            yield index, term


def _data(checked: Checked) -> Prompts | SelfPlay | None:
    data = checked.spec.job.data
    return data if isinstance(data, Prompts | SelfPlay) else None


def _updates(checked: Checked) -> int:
    """Count the optimizer steps on one rollout."""
    train = checked.spec.job.train
    return train.rollout_epochs * train.rollout_minibatches


def given_data(checked: Checked) -> Iterator[Diagnostic]:
    """E301 and E111: a policy gradient on given responses, which the policy did not sample."""
    if checked.spec.job.data.kind in ONLINE:
        return
    for _, term in _terms(checked):
        if not SURROGATES[term.surrogate.kind].reads_ratio:
            message = f"`{term.name}` treats given responses as samples of the policy"
            yield checked.finding("E301", message, ("data", "kind"))
        else:
            message = f"`{term.name}` needs a ratio to the rollout policy, but given rows do not record it"
            yield checked.finding("E111", message, ("data", "kind"))


def kl_in_policy_gradient(checked: Checked) -> Iterator[Diagnostic]:
    """E201 to E205, W206 to W211: the divergence that a `kl:` block descends at its placement."""
    for index, term in _terms(checked):
        kl = term.kl
        if kl is None or kl.beta == 0:
            continue
        whole = kl.estimator == FULL.name and whole_by_both(checked.spec.job.objective.terms)
        for code in () if whole else kl_codes(kl.estimator, kl.placement, kl.granularity, "policy"):
            divergence = meaning(kl.estimator, kl.placement).divergence
            words = SAID[code].format(
                estimator=kl.estimator, place=PLACES[kl.placement], divergence=divergence
            )
            step = "granularity" if code == "W209" else "estimator"
            yield checked.finding(code, words, (*term_path(index), "kl", step))
        if kl.placement == "reward" and kl.granularity == "token" and term.discount < 1:
            message = f"with γ = {term.discount:g}, a token is charged less for the KL of later tokens"
            yield checked.finding("W210", message, (*term_path(index), "discount"))


def frozen_kl(checked: Checked) -> Iterator[Diagnostic]:
    """W213: a KL at the rollout policy, together with several updates per rollout."""
    updates = _updates(checked)
    for index, term in _terms(checked):
        if held(term, "reward") is not None and updates > 1:
            message = (
                f"the KL penalty is fixed during the {updates} updates of a rollout: its pull is too weak"
            )
            yield checked.finding("W213", message, (*term_path(index), "kl", "placement"))


def baselines(checked: Checked) -> Iterator[Diagnostic]:
    """E105: a baseline needs other responses to the prompt, but their number does not fit."""
    data = _data(checked)
    for index, term in _terms(checked):
        baseline = term.baseline
        path = (*term_path(index), "baseline")
        count = data.completions_per_prompt if data is not None else None
        row = BASELINES[baseline.kind]
        if row.grouped and count is not None and count < 2:
            message = f"`baseline: {baseline.kind}` needs other responses to the prompt, but there is only one response"
            yield checked.finding(
                "E105", message, path, help="set `data.completions_per_prompt` to 2 or more"
            )
        if row.pair and count is not None and count > 2:
            message = f"`baseline: {row.name}` needs exactly two responses to a prompt, but there are {count}"
            yield checked.finding("E105", message, path, help=f"set `baseline: {LEAVE_ONE_OUT.name}`")


def compared(checked: Checked) -> Iterator[Diagnostic]:
    """E105: the objective compares responses, but there is only one, or all responses are the same."""
    data, terms = _data(checked), checked.spec.job.objective.terms
    if data is None:
        return
    pairs = checked.loss.view.convert == "best_worst" or any(
        isinstance(t, Preference) and t.pairs == "all" for t in terms
    )
    ranked = any(isinstance(t, Pointwise) and isinstance(t.target, WinRateTarget) for t in terms)
    if pairs and not ranked and data.completions_per_prompt < 2:
        message = "the objective compares responses to a prompt, but there is only one response"
        path = ("data", "completions_per_prompt")
        yield checked.finding("E105", message, path, help="set `completions_per_prompt` to 2 or more")
    grouped = any(BASELINES[t.baseline.kind].grouped for _, t in _terms(checked))
    if data.temperature == 0 and (pairs or grouped or ranked):
        message = (
            "at temperature 0, all responses to a prompt are the same, so a comparison gives no information"
        )
        yield checked.finding("E105", message, ("data", "temperature"), help="sample with `temperature: 1`")


def critic(checked: Checked) -> Iterator[Diagnostic]:
    """E106 and W114: a critic that no term trains, or a critic that no term reads."""
    terms = checked.spec.job.objective.terms
    valued = [i for i, t in _terms(checked) if BASELINES[t.baseline.kind].reads is Reads.CRITIC]
    trained = [i for i, t in enumerate(terms) if isinstance(t, Value)]
    if valued and not trained:
        message = "`baseline: value` reads a critic that no term trains"
        path = (*term_path(valued[0]), "baseline")
        yield checked.finding(
            "E106", message, path, why=CRITIC, help="add a term `{name: value, kind: value, weight: 0.1}`"
        )
    if trained and not valued:
        message = f"`{terms[trained[0]].name}` trains a critic that no policy gradient reads"
        path = term_path(trained[0])
        yield checked.finding(
            "E106", message, path, why=CRITIC, help="set `baseline: value`, or remove the term"
        )
    made = checked.spec.job.model.critic
    if valued and trained and all(terms[i].weight == 0 for i in trained) and (made is None or not made.path):
        message = (
            f"`{terms[trained[0]].name}` has the weight 0, so no term trains the critic of `baseline: value`"
        )
        why = "the values of an untrained critic are random numbers; they do not predict the reward of a response"
        path = (*term_path(trained[0]), "weight")
        yield checked.finding(
            "W114", message, path, why=why, help="give the term a weight above 0, or choose another baseline"
        )


def stale(checked: Checked) -> Iterator[Diagnostic]:
    """W313: log π times the advantage without a ratio, and several updates per rollout."""
    updates = _updates(checked)
    for index, term in _terms(checked):
        if not SURROGATES[term.surrogate.kind].reads_ratio and _data(checked) and updates > 1:
            message = (
                f"only the first of the {updates} updates of a rollout has samples of the current policy"
            )
            yield checked.finding("W313", message, (*term_path(index), "surrogate"))


def long_ratios(checked: Checked) -> Iterator[Diagnostic]:
    """W303: a ratio of whole responses, together with long responses."""
    data = _data(checked)
    for index, term in _terms(checked):
        moved = SURROGATES[term.surrogate.kind].reads_ratio and term.ratio == "sequence"
        if moved and data is not None and data.max_new_tokens > LONG and _updates(checked) > 1:
            message = (
                f"the ratio of a response of up to {data.max_new_tokens} tokens leaves the range of any clip"
            )
            yield checked.finding("W303", message, (*term_path(index), "ratio"))


def idle_clip(checked: Checked) -> Iterator[Diagnostic]:
    """W304: a clip, together with one update per rollout."""
    for index, term in _terms(checked):
        if SURROGATES[term.surrogate.kind].clips and _data(checked) and _updates(checked) == 1:
            message = "with one update per rollout, the ratio is 1: the clip has no effect"
            yield checked.finding("W304", message, (*term_path(index), "surrogate"))


def group_normalisation(checked: Checked) -> Iterator[Diagnostic]:
    """W307 to W309: effects of the mean and the standard deviation of a group on its advantages."""
    data = _data(checked)
    for index, term in _terms(checked):
        baseline, path = term.baseline, (*term_path(index), "baseline")
        within = BASELINES[baseline.kind].reads is Reads.GROUP
        if not within or data is None or data.completions_per_prompt < 2:
            continue
        k, std = data.completions_per_prompt, isinstance(baseline, GroupMean) and baseline.std
        scale = f"the gradient by ({k} − 1)/{k}" + (" and by 1/σ of the prompt" if std else "")
        yield checked.finding("W307", f"a group mean that includes the response itself scales {scale}", path)
        if std and held(term, "loss") is not None:
            message = (
                "advantages are divided by the standard deviation of the prompt's rewards, but the KL is not"
            )
            yield checked.finding("W308", message, (*term_path(index), "kl"))
        if std and k == 2:
            yield checked.finding(
                "W309",
                "of two responses, one gets the advantage +1/√2 and the other −1/√2, for any rewards",
                path,
            )


def length_bias(checked: Checked) -> Iterator[Diagnostic]:
    """W310: the weight of a response depends on its length."""
    for index, term in _terms(checked):
        power = length_power(term)
        if power < 0:
            message = "each token of a long response counts less than each token of a short response"
        elif power > 0:
            message = "one ratio per response multiplies a sum over its tokens: a long response counts more"
        if power != 0:
            step = "ratio" if whole_ratio(term) else "aggregation"
            yield checked.finding("W310", message, (*term_path(index), step))


def silent_groups(checked: Checked) -> Iterator[Diagnostic]:
    """W311: the rewards of many groups, or of all groups, are equal."""
    data = _data(checked)
    if data is None or data.reward is None:
        return
    sources = data.reward if isinstance(data.reward, list) else [data.reward]
    if not any(REWARDS[source.kind].reads_response for source in sources) and data.missing_eos_reward is None:
        message = "a column gives the same reward to every response to a prompt, so the policy learns nothing"
        yield checked.finding(
            "W311",
            message,
            ("data", "reward"),
            help="choose a reward that reads the response, such as a verifier or a model",
        )
    if data.oracle is None and all(source.weight == 0 for source in sources):
        message = "all rewards have the weight 0, so all responses get the same reward"
        help_ = "give one reward a weight other than 0; a reward of weight 0 is only logged"
        yield checked.finding("W311", message, ("data", "reward"), help=help_)
    binary = all(REWARDS[source.kind].binary for source in sources)
    for _, term in _terms(checked):
        grouped = BASELINES[term.baseline.kind].grouped and held(term, "reward") is None
        if grouped and binary and 2 <= data.completions_per_prompt <= FEW:
            message = (
                f"a verifier often gives the same reward to all {data.completions_per_prompt} responses to a prompt, "
                "and such a prompt gives no gradient"
            )
            yield checked.finding("W311", message, ("data", "completions_per_prompt"))
