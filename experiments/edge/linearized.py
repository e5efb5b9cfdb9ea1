"""The eigenvalue that limits a solver's step at one state, and whose parameters its eigenvector moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigs
from torch.func import jvp

from experiments.edge import optimizers
from odegan import Batch, Game, max_stable_step, vector_field
from odegan.penalties import Penalty

ACCURACY = 1e-3  # of eigenvalues: a step needs no more digits
GROWS = 1e-6  # real parts above this share of the modulus are the flow's own growth, whatever the step
REAL = 1e-3  # imaginary parts below this share of the modulus are rounding


class Limit(NamedTuple):
    """The largest stable step, the eigenvalue that sets it, and the discriminator's share of its eigenvector's square.

    growing: how many of the computed eigenvalues are left out, for the flow itself grows along them; one that is among the
    largest in both ways counts twice.
    """

    step: float
    eigenvalue: complex
    share: float
    growing: int

    @property
    def real(self) -> bool:
        """Whether the eigenvalue is real."""
        return abs(self.eigenvalue.imag) <= REAL * abs(self.eigenvalue)


@dataclass(frozen=True)
class Found:
    """One setting: its solver and step, the moments (T,) in steps, and what limits the step there, T rows of E members."""

    solver: str
    h: float
    counts: torch.Tensor
    limits: Sequence[Sequence[Limit]]

    @property
    def ratios(self) -> torch.Tensor:
        """The step over the largest stable one, (T, E): 1 on the edge."""
        return torch.tensor([[self.h / one.step for one in row] for row in self.limits], dtype=torch.float64)


def limit(
    game: Game,
    y: torch.Tensor,
    batch: Batch,
    penalties: Sequence[Penalty],
    solver: str,
    k: int,
    scale: torch.Tensor | None = None,
) -> Limit:
    """What limits a solver's step at y (P,), in float64, among the k eigenvalues of largest modulus and the k of largest
    imaginary part.

    scale (P,): of an optimizer that multiplies the field's entries by these numbers, held fixed.
    """
    field = vector_field(game, penalties)
    factors = 1.0 if scale is None else scale.double().numpy()

    def product(vector: np.ndarray) -> np.ndarray:
        tangent = torch.from_numpy(np.ascontiguousarray(vector.ravel()))
        # Forward mode, so that no graph is needed.
        with torch.no_grad():
            moved = jvp(lambda state: field(0.0, state, batch), (y,), (tangent,))[1]
        return np.asarray(factors * moved.numpy())

    size = len(y)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    # A fixed start: ARPACK's own is random.
    start = np.random.default_rng(0).standard_normal(size)
    # A weakly damped rotation may limit the step before larger eigenvalues do.
    found = [eigs(operator, k=k, which=which, v0=start, tol=ACCURACY) for which in ("LM", "LI")]
    values = np.concatenate([each for each, _ in found])
    vectors = np.concatenate([each for _, each in found], axis=1)
    damped = np.flatnonzero(values.real <= GROWS * abs(values))
    # One eigenvalue at a time: we want to know which one sets the limit, not only the limit.
    steps = {int(i): largest_step(complex(values[i]), solver) for i in damped}
    if not steps:
        return Limit(float("inf"), complex("nan"), float("nan"), len(values))
    first = min(steps, key=lambda i: steps[i])
    squares = abs(vectors[:, first]) ** 2
    share = float(squares[: game.n_disc].sum() / squares.sum())
    return Limit(steps[first], complex(values[first]), share, len(values) - len(damped))


def largest_step(eigenvalue: complex, solver: str) -> float:
    """The largest step that is stable for one eigenvalue; of Adam and RMSProp, with their mean squares held fixed."""
    if solver in optimizers.MOMENTUM:
        return optimizers.largest_step(eigenvalue, optimizers.MOMENTUM[solver])
    return max_stable_step([eigenvalue], solver)
