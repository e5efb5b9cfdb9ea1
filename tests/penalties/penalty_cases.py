"""Penalties and batches."""

import torch

import odegan
from odegan import penalties
from odegan.games.batch import Batch
from tests.peers import draw

D = torch.float64
WEIGHT = 0.7
NOISE = torch.rand(8, generator=torch.Generator().manual_seed(3), dtype=D)
BATCH = Batch(*draw(8), noise=NOISE, replay={"samples 3": (draw(8, seed=5)[0], draw(8, seed=6)[0])})
MAKERS = {
    "generator_gradient": lambda w: penalties.generator_gradient(w),
    "jare": lambda w: penalties.jare(w),
    "jare biased": lambda w: penalties.jare(w, chunks=4),
    "jare unbiased": lambda w: penalties.jare(w, chunks=4, unbiased=True),
    "consensus": lambda w: penalties.consensus(w),
    "reg G1": lambda w: penalties.reg(w),
    "reg G2": lambda w: penalties.reg(w, "gen", "opponent"),
    "reg D1": lambda w: penalties.reg(w, "disc", "joint"),
    "reg D2": lambda w: penalties.reg(w, "disc", "opponent"),
    "closed_loop square": lambda w: penalties.closed_loop(w, buffer=3),
    "closed_loop abs": lambda w: penalties.closed_loop(w, "abs", 0),
    "closed_loop loss": lambda w: penalties.closed_loop(w, "loss", 3),
    "closed_loop one_sided": lambda w: penalties.closed_loop(w, "one_sided", 0),
    "r1": lambda w: penalties.r1(w),
    "r2": lambda w: penalties.r2(w),
    "wgan_gp": lambda w: penalties.wgan_gp(w),
    "wgan_gp zero": lambda w: penalties.wgan_gp(w, 0.0),
    "truncation_error": lambda w: penalties.truncation_error(w, 3.0),
    "truncation_error gen": lambda w: penalties.truncation_error(w, 3.0, "bosh3", "gen"),
    "drift_cancellation": lambda w: penalties.drift_cancellation(w),
    "drift_cancellation self": lambda w: penalties.drift_cancellation(w, interaction=False),
    "drift_cancellation other": lambda w: penalties.drift_cancellation(w, self_terms=False),
}


# Closed forms.
def dirac(c=1.0):
    """Wasserstein, D(x) = phi x, data at c, generator at theta: phi' = c - theta, theta' = phi."""
    return odegan.Game(
        lambda d, g, batch: (d * (g - c)).sum(),
        lambda d, g, batch: -(d * g).sum(),
        1,
        1,
        critic=lambda d, x: x[:, 0] * d,
        real=lambda batch: torch.full((1, 1), c, dtype=D),
        fake=lambda g, batch: g[:, None],
    )
