"""The sections `model`, `train` and `launch` of a spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from alignc.contract.adapters import PISSA
from alignc.contract.engines import ACCELERATE, EngineName
from alignc.contract.optimizers import OptimizerName
from alignc.contract.support import limits
from alignc.spec.architectures import InitPolicy, InitPolicyBase
from alignc.spec.base import Spec, field
from alignc.spec.model_source import ModelSource, Name, RunPolicy, form

__all__ = ["Adapter", "Critic", "Launch", "Model", "Quantization", "Reference", "RunPolicy", "Train"]


def _policy_form(value: Any) -> str:
    if isinstance(value, dict):
        return form(value, "init", "run")
    return (
        "(init)" if isinstance(value, InitPolicyBase) else "(run)" if isinstance(value, RunPolicy) else "(id)"
    )


Policy = Annotated[
    Annotated[Name, Tag("(id)")] | Annotated[RunPolicy, Tag("(run)")] | Annotated[InitPolicy, Tag("(init)")],
    Discriminator(_policy_form),
]


class Reference(Spec):
    """The model that gives the reference log-probabilities."""

    kind: Literal["initial", "path", "adapter_off", "previous_iterate", "ema", "none"] = field(
        ...,
        "`initial`: a frozen copy of the initial policy; `path`: another model; `adapter_off`: the policy without its "
        "adapter; `previous_iterate`: the policy at the start of this rollout; `ema`: the moving average of the "
        "policy's weights; `none`: no reference. " + limits("model.reference.kind"),
    )
    path: ModelSource | None = field(None, "Model for `kind: path`: a hub id, a folder or `{run: SPEC}`.")
    decay: float = field(
        0.99, "For `kind: ema`: the share of the old average that each step keeps.", ge=0, lt=1
    )


class Critic(Spec):
    """The critic, which learns the value of each state."""

    kind: Literal["head", "model"] = field(
        "head", "`head`: a value head on the trunk of the policy; `model`: a separate model."
    )
    path: ModelSource | None = field(
        None,
        "Initial weights for `kind: model`. A reward model also gives its head. Default: a copy of the policy.",
    )


Init = Literal[True, "gaussian", "orthogonal", "pissa", "olora"] | Annotated[str, Field(pattern=PISSA)]


class Adapter(Spec):
    """A low-rank adapter on a frozen policy (Hu et al. 2021)."""

    kind: Literal["lora"] = field("lora", "Low-rank adaptation.")
    start: Literal["new", "policy"] = field(
        "new",
        "`new`: a new adapter on the policy; an adapter that the policy brings is merged first. `policy`: go on with "
        "the adapter that the policy brings, whose settings apply; another value in the spec is an error.",
    )
    r: int = field(8, "Rank.", ge=1)
    alpha: float = field(16.0, "Scale: the update is multiplied by alpha/r, or by alpha/√r.", gt=0)
    dropout: float = field(0.0, "Dropout before the adapter.", ge=0, lt=1)
    target_modules: Name | list[Name] = field(
        "all-linear",
        "Modules that get an adapter: `all-linear`, a name, a list of names, or a pattern of whole names "
        "(a regular expression). The LM head never gets one.",
        min_length=1,
    )
    rank_pattern: dict[str, Annotated[int, Field(ge=1)]] = field(
        {}, "Other ranks by module: a name or a regular expression, and its rank."
    )
    use_rslora: bool = field(False, "Multiply the update by alpha/√r (Kalajdzievski 2023).")
    use_dora: bool = field(False, "Train the size of each row apart from its direction (Liu et al. 2024).")
    init_lora_weights: Init = field(
        True,
        "How the factors begin. `true` and `gaussian`: their product is 0; `orthogonal`: it is 0 up to rounding; "
        "`pissa`, `pissa_niter_N`, `olora`: they are taken out of the base, so that policy and start are the same.",
    )
    modules_to_save: list[Name] = field([], "Modules that are trained whole beside the adapter.")


class Quantization(Spec):
    """The frozen base of an adapter in few bits (QLoRA, Dettmers et al. 2023), through bitsandbytes."""

    bits: Literal[4, 8] = field(
        4, "Bits of a weight. The embeddings, the norms and the LM head stay as they are."
    )
    type: Literal["nf4", "fp4"] = field("nf4", "Code of 4 bits.")
    double: bool = field(True, "For 4 bits: keep the scales of the blocks in 8 bits too.")
    compute_dtype: Literal["float32", "bfloat16", "float16"] | None = field(
        None, "For 4 bits: number format of the products; by default that of the other weights."
    )


class Model(Spec):
    """The policy, its reference and its adapter."""

    policy: Policy = field(..., "A hub id, a folder, `{init: ARCHITECTURE, …}` or `{run: SPEC}`.")
    reference: Reference | None = field(None, "The reference; by default derived from the objective.")
    adapter: Adapter | None = field(None, "Train an adapter instead of all weights.")
    critic: Critic | None = field(None, "The critic of an objective with values; by default `kind: head`.")
    quantization: Quantization | None = field(
        None, "Keep the frozen base of an adapter in 4 or 8 bits. " + limits("model.quantization")
    )
    dtype: Literal["float64", "float32", "bfloat16", "float16"] | None = field(
        None,
        "Number format of products and of the final file; by default that of the checkpoint. Weights that are "
        "trained are float32 at the least.",
    )
    attn_implementation: str | None = field(
        None, "Attention of transformers; by default packed attention, if the architecture supports it."
    )
    revision: str | None = field(None, "Branch, tag or commit of a hub model.")
    trust_remote_code: bool = field(False, "Allow code from the model's own repository to run.")


class Train(Spec):
    """The optimizer and its schedule, under the names of transformers' TrainingArguments."""

    learning_rate: float = field(5e-5, "Peak learning rate.", ge=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt"] = (
        field("linear", "Schedule of the learning rate.")
    )
    warmup_steps: float = field(0, "Number of warm-up steps; a value below 1 is a share of all steps.", ge=0)
    per_device_train_batch_size: int = field(8, "Rows of a micro-batch in one process.", unit="row", ge=1)
    per_device_eval_batch_size: int = field(
        8, "Rows of a micro-batch in one process, in evaluation.", unit="row", ge=1
    )
    gradient_accumulation_steps: int = field(1, "Micro-batches per step.", ge=1)
    num_train_epochs: float = field(3.0, "Number of passes over the data.", gt=0)
    max_steps: int = field(-1, "Stop after this number of steps; -1 uses `num_train_epochs` instead.", ge=-1)
    rollout_epochs: int = field(1, "Number of passes over the responses of a rollout.", ge=1)
    rollout_minibatches: int = field(
        1, "Optimizer steps per pass over a rollout; the prompts are divided among the steps.", ge=1
    )
    max_length: int = field(
        1024, "Largest number of tokens in prompt and completion together.", unit="token", ge=2
    )
    max_grad_norm: float = field(1.0, "Clip the gradient to this norm; 0 switches clipping off.", ge=0)
    weight_decay: float = field(0.0, "Decoupled weight decay.", ge=0)
    optim: OptimizerName = field(
        "adamw_torch_fused",
        "The optimizer. Weights and moments are float32, but for `adamw_bnb_8bit`, whose moments have 8 bits, and "
        "`adamw_bf16_stochastic`.",
    )
    adam_beta1: float = field(0.9, "Decay of the first moment.", ge=0, lt=1)
    adam_beta2: float = field(0.999, "Decay of the second moment.", ge=0, lt=1)
    adam_epsilon: float = field(1e-8, "Added to the root of the second moment.", gt=0)
    seed: int = field(42, "Seed of weights, order and sampling.", ge=0, le=2**32 - 1)
    bf16: bool | None = field(None, "Compute in bfloat16; by default if the hardware supports it.")
    dropout: bool = field(False, "Keep the dropout of the model on.")
    activation_checkpointing: bool = field(False, "Recompute activations to save memory.")
    layout: Literal["auto", "packed", "padded"] = field(
        "auto",
        "`packed`: a batch is one stream of tokens with shared prompts; `padded`: a batch is a padded matrix.",
    )
    logging_steps: int = field(1, "Steps between two lines of `metrics.jsonl`.", ge=1)
    eval_steps: int | None = field(
        None, "Steps between two evaluations; by default one evaluation at the end.", ge=1
    )
    eval_on_start: bool = field(False, "Evaluate before the first step.")
    save_steps: int = field(500, "Steps between two checkpoints.", ge=1)
    save_total_limit: int = field(2, "Number of checkpoints to keep.", ge=1)
    report_to: list[Literal["tensorboard", "wandb"]] = field(
        ["tensorboard"], "Further programs that receive the metrics."
    )
    metric_for_best_model: str | None = field(None, "Held-out metric that chooses the best checkpoint.")
    greater_is_better: bool | None = field(
        None, "Whether a greater metric is better; by default decided by its name."
    )
    early_stopping_patience: int | None = field(
        None, "Stop after this number of evaluations without an improvement.", ge=1
    )


class Launch(Spec):
    """The processes of the job, and the engine that connects them."""

    engine: EngineName = field(ACCELERATE.name, "Engine of distributed training.")
    num_processes: int = field(1, "Number of processes; each process has one device.", ge=1)
    num_machines: int = field(1, "Number of machines.", ge=1)
    zero_stage: Literal[1, 2, 3] = field(
        2,
        "DeepSpeed shards the optimizer states (1), also the gradients (2), also the weights (3). "
        + limits("launch.zero_stage"),
    )
    offload: Literal["cpu"] | None = field(
        None, "Keep DeepSpeed's optimizer states in the memory of the CPU."
    )
    mixed_precision: Literal["no", "bf16"] | None = field(
        None, "Number format of mixed precision; overrides `train.bf16`."
    )
    timeout: int = field(1800, "Seconds that a process waits for another process.", unit="second", ge=1)
