"""The isotropic Gaussian's penalties, and its training on minibatches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import repeat

from experiments.framework.endings import finished
from experiments.gaussian.options import Gaussian
from odegan import games, odeint_gan, penalties
from odegan.penalties import Penalty

METHODS: dict[str, Callable[[float], list[Penalty]]] = {
    "none": lambda gamma: [],
    "reg-G2": lambda gamma: [penalties.reg(gamma, player="gen", norm="opponent")],
    "consensus": lambda gamma: [penalties.consensus(gamma)],
    "JARE": lambda gamma: [penalties.jare(gamma)],
}
REPORTED = 100  # states of the training that are kept
Curve = tuple[torch.Tensor, torch.Tensor]  # numbers of steps (T,), and distances (T, seeds)


def train(method: str, made: Sequence[Penalty], options: Gaussian) -> Curve:
    """Numbers of steps (T,) and |y - y*| over its start (T, seeds), trained on minibatches with plain steps.

    The losses and the penalties see the minibatch alone, so that a penalty's norms are those of noisy gradients.
    """
    game = games.gaussian(options.v, options.sigma, expectation="sampling")
    mean = torch.tensor(options.v)

    def draw(n: int, generator: torch.Generator) -> torch.Tensor:
        return mean + options.sigma * torch.randn(n, len(mean), generator=generator)

    start = game.init().to(options.device)
    counts = torch.arange(0, options.train_steps + 1, max(1, options.train_steps // REPORTED), dtype=torch.float64)
    solution = finished(
        odeint_gan(
            game,
            repeat(start, "p -> seeds p", seeds=options.seeds),
            options.step_size * counts,
            data=draw,
            latent=len(mean),
            batch_size=options.batch_size,
            solver="euler",
            step_size=options.step_size,
            penalties=made,
            seed=options.seed,
            progress=method if options.progress else False,
        )
    )
    distances = (solution.ys.double() - options.equilibrium()).norm(dim=-1).cpu()
    # Relative to the start, which depends on v.
    return counts, distances / distances[0]
