"""Train a tiny model on two-digit sums by SFT and then by DPO, and compare both on held-out rows.

The demo downloads nothing. It creates the model, and the data lies beside this file.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALIGNC = [sys.executable, "-m", "alignc"]


def main() -> int:
    began = time.monotonic()
    specs = [str(HERE / "sft.yaml"), str(HERE / "dpo.yaml")]
    trained = subprocess.run([*ALIGNC, "run", *specs]).returncode
    if trained:
        return trained
    data = HERE / "data"
    asked = ["--pairs", str(data / "pairs_held_out.jsonl"), "--prompts", str(data / "prompts_held_out.jsonl")]
    print("\nOn 300 held-out sums, before and after DPO:\n", flush=True)
    shown = subprocess.run([*ALIGNC, "eval", *specs, *asked, "--max-new-tokens", "8"]).returncode
    print(f"\n{time.monotonic() - began:.0f} s in all")
    return shown


if __name__ == "__main__":
    sys.exit(main())
