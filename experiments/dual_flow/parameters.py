"""The particle game in parameters: the cloud is a network's image of fixed latents; and an ordinary pair of networks."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import nn
from torch.nn.utils import parameters_to_vector

from experiments.framework.particle_targets import SPREAD, Target
from odegan import Game, gan
from odegan.flows import ParticleGame
from odegan.modules.pure_module import PureModule
from odegan.nets import MLP

WIDTH = 32
LATENT = 2


def generator() -> MLP:
    """The generator, 2-32-32-2 with tanh."""
    return MLP((LATENT, WIDTH, WIDTH, 2), nn.Tanh)


def latents(n: int, seed: int) -> torch.Tensor:
    """(n, 2) standard normal float64, the same for all members."""
    return torch.randn(n, LATENT, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_parameters(game: ParticleGame, z: torch.Tensor) -> Game:
    """The same game played in a network's parameters: x_i = G(theta, z_i), with the particles' losses.

    Only the generator's metric is another: Euclidean in theta in place of Wasserstein-2 in mu. The generator's loss is
    the mean over the cloud, -E_mu D, as in training a network; with it the network's output bias moves the
    cloud's mean as fast as the particles' own mean moves.
    """
    network = PureModule(generator(), "generator")

    def cloud(theta: torch.Tensor) -> torch.Tensor:
        # ``to`` moves to theta's device: the latents are drawn on the CPU, so that all devices have the same.
        return network(theta, z.to(theta))

    def flat(theta: torch.Tensor) -> torch.Tensor:
        return rearrange(cloud(theta), "point xy -> (point xy)")

    return Game(
        lambda w, theta, batch: game.disc_loss(w, flat(theta), batch),
        lambda w, theta, batch: game.gen_loss(w, flat(theta), batch) / len(z),
        game.n_disc,
        network.n,
        critic=game.critic,
        sample=lambda y, count, seed: cloud(y[game.n_disc :]).detach()[:count],
        name="particles in parameters",
    )


def pair() -> Game:
    """The same generator against a discriminator 2-32-32-1 with tanh, non-saturating."""
    return gan(generator(), MLP((2, WIDTH, WIDTH, 1), nn.Tanh), "non_saturating")


def network_start(target: Target, z: torch.Tensor, seed: int) -> torch.Tensor:
    """Parameters whose image of z is a cloud of one mode's width around the target's origin.

    A fresh network's last layer is rescaled and its bias set.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = generator().double()
    with torch.no_grad():
        image = fresh(z)
        last = fresh[-1]
        assert isinstance(last, torch.nn.Linear)
        # The last layer is linear, so that scaling its rows scales the image's coordinates exactly.
        last.weight.mul_(SPREAD / image.std(0)[:, None])
        # The bias comes second: the mean to be moved is that of the rescaled image.
        last.bias.copy_(target.origin - fresh(z).mean(0) + last.bias)
    return parameters_to_vector(fresh.parameters()).detach()


def pair_start(game: Game, target: Target, z: torch.Tensor, seed: int) -> torch.Tensor:
    """A fresh discriminator with such a generator."""
    return torch.cat([game.init(seed=seed)[: game.n_disc].double(), network_start(target, z, seed)])
