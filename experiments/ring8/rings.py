"""The Gaussian mixtures of JARE's and CLC-GAN's papers, as they train them: data, networks, optimizer, and methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from experiments.framework.mixture import Mixture, ring
from experiments.framework.penalty_options import NONE
from odegan import Game, gan, penalties
from odegan.nets import MLP

PUBLISHED_RATE = 1e-4  # RMSProp's, in both papers
PUBLISHED_STEPS = 20_000  # JARE's; CLC-GAN's page does not say, and gets as many


@dataclass(frozen=True)
class Method:
    """Penalties as the command line names them, and whether D's step comes before G's."""

    penalty: tuple[str, ...] = ()
    in_turn: bool = False

    @property
    def weight(self) -> float | None:
        """The weight of a method with one penalty; None without a penalty or with several.

        >>> Method(("reg:1000,player=gen",)).weight
        1000.0
        """
        weights = [penalties.parse(text).weight for text in self.penalty if text != NONE]
        match weights:
            case [float(only)]:
                return only
        return None

    def weighted(self, weight: float) -> Method:
        """The method with another weight.

        >>> Method(("reg:1000,player=gen",)).weighted(0.1).penalty
        ('reg:0.1,player=gen',)
        """
        (penalty,) = self.penalty
        head, comma, further = penalty.partition(",")
        name, _, _ = head.partition(":")
        return replace(self, penalty=(f"{name}:{weight:.12g}{comma}{further}",))


@dataclass(frozen=True)
class Ring:
    """One paper's modes, networks and loss; widths are those of the hidden layers, batch_size its minibatch.

    independent: draw the mode of each sample independently, instead of giving every mode the same number of samples.
    """

    title: str
    target: Mixture
    loss: str
    latent: int | Callable[[int, torch.Generator], torch.Tensor]
    latent_width: int
    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    batch_size: int
    extent: float
    methods: Mapping[str, Method] = field(default_factory=dict)
    in_turn: bool = False
    independent: bool = False

    @property
    def resolved(self) -> dict[str, float]:
        """When a mode is resolved: half of its fair share of the samples lies within 3 sigma."""
        return {"radius": 3.0, "share": 0.5 / len(self.target.modes)}

    def game(self, shrink: int) -> Game:
        """The game with every hidden width divided by ``shrink``; ReLU, weights truncated normal of variance 1/fan_in."""
        generator = MLP((self.latent_width, *(n // shrink for n in self.generator), 2))
        discriminator = MLP((2, *(n // shrink for n in self.discriminator), 1))
        return gan(generator, discriminator, loss=self.loss, latent=self.latent)


def wide_latent(n: int, generator: torch.Generator) -> torch.Tensor:
    """JARE's latents (n, 64), N(0, 4 I)."""
    return 2 * torch.randn(n, 64, generator=generator)


_JARE_METHODS: dict[str, Method] = {
    "none": Method(),
    "consensus": Method(("consensus:1000",)),
    "reg-G1": Method(("reg:1000,player=gen,norm=joint",)),
    "reg-G2": Method(("reg:1000,player=gen,norm=opponent",)),
    "reg-D1": Method(("reg:1000,player=disc,norm=joint",)),
    "reg-D2": Method(("reg:1000,player=disc,norm=opponent",)),
    "JARE": Method(("jare:1000",)),
    "alternating reg-G2": Method(("reg:1000,player=gen,norm=opponent",), in_turn=True),
}

# JARE's weight with this loss is on neither page; 10 is that of JARE's Gaussian.
_CLC_METHODS: dict[str, Method] = {
    "none": Method(),
    "abs": Method(("closed_loop:0.01,kind=abs",)),
    "abs, no buffer": Method(("closed_loop:0.01,kind=abs,buffer=0",)),
    "square": Method(("closed_loop:0.01,kind=square",)),
    "one_sided": Method(("closed_loop:0.01,kind=one_sided",)),
    "loss": Method(("closed_loop:0.01,kind=loss",)),
    "JARE": Method(("jare:10",)),
}

_JARE_RING = Ring(
    title="JARE's ring",
    target=ring(2.0, 0.06),
    loss="minimax",
    latent=wide_latent,
    latent_width=64,
    generator=(256,) * 4,
    discriminator=(256,) * 4,
    batch_size=128,
    extent=3.0,
    methods=_JARE_METHODS,
)
_CLC_RING = Ring(
    title="CLC's ring",
    target=ring(1.0, 0.05),
    loss="wasserstein",
    latent=32,
    latent_width=32,
    generator=(128, 128),
    discriminator=(512, 512),
    batch_size=512,
    extent=1.5,
    methods=_CLC_METHODS,
    in_turn=True,
)
_CLC_GRID = Mixture(torch.cartesian_prod(*[0.2 * torch.arange(-2.0, 3.0)] * 2), 0.01)

RINGS: dict[str, Ring] = {
    "jare": _JARE_RING,
    "clc": _CLC_RING,
    "jare_narrow": replace(_JARE_RING, title="JARE's ring, σ = 0.02", target=ring(2.0, 0.02)),
    "jare_wide": replace(_JARE_RING, title="JARE's ring, σ = 0.1", target=ring(2.0, 0.1)),
    # 512 samples cannot hold each of 25 modes equally often.
    "clc_grid": replace(_CLC_RING, title="CLC's grid", target=_CLC_GRID, extent=0.6, independent=True),
}
