"""The run whose checkpoints are damaged, and what comes of resuming it from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from torch import nn

import odegan
from odegan.training.state import Info, State
from odegan.utils import checkpoint

REFUSED = "refused"
SAME = "read as it was"
RAN = "SOMETHING IN IT RAN"


# A run whose every number is a small fraction, so that its checkpoint is the same on every machine.
def run(checkpoint_path: Path | None = None, stop: int | None = None) -> odegan.Solution:
    """Sixteen Adam steps on minibatches of twelve points, or the first ``stop`` of them."""
    generator = nn.Linear(2, 2)
    discriminator = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    game = odegan.gan(generator.double(), discriminator.double())
    y0 = (torch.arange(game.n_params, dtype=torch.float64) % 7 - 3) / 8
    data = (torch.arange(24, dtype=torch.float64) % 11).reshape(12, 2) / 8
    left = [stop or 0]

    def callback(state: State, info: Info) -> bool:
        left[0] -= 1
        return left[0] == 0

    t = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    return odegan.odeint_gan(
        game,
        y0,
        t,
        data=data,
        batch_size=5,
        solver="adam",
        step_size=1 / 16,
        penalties=[odegan.penalties.generator_gradient(0.0625)],
        checkpoint=checkpoint_path,
        callback=callback,
    )


def outcome(path: Path, whole: odegan.Solution, canary: Path | None = None) -> str:
    """What came of resuming from a file: ``REFUSED`` in one line, ``SAME`` as the run without it, or a description."""
    found = _resumed(path, whole)
    return RAN if canary is not None and canary.exists() else found


def _resumed(path: Path, whole: odegan.Solution) -> str:
    try:
        solution = run(path)
    except odegan.ArgumentError as error:
        return REFUSED if re.fullmatch(r"[a-z_0-9]+: got .*", str(error)) else f"a bad message: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return SAME if torch.equal(solution.ys, whole.ys) else "another result"


def make_fixture(folder: Path) -> None:
    """Write a checkpoint of the present version at the sixth step of ``run``, and the states of the whole run."""
    name = f"checkpoint_version_{checkpoint.VERSION}"
    path = folder / f"{name}.pt"
    path.unlink(missing_ok=True)
    run(path, stop=6)
    (folder / f"{name}.json").write_text(json.dumps({"ys": run().ys.tolist()}) + "\n")
