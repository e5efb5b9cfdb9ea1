"""Ensembles of minibatch runs against the noiseless sequence and the flow, and what a penalty on minibatches shifts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from experiments.framework.runner import Folder, finished
from experiments.vanishing_step.problems import SIGMA, Problem
from odegan import odeint_gan, penalties, vector_field
from odegan.games.closed_form.gaussian_expectation import NODES_EACH_OF_TWO, normal_rule
from odegan.utils.random_streams import stream_seed

if TYPE_CHECKING:
    from experiments.vanishing_step.experiment import VanishingStep

BLOCK = 1000  # minibatches whose penalised fields are evaluated at once


class Mean(NamedTuple):
    """A mean over independent draws and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: torch.Tensor) -> Mean:
        """The mean of values (n,)."""
        return cls(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


class Slope(NamedTuple):
    """log y = slope log x + constant by least squares, and the slope's standard error from those of y."""

    slope: float
    error: float
    constant: float

    def curve(self, x: torch.Tensor) -> torch.Tensor:
        """The fitted y."""
        return math.exp(self.constant) * x**self.slope


def fitted(x: Sequence[float], y: Sequence[Mean]) -> Slope:
    """The power law through the points.

    >>> slope = fitted([1.0, 2.0, 4.0], [Mean(3.0, 0.0), Mean(12.0, 0.0), Mean(48.0, 0.0)])
    >>> round(slope.slope, 9), round(math.exp(slope.constant), 9)
    (2.0, 3.0)
    """
    u = torch.tensor(x, dtype=torch.float64).log()
    v = torch.tensor([point.value for point in y], dtype=torch.float64).log()
    weights = (u - u.mean()) / ((u - u.mean()) ** 2).sum()
    slope = float(weights @ v)
    relative = torch.tensor([point.error / point.value for point in y], dtype=torch.float64)
    return Slope(slope, float((weights * relative).norm()), float(v.mean() - slope * u.mean()))


def mean_ratio(above: Sequence[Mean], below: Sequence[Mean]) -> Mean:
    """The geometric mean of the ratios, with the standard error of independent numbers.

    >>> mean_ratio([Mean(1.0, 0.0), Mean(4.0, 0.0)], [Mean(2.0, 0.0), Mean(2.0, 0.0)])
    Mean(value=1.0, error=0.0)
    """
    logs = [math.log(a.value / b.value) for a, b in zip(above, below, strict=True)]
    relative = math.hypot(*(one.error / one.value for one in [*above, *below])) / len(logs)
    value = math.exp(sum(logs) / len(logs))
    return Mean(value, value * relative)


def noiseless(problem: Problem, solver: str, steps: int, options: VanishingStep) -> torch.Tensor:
    """All states (steps + 1, P) of the discrete sequence with the mean field."""
    t = torch.linspace(0, options.time, steps + 1, dtype=torch.float64)
    h = options.time / steps
    return finished(odeint_gan(problem.game, problem.y0, t, solver=solver, step_size=h, **problem.fixed)).ys


def ends(
    problem: Problem,
    solver: str,
    steps: int,
    batch_size: int,
    options: VanishingStep,
    folder: Folder,
    refresh: float | str | None = None,
) -> torch.Tensor:
    """Last states (members, P) of independent minibatch runs; the members of no two ensembles share a minibatch."""
    kind = refresh if isinstance(refresh, str) else "step" if refresh is None else f"{refresh:g}"
    label = f"{problem.name}_{solver}_{steps}_{batch_size}_{kind}"
    return finished(
        odeint_gan(
            problem.sampled,
            problem.y0.repeat(options.members, 1),
            torch.tensor([0.0, options.time], dtype=torch.float64),
            data=problem.data,
            latent=problem.latent,
            batch_size=batch_size,
            solver=solver,
            step_size=options.time / steps,
            refresh=refresh,
            seed=[stream_seed(options.seed, label, member) for member in range(options.members)],
            progress=label if options.progress else False,
            checkpoint=folder.checkpoint(label),
        )
    ).y


def deviation(found: torch.Tensor, at: torch.Tensor) -> Mean:
    """Mean square distance of the states (members, P) from one state."""
    return Mean.of(((found - at) ** 2).sum(1))


class Shifting(NamedTuple):
    """A penalty on minibatch norms, whose closed form its shift is compared with, and the share of that it should have."""

    penalty: Callable[[], Any]
    like: str
    share: float


SHIFTING = {
    "generator gradient": Shifting(lambda: penalties.generator_gradient(1.0), "generator gradient", 1.0),
    "JARE": Shifting(lambda: penalties.jare(1.0), "JARE", 1.0),
    "JARE, unbiased": Shifting(lambda: penalties.jare(1.0, chunks=4, unbiased=True), "JARE", 0.0),
}


def shifts(problem: Problem, name: str, batch_size: int, options: VanishingStep) -> torch.Tensor:
    """What the penalty adds to the field at y0 on many minibatches, less what it adds to the exact field: (batches, P)."""

    def added(game: Any, name: str, batch: Any) -> torch.Tensor:
        made = [SHIFTING[name].penalty()]
        return vector_field(game, made)(0.0, problem.y0, batch) - vector_field(game)(0.0, problem.y0, batch)

    source = torch.Generator().manual_seed(stream_seed(options.seed, name, batch_size))
    found = []
    for done in range(0, options.batches, BLOCK):
        count = min(BLOCK, options.batches - done)
        real = problem.data(count * batch_size, source).unflatten(0, (count, batch_size))
        latent = torch.randn(count, batch_size, problem.latent, generator=source, dtype=torch.float64)
        with torch.no_grad():
            found.append(
                torch.vmap(lambda *batch: added(problem.sampled, name, batch))(
                    real.to(problem.y0), latent.to(problem.y0)
                )
            )
    return torch.cat(found) - added(problem.game, SHIFTING[name].like, None).detach()


def exact_shift(problem: Problem, name: str, batch_size: int) -> torch.Tensor:
    """The shift of the mean field (P,), by quadrature over the two-dimensional Gaussian's law.

    E |mean of B gradients|^2 exceeds the square of their expectation by tr Cov / B. One sample's gradients are
    -s theta for the generator and, in what depends on it, s x for the discriminator, with s = sigmoid(theta^T x).
    """
    theta, phi = problem.game.split(problem.y0)
    z, w = normal_rule(NODES_EACH_OF_TWO, theta)
    grid, weights = torch.cartesian_prod(z, z), torch.cartesian_prod(w, w).prod(1)

    def scatter(theta: torch.Tensor, phi: torch.Tensor, own: bool) -> torch.Tensor:
        x = phi + SIGMA * grid
        s = torch.sigmoid(x @ theta)[:, None]
        gradients = s * x if own else -s * theta
        return (weights @ gradients**2).sum() - ((weights @ gradients) ** 2).sum()

    disc = -torch.func.grad(lambda theta: scatter(theta, phi, False))(theta)  # charged with the generator's gradient
    gen = -torch.func.grad(lambda phi: scatter(theta, phi, True))(phi)
    parts = {"generator gradient": [disc, torch.zeros_like(gen)], "JARE": [disc / 2, gen / 2]}
    return torch.cat(parts[name]) / batch_size
