"""One configuration of the particle-flow experiment: its game, its starts, and its solution."""

from __future__ import annotations

import math
from typing import Any

import torch
from einops import rearrange, repeat

from experiments.dual_flow import parameters
from experiments.dual_flow.configurations import PAIR, PARTICLES, Configuration, Path
from experiments.dual_flow.options import DualFlow
from experiments.framework import particle_targets
from experiments.framework.endings import finished
from experiments.framework.folder import Folder
from odegan import Game, odeint_gan
from odegan.flows import ParticleGame, particle_game
from odegan.modules.pure_module import PureModule


def particles(configuration: Configuration, options: DualFlow) -> ParticleGame:
    """The particle game of a configuration."""
    target = configuration.target
    if configuration.bandwidth is None:
        features = particle_targets.energy(target, options.seed)
    else:
        count = configuration.frequencies or options.frequencies
        features = particle_targets.gaussian(configuration.bandwidth, count)(target, options.seed)
    return particle_game(target.data, features, options.particles, options.decay, target.start)


def play(configuration: Configuration, options: DualFlow) -> tuple[Game, torch.Tensor, dict[str, Any]]:
    """(game, y0 (E, P), what else ``odeint_gan`` needs)."""
    seeds = range(options.seed, options.seed + options.seeds)
    target = configuration.target
    z = parameters.latents(options.particles, options.seed)
    if configuration.players == PAIR:
        game: Game = parameters.pair()
        start = torch.stack([parameters.pair_start(game, target, z, seed) for seed in seeds])
        return game, start, fixed_batch(target.data, z, options.seed)
    flow = particles(configuration, options)
    if configuration.players == PARTICLES:
        return flow, torch.stack([flow.init(seed=seed) for seed in seeds]), {}
    network = torch.stack([parameters.network_start(target, z, seed) for seed in seeds])
    # The discriminator starts at zero, as in the particle game.
    weights = network.new_zeros(len(network), flow.n_disc)
    return parameters.in_parameters(flow, z), torch.cat([weights, network], 1), {}


def fixed_batch(data: torch.Tensor, z: torch.Tensor, seed: int) -> dict[str, Any]:
    """Arguments of ``odeint_gan``: one minibatch for the whole run, of shuffled data and of the latents z again and again."""
    shuffled = data[torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))]

    def latent(n: int, generator: torch.Generator) -> torch.Tensor:
        return repeat(z, "point d -> (copies point) d", copies=math.ceil(n / len(z)))[:n]

    return {"data": shuffled, "latent": latent, "refresh": math.inf}


def solve(configuration: Configuration, options: DualFlow, folder: Folder) -> Path:
    """Integrate one configuration, or take it from its checkpoint."""
    game, start, data = play(configuration, options)
    # Squared, so that reports are denser at the start.
    times = options.time * torch.linspace(0, 1, options.reports + 1, dtype=torch.float64) ** 2
    solution = odeint_gan(
        game,
        start.to(options.device),
        times,
        rates=(configuration.ratio, 1.0),
        seed=options.seed,
        checkpoint=folder.checkpoint(configuration.label),
        on_nonfinite="stop",
        **data,
        **options.keywords(),
    )
    states = finished(solution).ys.cpu()
    clouds = torch.stack([cloud(game, y, options) for y in states])
    if configuration.players == PAIR:
        unknown = states.new_full(states.shape[:2], torch.nan)
        return Path(game, solution.ts, states, clouds, unknown, unknown)
    flow = particles(configuration, options)
    w = states[..., : game.n_disc]
    flat = torch.cat([w, rearrange(clouds, "time start point xy -> time start (point xy)")], -1)
    mmd = torch.stack([torch.stack([flow.mmd(y) for y in moment]) for moment in flat])
    return Path(game, solution.ts, states, clouds, mmd, torch.linalg.vector_norm(w, dim=-1))


def cloud(game: Game, y: torch.Tensor, options: DualFlow) -> torch.Tensor:
    """The generator's law at y (E, P) as points (E, N, 2): the particles, or the image of the fixed latents."""
    if isinstance(game, ParticleGame):
        return game.particles(y)
    network = PureModule(parameters.generator(), "generator")
    z = parameters.latents(options.particles, options.seed)
    return torch.stack([network(member[game.n_disc :], z) for member in y]).detach()
