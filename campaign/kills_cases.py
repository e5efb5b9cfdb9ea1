"""What is killed: small runs with everything that has a state, each saved every few steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import odegan
from odegan import penalties
from odegan.nets import MLP

Report = Callable[[str], Callable[[Any, Any], None]]  # name of a checkpoint -> callback (state, info)
Run = Callable[[Path, Report], None]

EVERY = 5  # refresh intervals between checkpoints
STEPS = 200
BATCH = 16


@dataclass(frozen=True)
class Case:
    """what: in words; run: the whole of it, which resumes what is in the folder; steps: refresh intervals, about; every:
    intervals or seconds between checkpoints; ranks: processes; tolerance: of the final state, 0 for bit for bit.
    """

    what: str
    run: Run
    steps: int = STEPS
    every: float = EVERY
    ranks: int = 1
    tolerance: float = 0.0


def plain(seed: int = 0) -> odegan.Game:
    """The game of two small networks."""
    torch.manual_seed(seed)
    return odegan.gan(MLP((3, 8, 2), nn.Tanh), MLP((2, 8, 1), nn.Tanh), "non_saturating")


def normalized() -> odegan.Game:
    """Batch normalization in the generator, and spectral norms, whose vectors move, in the discriminator."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    discriminator = nn.Sequential(spectral_norm(nn.Linear(2, 8)), nn.Softplus(), spectral_norm(nn.Linear(8, 1)))
    return odegan.gan(generator, discriminator)


class Flipped(torch.utils.data.Dataset):
    """A data set with a random transform."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, i: int) -> torch.Tensor:
        return points()[i] * (1 if torch.rand(()) < 0.5 else -1)


def points() -> torch.Tensor:
    """The data: points (50, 2)."""
    return torch.randn(50, 2, generator=torch.Generator().manual_seed(1))


def solved(make: Callable[[], odegan.Game] = plain, members: int = 0, every: float = EVERY, **given: Any) -> Run:
    """One call of ``odeint_gan`` with an average, as a run."""

    def run(folder: Path, report: Report) -> None:
        game = make()
        y0 = torch.stack([game.init(seed=e) for e in range(members)]) if members else game.init(seed=0)
        interval = given.get("refresh") or given["step_size"]
        known = {"data": points(), "batch_size": BATCH, "checkpoint": folder / "run.pt", "checkpoint_every": every}
        callbacks = [odegan.ExponentialAverage(0.9), report("run")]
        t = torch.linspace(0, STEPS * interval, 8, dtype=torch.float64)
        odegan.odeint_gan(game, y0, t, callback=callbacks, **(known | given))

    return run


SETTINGS = ("heun2", "dopri5", "adam")


def experiment(folder: Path, report: Report) -> None:
    """``python -m experiments.mog16 --compare ... --resume``, saved as often as the others and with its steps reported."""
    from experiments.framework import mixture
    from experiments.mog16 import experiment as mog16

    solve = mixture.odeint_gan

    def reporting(*args: Any, callback: Any, checkpoint: Path, **more: Any) -> odegan.Solution:
        both = [callback, report(checkpoint.stem)]
        return solve(*args, callback=both, checkpoint=checkpoint, checkpoint_every=EVERY, **more)

    mixture.odeint_gan = reporting
    words = "--compare --resume --no-progress --seeds 2 --evaluations 160 --batch-size 16 --samples 64 --reports 4 --settings"
    code = mog16.main([*words.split(), *SETTINGS, "--output", str(folder)])
    if code:
        raise SystemExit(code)


HEUN = {"solver": "heun2", "step_size": 0.05}
CASES = {
    "fixed steps": Case("heun2 with JARE, minibatches", solved(**HEUN, penalties=[penalties.jare(0.1)])),
    "optimizer": Case("Adam, whose moments are kept", solved(solver="adam", step_size=0.01)),
    "ensemble": Case(
        "4 seeds, rk4, the generator's gradient penalized",
        solved(members=4, solver="rk4", step_size=0.1, penalties=[penalties.generator_gradient(0.1)]),
    ),
    "adaptive": Case("dopri5, a minibatch every 0.25", solved(solver="dopri5", refresh=0.25)),
    "closed loop": Case(
        "closed-loop penalty, replay buffers", solved(**HEUN, penalties=[penalties.closed_loop(0.3, buffer=5)])
    ),
    "ensemble, closed loop": Case(
        "3 seeds, each with its buffers, RMSProp",
        solved(members=3, solver="rmsprop", step_size=0.005, penalties=[penalties.closed_loop(0.3, buffer=5)]),
    ),
    "moving buffers": Case(
        "BatchNorm and spectral norms, extragradient", solved(normalized, solver="extragradient", step_size=0.05)
    ),
    "workers": Case("a data set loaded by a worker process", solved(**HEUN, data=Flipped(), workers=1)),
    "by the clock": Case("saved every 0.1 s", solved(**HEUN, every=0.1), every=0.1),
    "two processes": Case(
        "gloo, closed loop and JARE",
        solved(**HEUN, distributed=True, penalties=[penalties.closed_loop(0.3, buffer=3), penalties.jare(0.1)]),
        ranks=2,
        tolerance=1e-10,
    ),
    "experiment": Case("`experiments.mog16`: metrics, summary, figures too", experiment, steps=250),
}
