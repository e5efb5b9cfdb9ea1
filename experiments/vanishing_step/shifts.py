"""The shift of the mean field by penalties on the norms of minibatch gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange

from experiments.framework.folder import Folder
from experiments.framework.power_laws import Mean, fit_power_law
from experiments.vanishing_step.figures import Panel, Series
from experiments.vanishing_step.findings import BATCH, Finding, row
from experiments.vanishing_step.options import VanishingStep
from experiments.vanishing_step.problems import SIGMA, Problem
from odegan import Batch, Game, penalties, vector_field
from odegan.games.closed_form.gaussian_expectation import NODES_EACH_OF_TWO, normal_rule
from odegan.penalties import Penalty
from odegan.utils.random_streams import stream_seed

BLOCK = 1000  # minibatches whose penalized fields are evaluated at once


class Shifting(NamedTuple):
    """A penalty on minibatch norms, whose closed form its shift is compared with, and the share of that it should have."""

    penalty: Callable[[], Penalty]
    like: str
    share: float


SHIFTING = {
    "generator gradient": Shifting(lambda: penalties.generator_gradient(1.0), "generator gradient", 1.0),
    "JARE": Shifting(lambda: penalties.jare(1.0), "JARE", 1.0),
    "JARE, unbiased": Shifting(lambda: penalties.jare(1.0, chunks=4, unbiased=True), "JARE", 0.0),
}


def shifts(problem: Problem, name: str, batch_size: int, options: VanishingStep) -> torch.Tensor:
    """The penalty's part of the field at y0 on many minibatches, minus its part of the exact field: (batches, P)."""
    source = torch.Generator().manual_seed(stream_seed(options.seed, name, batch_size))
    # In blocks, since one vmap over all minibatches would hold all of their graphs.
    blocks = [min(BLOCK, options.batches - done) for done in range(0, options.batches, BLOCK)]
    found = [added_on_minibatches(problem, name, count, batch_size, source) for count in blocks]
    return torch.cat(found) - added(problem, problem.game, SHIFTING[name].like, None).detach()


def added(problem: Problem, game: Game, name: str, batch: Batch | None) -> torch.Tensor:
    """The penalty's part of the field of a game at y0, (P,)."""
    # The difference on one minibatch: the noise of the plain field cancels exactly.
    penalized = vector_field(game, [SHIFTING[name].penalty()])
    return penalized(0.0, problem.y0, batch) - vector_field(game)(0.0, problem.y0, batch)


@torch.no_grad()
def added_on_minibatches(
    problem: Problem, name: str, count: int, batch_size: int, source: torch.Generator
) -> torch.Tensor:
    """The same on each of some minibatches, (count, P)."""
    drawn = problem.data(count * batch_size, source)
    real = rearrange(drawn, "(batches sample) d -> batches sample d", batches=count)
    latent = torch.randn(count, batch_size, problem.latent, generator=source, dtype=torch.float64)
    add = torch.vmap(lambda real, latent: added(problem, problem.sampled, name, Batch(real, latent)))
    return add(real.to(problem.y0), latent.to(problem.y0))


def exact_shift(problem: Problem, name: str, batch_size: int) -> torch.Tensor:
    """The shift of the mean field (P,), by quadrature over the two-dimensional Gaussian's law.

    E |mean of B gradients|^2 exceeds the square of their expectation by tr Cov / B. One sample's gradients are
    -s theta for the generator and, in what depends on it, s x for the discriminator, with s = sigmoid(theta^T x).
    """
    theta, phi = problem.game.split(problem.y0)
    z, w = normal_rule(NODES_EACH_OF_TWO, theta)
    grid = torch.cartesian_prod(z, z)
    weights = torch.cartesian_prod(w, w).prod(1)

    def scatter(theta: torch.Tensor, phi: torch.Tensor, own: bool) -> torch.Tensor:
        x = phi + SIGMA * grid
        s = torch.sigmoid(x @ theta)[:, None]
        gradients = s * x if own else -s * theta
        return (weights @ gradients**2).sum() - ((weights @ gradients) ** 2).sum()

    disc = -torch.func.grad(lambda theta: scatter(theta, phi, False))(
        theta
    )  # D is penalized by the generator's gradient
    gen = -torch.func.grad(lambda phi: scatter(theta, phi, True))(phi)
    shift = {"generator gradient": [disc, torch.zeros_like(gen)], "JARE": [disc / 2, gen / 2]}
    return torch.cat(shift[name]) / batch_size


def penalty_shifts(problem: Problem, options: VanishingStep, folder: Folder) -> Finding:
    """By how much penalties on minibatch norms shift the mean field at the start, as a share of the closed form."""
    sizes = options.shift_sizes
    series = []
    rows = []
    for name, shifting in SHIFTING.items():
        shares = [measured_share(problem, name, size, options) for size in sizes]
        for size, share in zip(sizes, shares, strict=True):
            folder.log({"run": f"shift, {name}", "step": size, "share": share.value, "standard error": share.error})
        what = "shift of the field / closed form of the biased"
        mean = Mean(sum(m.value for m in shares) / len(sizes), math.hypot(*(m.error for m in shares)) / len(sizes))
        rows.append(row(problem.name, what, name, shifting.share, mean, sizes))
        series.append(Series(name, sizes, shares, functools.partial(torch.full_like, fill_value=shifting.share)))
        if shifting.share:
            norms = [float(exact_shift(problem, name, size).norm()) for size in sizes]
            line = fit_power_law(sizes, [Mean(m.value * n, m.error * n) for m, n in zip(shares, norms, strict=True)])
            slope = Mean(line.slope, line.error)
            rows.append(row(problem.name, "shift of the field: slope in B", name, -1, slope, sizes))
    panel = Panel("penalties on minibatch norms", BATCH, "shift of the mean field / closed form", series, "linear")
    return Finding(panel, rows)


def measured_share(problem: Problem, name: str, size: int, options: VanishingStep) -> Mean:
    """The measured shift along the closed form's, as a share of it."""
    exact = exact_shift(problem, SHIFTING[name].like, size)
    return Mean.of(shifts(problem, name, size, options) @ exact / (exact @ exact))
