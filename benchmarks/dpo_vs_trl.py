"""Compare a DPO step of alignc with one of TRL: same model, data, batches, dtype and optimizer.

The variants start from the same weights and take turns batch by batch. The benchmark prints every loss, and the losses
must agree. The speed is the ratio of paired steps, with collation and the optimizer's step. The memory of each variant
comes from a process of its own.

    python benchmarks/dpo_vs_trl.py --shape A --lengths gsm8k
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from variants import VARIANTS
from workload import (
    GSM8K,
    MEDIANS,
    SHAPES,
    draw,
    forget_peak,
    gemm_rate,
    peak,
    resident,
    tokens,
    useful_flop,
)

TOLERANCE = 2e-4  # between losses of the same step, after several steps at a large learning rate
MIB = 2**20


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    if options.memory_of:
        print(json.dumps(measure_memory(options)))
        return
    describe(options)
    seconds = measure_speed(options)
    memory = {name: memory_of(name) for name in options.variants} if options.memory else {}
    report(options, seconds, memory)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="A")
    parser.add_argument("--lengths", choices=MEDIANS, default="gsm8k")
    parser.add_argument("--pairs", type=int, default=4, help="rows a batch")
    parser.add_argument("--repeats", type=int, default=7, help="measured batches")
    parser.add_argument("--warmup", type=int, default=2, help="batches before them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--no-memory", dest="memory", action="store_false")
    parser.add_argument("--memory-of", choices=VARIANTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def describe(options: argparse.Namespace) -> None:
    source = "measured on the data" if options.lengths == "gsm8k" and GSM8K.exists() else "lognormal"
    print(f"shape {options.shape}, lengths {options.lengths} ({source}), {options.pairs} pairs a batch")
    print(f"torch {torch.__version__}, float32, threads {options.threads}, load {os.getloadavg()[0]:.2f}")


def batches(options: argparse.Namespace) -> list[list[int]]:
    total = (options.warmup + options.repeats) * options.pairs
    return np.arange(total).reshape(-1, options.pairs).tolist()


def rows_of(options: argparse.Namespace) -> list:
    return draw(options.lengths, sum(map(len, batches(options))), SHAPES[options.shape].vocabulary)


def measure_speed(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return for each variant the seconds of every measured step, ``[steps, 2]``: wall and processor."""
    examples = rows_of(options)
    built = {name: VARIANTS[name](SHAPES[options.shape], examples) for name in options.variants}
    seconds = {name: [] for name in built}
    before = gemm_rate()
    for number, batch in enumerate(batches(options)):
        losses = {}
        for name in rotated(list(built), number):
            start = clocks()
            losses[name] = built[name].step(batch)
            seconds[name].append(clocks() - start)
        check(number, losses)
    print(f"matrix products: {before / 1e9:.0f} GFLOP/s before, {gemm_rate() / 1e9:.0f} after; ", end="")
    print(f"load {os.getloadavg()[0]:.2f}")
    return {name: np.array(taken[options.warmup :]) for name, taken in seconds.items()}


def clocks() -> np.ndarray:
    """Return the seconds on the wall and of this process's own work; they differ on a shared machine."""
    return np.array([time.perf_counter(), time.process_time()])


def rotated(names: list[str], by: int) -> list[str]:
    """Let another variant go first in every batch."""
    by %= len(names)
    return names[by:] + names[:by]


def check(number: int, found: dict[str, tuple[float, float]]) -> None:
    """Print every loss and gradient norm of a step; stop where the losses differ."""
    losses = [loss for loss, _ in found.values()]
    print(
        f"step {number}: "
        + ", ".join(f"{name} {loss:.6f} |g| {norm:.4f}" for name, (loss, norm) in found.items())
    )
    if max(losses) - min(losses) > TOLERANCE:
        raise SystemExit(f"the losses of step {number} differ by {max(losses) - min(losses):.1e}")


def memory_of(name: str) -> dict[str, float]:
    """Measure a variant's memory in a process of its own, with the options of this one."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def measure_memory(options: argparse.Namespace) -> dict[str, float]:
    """Return bytes that a step adds to the state (weights, optimizer), and that the whole job adds to the imports."""
    examples, imports = rows_of(options), resident()
    variant = VARIANTS[options.memory_of](SHAPES[options.shape], examples)
    first, *rest = batches(options)
    variant.step(first)
    start = peak()
    state = resident()
    forget_peak()
    for batch in rest[:3]:
        variant.step(batch)
    return {"step": peak() - state, "job": max(start, peak()) - imports}


def report(
    options: argparse.Namespace, seconds: dict[str, np.ndarray], memory: dict[str, dict[str, float]]
) -> None:
    """Print the table; every ratio is that of a variant to the last one."""
    examples, shape = rows_of(options), SHAPES[options.shape]
    measured = [[examples[i] for i in batch] for batch in batches(options)[options.warmup :]]
    count = np.array([[tokens(rows)["repeated"], tokens(rows)["shared"]] for rows in measured])
    flop = np.array([useful_flop(shape, rows) for rows in measured])
    ours = options.variants[-1]
    print(
        f"\nhead's share of the unavoidable FLOP {flop[:, 1].sum() / flop.sum():.0%}; tokens a batch ", end=""
    )
    print("{:.0f}, {:.0f} with shared prompts\n".format(*count.mean(0)))
    titles = ["variant", "s/step", "tokens/s", f"{ours} is faster by: wall", "processor"]
    titles += ["step MiB", "ours is", "job MiB", "ours is"] if memory else []
    print("| " + " | ".join(titles) + " |")
    print("| " + " | ".join("---" for _ in titles) + " |")
    for name, taken in seconds.items():
        ratios = taken / seconds[ours]
        cells = [f"{np.median(taken[:, 1]):.2f}", f"{np.median(count[:, 0] / taken[:, 1]):.0f}"]
        cells += [f"{np.median(ratio):.2f}× ({ratio.min():.2f}–{ratio.max():.2f})" for ratio in ratios.T]
        for key in ("step", "job") if memory else ():
            cells += [f"{memory[name][key] / MIB:.0f}", f"{memory[ours][key] / memory[name][key]:.2f}"]
        print("| " + " | ".join([name, *cells]) + " |")
    rate = np.median(flop.sum(1) / seconds[ours][:, 1])
    print(f"\n{ours}: {rate / 1e9:.0f} GFLOP/s of unavoidable work in processor time")


if __name__ == "__main__":
    main()
