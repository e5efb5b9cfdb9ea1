"""The Wasserstein Dirac GAN as a control loop: responses in time beside those of 1 / (s^2 + lambda s + 1).

The feedback meant here acts on phi itself, phi' = c - theta - lambda phi. The literal penalty lambda (D(c)^2 + D(theta)^2)
of closed-loop GANs would act like 4 lambda c^2 near the equilibrium.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import signal

from experiments.framework.eigenvalue_blocks import Block, as_text, eigenvalues, phase_factor
from experiments.framework.endings import finished
from experiments.framework.folder import Row
from odegan import games, max_stable_step, odeint_gan, solvers

END = 20.0  # of the responses
LONG_STEP = 0.01  # of the undamped loop
REPORTED = 200

Curve = tuple[np.ndarray, np.ndarray]  # times (T,) and values (T,)


class Response(NamedTuple):
    """theta over time: of the game, and of the transfer function."""

    found: Curve
    exact: Curve


# The input of the loop -> (c, start (phi, theta)): a step, the data at 1 for t > 0; or an impulse in phi.
DRIVES = {"step response": (1.0, (0.0, 0.0)), "impulse response": (0.0, (1.0, 0.0))}
_EXACT = {"step response": signal.step, "impulse response": signal.impulse}


def transfer(drive: str, feedback: float, t: np.ndarray) -> np.ndarray:
    """theta (T,) at the times t (T,), evenly spaced from 0, from the transfer function."""
    return _EXACT[drive](([1.0], [1.0, feedback, 1.0]), T=t)[1]


def response(drive: str, feedback: float, solver: str, device: str, steps: int) -> tuple[np.ndarray, torch.Tensor]:
    """Times (T,) and states (T, 2) of the game itself."""
    c, start = DRIVES[drive]
    t = torch.linspace(0, END, steps + 1, dtype=torch.float64)
    h = None if solvers.get(solver).adaptive else END / steps
    game = games.dirac("wasserstein", c, feedback=feedback)
    y0 = torch.tensor(start, dtype=torch.float64, device=device)
    # So tight that an adaptive solver's error does not show in the difference from the transfer function.
    solution = finished(odeint_gan(game, y0, t, solver=solver, step_size=h, rtol=1e-10, atol=1e-10))
    return t.numpy(), solution.ys.cpu()


def responses(
    lambdas: Sequence[float], solver: str, device: str, steps: int
) -> tuple[dict[str, dict[float, Response]], list[Row]]:
    """drive -> lambda -> response, and rows of the difference from the transfer function."""
    curves: dict[str, dict[float, Response]] = {drive: {} for drive in DRIVES}
    rows = []
    for drive, (c, _) in DRIVES.items():
        for feedback in lambdas:
            t, states = response(drive, feedback, solver, device, steps)
            theta = states[:, 1].numpy()
            exact = transfer(drive, feedback, t)
            curves[drive][feedback] = Response((t, theta), (t, exact))
            rows.append(
                {
                    "setting": f"{drive}, feedback {feedback:g}",
                    "c": c,
                    **poles(feedback),
                    "off closed form": float(np.abs(theta - exact).max()),
                    f"end, {solver}": float((states[-1] - torch.tensor([0.0, c])).norm()),
                }
            )
    return curves, rows


def poles(feedback: float) -> Row:
    """The cells of a row that follow from the transfer function's poles, as in the gallery."""
    pair = eigenvalues("feedback", [Block(0.0, 1.0)], feedback)
    limit = max_stable_step(pair, "euler")
    return {"eigenvalues": as_text(pair), "phase factor": phase_factor(pair), "largest Euler step": limit}


def undamped(steps: int, device: str) -> tuple[dict[str, Curve], list[Row]]:
    """|y - y*| over time without feedback, c = 1 from 0, with steps of 0.01: alternating steps and simultaneous Euler.

    Euler's is known, (1 + h^2)^(steps / 2); the row has the relative difference from it.
    """
    every = max(1, steps // REPORTED)
    counts = torch.arange(0, steps + 1, every, dtype=torch.float64)
    equilibrium = torch.tensor([0.0, 1.0], dtype=torch.float64, device=device)
    start = torch.zeros(2, dtype=torch.float64, device=device)
    distances = {}
    for solver in ("euler", "alternating"):
        game = games.dirac("wasserstein", 1.0)
        solution = finished(odeint_gan(game, start, LONG_STEP * counts, solver=solver, step_size=LONG_STEP))
        distances[solver] = (solution.ys - equilibrium).norm(dim=1).cpu().numpy()
    # By logarithms: the power itself would lose digits over so many steps.
    exact = math.exp(math.log1p(LONG_STEP**2) * float(counts[-1]) / 2)
    row = {
        "setting": f"Wasserstein, {int(counts[-1]):,} steps of {LONG_STEP}",
        "c": 1.0,
        **poles(0.0),
        "off closed form": float(abs(distances["euler"][-1] / exact - 1)),
        **{f"end, {solver}": float(d[-1]) for solver, d in distances.items()},
    }
    farthest = {f"end, {solver}": float(d.max()) for solver, d in distances.items()}
    t = (LONG_STEP * counts).numpy()
    rows = [row, {"setting": "the same: farthest on the way", "c": 1.0, **farthest}]
    return {solver: (t, d) for solver, d in distances.items()}, rows
