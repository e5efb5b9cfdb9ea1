"""Steps per second of eager ``odeint_gan`` and of the hand-written loop of the same method, side by side.

``python -m benchmarks.core`` prints, for each case, medians of the repetitions and of the ratios pair by pair.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import odegan
from benchmarks.handwritten import HandWritten, loop
from odegan.nets import dcgan, digits, mlp


class Case(NamedTuple):
    """One row: networks, minibatch, method, and how many times the hand-written loop's time is allowed."""

    networks: Callable[[], tuple[nn.Module, nn.Module]]
    sample: tuple[int, ...]
    latent: int
    batch: int
    method: str
    step_size: float
    weight: float
    steps: int
    goal: float


CASES = {
    "mog16": Case(mlp.mog16, (2,), 32, 512, "rk4_classic", 0.1, 0.07, 100, 1.6),
    "digits": Case(
        lambda: (digits.Generator(), digits.Discriminator()), (1, 8, 8), 16, 64, "heun2", 0.05, 0.02, 40, 1.2
    ),
    "dcgan32": Case(
        lambda: (dcgan.Generator(), dcgan.Discriminator()), (3, 32, 32), 128, 64, "heun2", 0.01, 0.02, 3, 1.05
    ),
}


def measure(case: Case, repetitions: int) -> dict[str, float]:
    """Times in turn, A B A B ..., and the ratio pair by pair."""
    torch.manual_seed(0)
    generator, discriminator = case.networks()
    data = torch.randn(2048 if case.batch == 512 else 256, *case.sample)
    game = odegan.gan(generator, discriminator)
    y0, span = game.init(), [0.0, case.steps * case.step_size]

    def ours() -> None:
        odegan.odeint_gan(
            game,
            y0,
            span,
            data=data,
            latent=case.latent,
            batch_size=case.batch,
            solver=case.method,
            step_size=case.step_size,
            penalties=[odegan.penalties.generator_gradient(case.weight)],
            placement="after_step",
        )

    def theirs() -> None:
        peer = HandWritten(
            copy.deepcopy(generator), copy.deepcopy(discriminator), case.method, case.step_size, case.weight
        )
        loop(
            peer,
            lambda: (data[torch.randint(len(data), (case.batch,))], torch.randn(case.batch, case.latent)),
            case.steps,
        )

    times = {ours: [], theirs: []}
    for function in times:
        function()
    for _ in range(repetitions):
        for function, taken in times.items():
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    pairs = [a / b for a, b in zip(times[ours], times[theirs], strict=True)]
    return {
        "odegan_steps_per_s": case.steps / statistics.median(times[ours]),
        "handwritten_steps_per_s": case.steps / statistics.median(times[theirs]),
        "ratio": statistics.median(pairs),
        "lowest": min(pairs),
        "highest": max(pairs),
        "goal": case.goal,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="which rows to measure")
    parser.add_argument("--repetitions", type=int, default=7, help="pairs of runs a row")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its default")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}")
    print(f"{'case':<9} {'odegan':>10} {'by hand':>10}   time ratio (range)      goal")
    rows = {}
    for name in options.cases:
        row = rows[name] = measure(CASES[name], options.repetitions)
        print(
            f"{name:<9} {row['odegan_steps_per_s']:>8.2f}/s {row['handwritten_steps_per_s']:>8.2f}/s   "
            f"{row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f})   at most {row['goal']:.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
