"""Load a tokenizer from where the spec says, or train a small one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from ...contract.generation import ends_of
from ...contract.job import Model
from ..base.endings import named_ends, remember_ends
from ..base.hub import offline_unless_reachable
from .template import read_template

__all__ = ["CHAT_TEMPLATE", "load_tokenizer", "train_bpe"]

CHAT_TEMPLATE = """{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

_SPECIAL_TOKENS = {"pad_token": "<|pad|>", "bos_token": "<|bos|>", "eos_token": "<|im_end|>"}
_TURN_TOKEN = "<|im_start|>"


def load_tokenizer(model: Model, chat_template: str | None = None) -> Any:
    """Load the policy's tokenizer: by hub id or folder, or of the initialised model its ``tokenizer:``.

    A tokenizer without a padding token pads with EOS; ``chat_template`` names a file that replaces its own. What ends
    a response is told by `end_ids`: the tokenizer's EOS, and the ids that the files of the model name.
    Raises E601 where the hub doesn't answer, E709 where what is there is no usable tokenizer.
    """
    policy = model.policy
    name = policy["tokenizer"] if isinstance(policy, Mapping) else policy
    tokenizer = _bytes() if name == "bytes" else _pretrained(name, model)
    remember_ends(tokenizer, _ends(name, model))
    if tokenizer.eos_token_id is None:
        raise Failure("E709", f"the tokenizer `{name}` has no EOS token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if chat_template is not None:
        tokenizer.chat_template = read_template(chat_template)
    return tokenizer


def _ends(name: str, model: Model) -> tuple[int, ...]:
    own = tuple(ends_of(model.policy)) if isinstance(model.policy, Mapping) else ()
    if name == "bytes":
        return own
    reachable = Path(name).is_dir() or offline_unless_reachable()
    return (*own, *named_ends(name, revision=model.revision, local_files_only=not reachable))


def _bytes() -> Any:
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer()


def _pretrained(name: str, model: Model) -> Any:
    from transformers import AutoTokenizer

    local = Path(name).is_dir()
    if not local and Path(name).is_absolute():
        help_ = "if another spec trains this model, run that spec first: `alignc run FIRST SECOND`"
        raise Failure(
            "E709",
            f"there is no folder `{name}` to read a tokenizer from",
            why="the tokenizer of a policy is in the folder of the policy, and this folder does not exist",
            help=help_,
        )
    reachable = local or offline_unless_reachable()
    options = {"revision": model.revision} if model.revision else {}
    try:
        return AutoTokenizer.from_pretrained(
            name, trust_remote_code=model.trust_remote_code, local_files_only=not reachable, **options
        )
    except Exception as error:  # its loaders raise what their file formats and the hub make them raise
        raise _trouble(name, local, reachable, error) from error


def _trouble(name: str, local: bool, reachable: bool, error: Exception) -> Failure:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if local:
        return Failure("E709", f"the folder `{name}` holds no tokenizer that can be loaded: {reason}")
    return Failure(
        "E601",
        f"the tokenizer of `{name}` is not on the disk, and the hub did not provide it: {reason}",
        why=None if reachable else "the hub cannot be reached, or HF_HUB_OFFLINE forbids the access",
        help="check the id and the network (HF_ENDPOINT, HTTPS_PROXY, HF_TOKEN for gated models), "
        "or set `model.policy` to a local folder",
    )


def train_bpe(texts: Iterable[str], vocab_size: int, folder: Path) -> Any:
    """Train a byte-level BPE on texts and save it with a ChatML template in ``folder``.

    Digits stand alone, BOS begins every text, ``<|im_end|>`` is EOS. The same texts give the same files.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), byte_level]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*_SPECIAL_TOKENS.values(), _TURN_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    bos = _SPECIAL_TOKENS["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL_TOKENS)
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(str(folder))
    return fast
