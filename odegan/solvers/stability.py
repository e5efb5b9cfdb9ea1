"""The stability function R(z) of a solver.

On y' = z y a one-step solver computes y1 = R(h z) y. R is evaluated by the solver's own step, without its tableau. For an
explicit method of order p it is a polynomial that begins with 1 + z + ... + z^p / p!.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torchdiffeq

from odegan.solvers import baselines
from odegan.solvers.solver import Solver
from odegan.solvers.table import get, registered_tableau
from odegan.solvers.table import names as all_names
from odegan.solvers.torchdiffeq_backend import Rhs, one_step, registered
from odegan.utils.checks import ArgumentError, argument_error, check_int, check_number

RADIUS = 4.0  # of the circle on which R is sampled for its coefficients
_POINTS = 32  # on that circle, for degrees below 32
ROUNDING = 1e-12  # coefficients below this share of the largest are rounding

# Why a solver has no stability function; the first fact that holds gives the reason.
_REFUSALS: tuple[tuple[Callable[[Solver], bool], str], ...] = (
    (lambda s: s.opaque, "it chooses its own steps, which cannot be observed"),
    (lambda s: s.multistep, "it is a multistep method: its step depends on earlier steps"),
    (
        lambda s: s.carries_stage,
        "it carries an evaluation over from the previous step, so that no function of h lambda alone describes a step",
    ),
    (
        lambda s: s.in_turn,
        "it moves the players in turn, so that the eigenvalues of the joint field do not describe a step",
    ),
    (
        lambda s: s.normalizes,
        "it rescales every parameter by its own gradients, so that a step is not linear in the field",
    ),
    (lambda s: s.implicit, "it is implicit: it solves equations within a step, only approximately and in real numbers"),
)


def names() -> list[str]:
    """The solvers that have a stability function.

    Examples:
        >>> names()[:3]
        ['euler', 'midpoint', 'heun2']
    """
    return [name for name in all_names() if _refusal(name) is None]


def stability_function(solver: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """R: a complex tensor z (...) -> R(z) (...) complex128, by one step of size 1 of the solver on y' = z y from y = 1.

    Raises:
        ArgumentError: the solver is not a one-step map of a complex number; the message says why.

    Examples:
        >>> stability_function("heun2")(torch.tensor(-2.0))
        tensor(1.+0.j, dtype=torch.complex128)
    """
    check_solver(solver)

    def function(z: torch.Tensor) -> torch.Tensor:
        z = torch.as_tensor(z, dtype=torch.complex128)
        flat = z.reshape(-1)
        return _one_step(solver)(lambda t, y: flat * y, torch.ones_like(flat)).reshape(z.shape)

    return function


@functools.cache
def polynomial(solver: str) -> np.ndarray:
    """The coefficients c_0, c_1, ... of R(z) = sum_k c_k z^k, from R's values on a circle, or from a registered tableau.

    Examples:
        >>> polynomial("extragradient")
        array([1., 1., 1.])
    """
    check_solver(solver)
    known = registered_tableau(solver)
    # Exact coefficients, where R's values would give them only to rounding.
    if known is not None:
        return known.stability_polynomial
    # The discrete Fourier transform of samples on a circle gives c_k RADIUS^k without solving a linear system. The radius is
    # larger than 1, so that high coefficients, which fall like 1 / k!, stay above rounding.
    angles = 2 * math.pi * torch.arange(_POINTS, dtype=torch.float64) / _POINTS
    values = stability_function(solver)(RADIUS * torch.exp(1j * angles)).numpy()
    scaled = np.fft.fft(values).real / _POINTS
    degree = int(np.flatnonzero(np.abs(scaled) > ROUNDING * np.abs(scaled).max())[-1])
    return scaled[: degree + 1] / RADIUS ** np.arange(degree + 1)


class Region(NamedTuple):
    """A grid over the complex plane: real (nx,), imag (ny,), modulus (ny, nx) = |R(real + i imag)|; stable where <= 1."""

    real: torch.Tensor
    imag: torch.Tensor
    modulus: torch.Tensor


def stability_region(solver: str, extent: Sequence[float] = (-5.0, 2.0, -5.0, 5.0), resolution: int = 201) -> Region:
    """|R(z)| on a grid, for plots: contour at 1.

    Args:
        solver: a name of ``odegan.solvers.stability.names()``.
        extent: (left, right, bottom, top) of the rectangle in the complex plane.
        resolution: points along each side.

    Examples:
        >>> region = stability_region("euler", extent=(-2, 0, -1, 1), resolution=3)
        >>> region.modulus[1]
        tensor([1., 0., 1.], dtype=torch.float64)
    """
    points = check_int("resolution", resolution, low=2)
    if not isinstance(extent, tuple | list) or len(extent) != 4:
        argument_error("extent", extent, "(left, right, bottom, top)")
    left, right, bottom, top = (check_number("extent", x) for x in extent)
    if left >= right or bottom >= top:
        argument_error("extent", extent, "(left, right, bottom, top) with left < right and bottom < top")
    real = torch.linspace(left, right, points, dtype=torch.float64)
    imag = torch.linspace(bottom, top, points, dtype=torch.float64)
    return Region(
        real, imag, stability_function(solver)(torch.complex(*torch.broadcast_tensors(real, imag[:, None]))).abs()
    )


def _one_step(name: str) -> Callable[[Rhs, torch.Tensor], torch.Tensor]:
    """(f, y0) -> y1, one step of size 1 from t = 0."""
    facts = get(name)
    zero = torch.zeros((), dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)

    def baseline(f: Rhs, y0: torch.Tensor) -> torch.Tensor:
        return baselines.make(name, {})(_Joint(f), zero, one, y0, {})[0]

    def adaptive(f: Rhs, y0: torch.Tensor) -> torch.Tensor:
        # Tolerances so loose that the first attempt, of length 1, is accepted; it is the step whose R is wanted.
        options = {"first_step": 1.0, "step_t": one[None]}
        ends = torch.stack([zero, one])
        with registered():
            return torchdiffeq.odeint(f, y0, ends, method=name, rtol=1e30, atol=1e30, options=options)[-1]

    def fixed(f: Rhs, y0: torch.Tensor) -> torch.Tensor:
        return one_step(name)(f, zero, one, y0)

    return adaptive if facts.adaptive else fixed if facts.torchdiffeq else baseline


class _Joint:
    """A ``StepContext`` for baselines that evaluate only the joint field."""

    n_disc = 0

    def __init__(self, joint: Rhs) -> None:
        self.joint = joint
        self.disc = joint
        self.gen = joint


def check_solver(solver: str) -> None:
    """Refuse a solver without a stability function, with the reason."""
    reason = _refusal(solver)
    if reason is not None:
        raise ArgumentError(f"solver: {solver!r} has no stability function: {reason}")


def _refusal(solver: str) -> str | None:
    facts = get(solver)
    return next((reason for applies, reason in _REFUSALS if applies(facts)), None)
