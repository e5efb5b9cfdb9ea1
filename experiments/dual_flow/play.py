"""One setting of the particle-flow experiment: its game, its starts, and its solution."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from experiments.dual_flow import parameters, targets
from experiments.dual_flow.targets import Target
from experiments.framework import runner
from experiments.framework.runner import Folder
from odegan import Game, odeint_gan
from odegan.flows import ParticleGame, particle_game

if TYPE_CHECKING:
    from experiments.dual_flow.experiment import DualFlow

PARTICLES, NETWORK, PAIR = "particles", "network generator", "network pair"


class Setting(NamedTuple):
    """One line of the table: who plays on which target, with which kernel (bandwidth None: energy distance), at which r."""

    target: Target
    players: str
    kernel: str
    bandwidth: float | None
    frequencies: int | None
    ratio: float

    @property
    def discriminator(self) -> str:
        """The kernel with its bandwidth, or the network."""
        return self.kernel if self.bandwidth is None else f"{self.kernel} {self.bandwidth:g}"

    @property
    def label(self) -> str:
        """What logs, progress and checkpoints call it."""
        features = "" if self.frequencies is None else f", {self.frequencies} frequencies"
        return f"{self.target.name}, {self.players}, {self.discriminator}{features}, r {self.ratio:g}"


class Path(NamedTuple):
    """One setting's solution at its times (T,): states (T, E, P), clouds (T, E, N, 2), and (T, E) of MMD and |D|."""

    game: Game
    times: torch.Tensor
    states: torch.Tensor
    clouds: torch.Tensor
    mmd: torch.Tensor
    norm: torch.Tensor


def particles(setting: Setting, options: DualFlow) -> ParticleGame:
    """The particle game of a setting."""
    if setting.bandwidth is None:
        phi = targets.energy(setting.target, options.seed)
    else:
        phi = targets.gaussian(setting.bandwidth, setting.frequencies or options.frequencies)(
            setting.target, options.seed
        )
    return particle_game(setting.target.data, phi, options.particles, options.decay, setting.target.start)


def play(setting: Setting, options: DualFlow) -> tuple[Game, torch.Tensor, dict[str, Any]]:
    """(game, y0 (E, P), what else ``odeint_gan`` needs)."""
    seeds = range(options.seed, options.seed + options.seeds)
    z, target = parameters.latents(options.particles, options.seed), setting.target
    if setting.players == PAIR:
        game: Game = parameters.pair()
        start = torch.stack([parameters.pair_start(game, target, z, seed) for seed in seeds])
        chosen = target.data[torch.randperm(len(target.data), generator=torch.Generator().manual_seed(options.seed))]
        fixed = {"data": chosen, "latent": lambda n, draw: z.repeat(n // len(z) + 1, 1)[:n], "refresh": float("inf")}
        return game, start, fixed
    flow = particles(setting, options)
    if setting.players == PARTICLES:
        return flow, torch.stack([flow.init(seed=seed) for seed in seeds]), {}
    network = torch.stack([parameters.network_start(target, z, seed) for seed in seeds])
    return parameters.in_parameters(flow, z), torch.cat([network.new_zeros(len(network), flow.n_disc), network], 1), {}


def solve(setting: Setting, options: DualFlow, folder: Folder) -> Path:
    """Integrate one setting, or take it from its checkpoint."""
    game, start, data = play(setting, options)
    times = options.time * torch.linspace(0, 1, options.reports + 1, dtype=torch.float64) ** 2
    solution = odeint_gan(
        game,
        start.to(options.device),
        times,
        rates=(setting.ratio, 1.0),
        seed=options.seed,
        checkpoint=folder.checkpoint(re.sub(r"\W+", "_", setting.label)),
        on_nonfinite="stop",
        **data,
        **options.keywords(),
    )
    states = runner.finished(solution).ys.cpu()
    clouds = torch.stack([cloud(game, y, options) for y in states])
    if setting.players == PAIR:
        unknown = states.new_full(states.shape[:2], torch.nan)
        return Path(game, solution.ts, states, clouds, unknown, unknown)
    judge = particles(setting, options)
    w = states[..., : game.n_disc]
    flat = torch.cat([w, clouds.flatten(2)], -1)
    mmd = torch.stack([torch.stack([judge.mmd(y) for y in moment]) for moment in flat])
    return Path(game, solution.ts, states, clouds, mmd, torch.linalg.vector_norm(w, dim=-1))


def cloud(game: Game, y: torch.Tensor, options: DualFlow) -> torch.Tensor:
    """The generator's law at y (E, P) as points (E, N, 2): the particles, or the image of the fixed latents."""
    if isinstance(game, ParticleGame):
        return game.particles(y)
    network = parameters.PureModule(parameters.generator(), "generator")
    z = parameters.latents(options.particles, options.seed)
    return torch.stack([network(member[game.n_disc :], z) for member in y]).detach()
