"""The eigenvalue that limits a solver's step at one state, and whose parameters its eigenvector moves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs
from torch.func import linearize

from experiments.edge import optimizers
from odegan import Batch, Game, max_stable_step, vector_field
from odegan.penalties import Penalty

ACCURACY = 1e-6  # of eigenvalues, by their modulus: the step of a weakly damped rotation depends on a small real part
GROWS = 1e-6  # real parts above this share of the modulus are the flow's own growth, whatever the step
REAL = 1e-3  # imaginary parts below this share of the modulus are rounding


class Limit(NamedTuple):
    """The largest stable step, the eigenvalue that sets it, and the discriminator's share of its eigenvector's square.

    growing: how many of the eigenvalues of largest modulus are left out, for the flow itself grows along them.
    """

    step: float
    eigenvalue: complex
    share: float
    growing: int

    @property
    def real(self) -> bool:
        """Whether the eigenvalue is real."""
        return abs(self.eigenvalue.imag) <= REAL * abs(self.eigenvalue)


LOST = Limit(math.nan, complex(math.nan), math.nan, 0)  # of a state that is not finite


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
        return self.h / torch.tensor([[one.step for one in row] for row in self.limits], dtype=torch.float64)

    @property
    def late(self) -> list[list[Limit]]:
        """What limits the step in the second half of the training, of finite states, a list a moment."""
        first = int((self.counts < self.counts[-1] / 2).sum())
        return [[one for one in row if not math.isnan(one.step)] for row in self.limits[first:]]


def packed(limits: Sequence[Sequence[Limit]]) -> torch.Tensor:
    """The numbers (T, E, 5) of T rows of E members, float64, for a file."""
    return torch.tensor(
        [
            [[one.step, one.eigenvalue.real, one.eigenvalue.imag, one.share, one.growing] for one in row]
            for row in limits
        ],
        dtype=torch.float64,
    )


def unpacked(numbers: torch.Tensor) -> list[list[Limit]]:
    """The limits of such numbers."""
    return [[Limit(step, complex(re, im), share, int(n)) for step, re, im, share, n in row] for row in numbers.tolist()]


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
    factors = 1.0 if scale is None else scale.double().numpy()
    derivative = jacobian(game, y, batch, penalties)

    def product(vector: np.ndarray) -> np.ndarray:
        tangent = torch.from_numpy(np.ascontiguousarray(vector.ravel()))
        return np.asarray(factors * derivative(tangent).numpy())

    size = len(y)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    # A fixed start: ARPACK's own is random.
    start = np.random.default_rng(0).standard_normal(size)
    # A weakly damped rotation may limit the step before larger eigenvalues do.
    found = [_converged(operator, k, which, start) for which in ("LM", "LI")]
    values = np.concatenate([each for each, _ in found])
    vectors = np.concatenate([each for _, each in found], axis=1)
    grows = values.real > GROWS * abs(values)
    growing = int(grows[: len(found[0][0])].sum())
    damped = np.flatnonzero(~grows)
    # One eigenvalue at a time: we want to know which one sets the limit, not only the limit.
    steps = {int(i): largest_step(complex(values[i]), solver) for i in damped}
    if not steps:
        return Limit(math.inf, complex(math.nan), math.nan, growing)
    limiting = min(steps, key=lambda i: steps[i])
    squares = abs(vectors[:, limiting]) ** 2
    share = float(squares[: game.n_disc].sum() / squares.sum())
    return Limit(steps[limiting], complex(values[limiting]), share, growing)


def jacobian(
    game: Game, y: torch.Tensor, batch: Batch, penalties: Sequence[Penalty]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The Jacobian of the field with its penalties at y (P,), as a function from a tangent (P,) to its derivative along it.

    What does not depend on the tangent is evaluated once: ARPACK asks for some two hundred derivatives at one state.
    """
    field = vector_field(game, penalties)
    with warnings.catch_warnings():
        # Of its own folding of constants, which changes no value.
        warnings.filterwarnings("ignore", "Attempted to insert a get_attr Node", UserWarning)
        with torch.no_grad():
            derivative: Callable[[torch.Tensor], torch.Tensor] = linearize(lambda state: field(0.0, state, batch), y)[1]
    return torch.no_grad()(derivative)


def _converged(operator: LinearOperator, k: int, which: str, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most k eigenvalues and their eigenvectors, as columns: on an almost real spectrum, not all of "LI" may converge."""
    try:
        values, vectors = eigs(operator, k=k, which=which, v0=start, tol=ACCURACY)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
    return values, vectors


def largest_step(eigenvalue: complex, solver: str) -> float:
    """The largest step that is stable for one eigenvalue; of Adam and RMSProp, with their mean squares held fixed."""
    if solver in optimizers.MOMENTUM:
        return optimizers.largest_step_with_momentum(eigenvalue, optimizers.MOMENTUM[solver])
    return max_stable_step([eigenvalue], solver)
