"""Runs whose batch is divided, among processes or into micro-batches: what the tests of both train, and compare."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

import odegan
from odegan import penalties
from odegan.nets import MLP

BATCH = 8


def game(seed: int = 0) -> odegan.Game:
    torch.manual_seed(seed)
    generator = MLP([2, 6, 2], nn.Tanh)
    discriminator = MLP([2, 7, 1], nn.Tanh)
    return odegan.gan(generator.double(), discriminator.double(), "non_saturating", latent=2)


def data() -> torch.Tensor:
    return torch.randn(50, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


class Flipped(torch.utils.data.Dataset):
    """A data set with a random transform."""

    def __init__(self) -> None:
        self.x = data()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.x[i] * (1 if torch.rand(()) < 0.5 else -1)


def two_groups(n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(n, 2, generator=generator, dtype=torch.float64) + torch.arange(n)[:, None] % 2


class Labeled(nn.Module):
    """An MLP of x and of a class, as an embedding of width 2 beside it."""

    def __init__(self, widths: list[int], classes: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, 2)
        self.mlp = MLP([widths[0] + 2, *widths[1:]], nn.Tanh)

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.mlp(torch.cat([x, self.embedding(label)], 1))
        return out


def conditional_game(seed: int = 0) -> odegan.Game:
    torch.manual_seed(seed)
    return odegan.gan(Labeled([2, 5, 2]).double(), Labeled([2, 6, 1]).double(), latent=2)


def labeled_data() -> tuple[torch.Tensor, torch.Tensor]:
    return data(), torch.arange(50) % 3


FIXED = {"solver": "heun2", "step_size": 0.1}
ADAPTIVE = {"solver": "dopri5", "refresh": 0.25, "rtol": 1e-6, "atol": 1e-8}
PENALTIES = {
    "none": lambda: [],
    "generator_gradient": lambda: [penalties.generator_gradient(0.5)],
    "jare": lambda: [penalties.jare(0.5)],
    "jare unbiased": lambda: [penalties.jare(0.5, chunks=4, unbiased=True)],
    "jare biased": lambda: [penalties.jare(lambda t: 0.5 + t, chunks=4)],
    "consensus": lambda: [penalties.consensus(0.2)],
    "reg": lambda: [penalties.reg(0.3, player="disc")],
    "closed_loop": lambda: [penalties.closed_loop(0.3, buffer=3)],
    "closed_loop now": lambda: [penalties.closed_loop(0.3, kind="loss", buffer=0)],
    "r1 wgan_gp": lambda: [penalties.r1(0.3), penalties.wgan_gp(0.2), penalties.generator_gradient(0.1)],
}
# name -> arguments of odeint_gan; "members" an ensemble of so many.
CASES: dict[str, dict[str, Any]] = {
    **{f"heun2, {name}": FIXED | {"penalties": make} for name, make in PENALTIES.items()},
    **{
        f"dopri5, {name}": ADAPTIVE | {"penalties": PENALTIES[name]}
        for name in ("generator_gradient", "jare", "closed_loop")
    },
    "after_step": FIXED | {"penalties": PENALTIES["jare"], "placement": "after_step"},
    "first_stage": FIXED | {"penalties": PENALTIES["jare"], "placement": "first_stage"},
    "frozen": FIXED | {"penalties": PENALTIES["consensus"], "players": "frozen"},
    "alternating": {"solver": "alternating", "step_size": 0.1, "penalties": PENALTIES["jare"]},
    "adam": {"solver": "adam", "step_size": 0.01, "penalties": PENALTIES["generator_gradient"]},
    "clip": FIXED | {"clip": 0.1, "rates": (2.0, 0.5), "penalties": PENALTIES["jare"]},
    "refresh stage": FIXED | {"refresh": "stage", "penalties": PENALTIES["jare"]},
    "one call": FIXED | {"refresh": math.inf, "penalties": PENALTIES["jare"]},
    "one call, adaptive": ADAPTIVE | {"refresh": math.inf, "penalties": PENALTIES["jare"]},
    "ensemble": FIXED | {"members": 2, "penalties": PENALTIES["r1 wgan_gp"]},
    "ensemble, replay": FIXED | {"members": 2, "penalties": PENALTIES["closed_loop"]},
    "ensemble, clip": FIXED | {"members": 2, "clip": 0.1, "penalties": PENALTIES["jare unbiased"]},
    "conditional": FIXED
    | {
        "game": conditional_game,
        "data": labeled_data,
        "fake_labels": "same",
        "penalties": lambda: [
            make for name in ("closed_loop", "r1 wgan_gp", "jare biased") for make in PENALTIES[name]()
        ],
    },
    "conditional ensemble": FIXED
    | {
        "game": conditional_game,
        "data": labeled_data,
        "members": 2,
        "penalties": lambda: [penalties.closed_loop(0.3, buffer=3), penalties.r2(0.3)],
    },
    "data set": FIXED | {"data": Flipped, "penalties": PENALTIES["generator_gradient"]},
    "function": FIXED | {"data": lambda: two_groups, "penalties": PENALTIES["generator_gradient"]},
}


class Normed(nn.Module):
    """Images 1 x 4 x 4 from latents (B, 3), and of the others logits, by convolutions and BatchNorm2d."""

    def __init__(self, generates: bool, norm: bool = True) -> None:
        super().__init__()
        first, second = ((3, 4), (4, 1)) if generates else ((1, 4), (4, 1))
        self.generates = generates
        layer = nn.ConvTranspose2d if generates else nn.Conv2d
        self.first = layer(*first, 2)
        self.second = layer(*second, 3)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.norm(self.first(x[..., None, None] if self.generates else x)))
        out: torch.Tensor = self.second(hidden)
        return out if self.generates else out.mean((1, 2, 3))


def normed_game(both: bool = True) -> odegan.Game:
    """A pair of convolutional networks with BatchNorm in the generator, and in the discriminator or not."""
    torch.manual_seed(0)
    return odegan.gan(Normed(True).double(), Normed(False, both).double(), latent=3)


def norm_in_generator() -> odegan.Game:
    return normed_game(both=False)


def published_run(**more: Any) -> odegan.Solution:
    """A step of ODE-GAN's pair for CIFAR-10, with its BatchNorm in the generator."""
    torch.manual_seed(0)
    pair = odegan.nets.get("dcgan")
    g = odegan.gan(pair.generator().double(), pair.discriminator().double(), latent=128)
    kept = [penalties.generator_gradient(0.02), penalties.jare(0.1), penalties.r1(0.1)]
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(7), dtype=torch.float64) * 2 - 1
    run_of = {"data": images, "batch_size": BATCH, "solver": "heun2", "step_size": 0.02, "penalties": kept}
    return odegan.odeint_gan(g, g.init(), steps=1, **run_of, **more)


def augmented_game() -> odegan.Game:
    return odegan.augmented(normed_game(), "flip,color", probability=0.5)


def pictures() -> torch.Tensor:
    return torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


NORMED = {"game": normed_game, "data": pictures}
# Batch normalization, which processes can share and micro-batches cannot.
NORMS: dict[str, dict[str, Any]] = {
    **{
        f"norms, {solver['solver']}, {name}": NORMED | solver | {"penalties": PENALTIES[name]}
        for solver in (FIXED, ADAPTIVE)
        for name in ("none", "generator_gradient", "jare", "closed_loop")
    },
    "norms, r1": NORMED | FIXED | {"game": norm_in_generator, "penalties": PENALTIES["r1 wgan_gp"]},
    "norms, after_step": NORMED | FIXED | {"penalties": PENALTIES["jare"], "placement": "after_step"},
    "norms, alternating": NORMED | {"solver": "alternating", "step_size": 0.1, "penalties": PENALTIES["jare"]},
    "norms, ensemble": NORMED | FIXED | {"members": 2, "penalties": PENALTIES["generator_gradient"]},
    "norms, augmented": NORMED | FIXED | {"game": augmented_game, "penalties": PENALTIES["closed_loop"]},
}
DIVIDED = CASES | NORMS
# Two processes take all of them, these few by default; four those below.
FEW = [
    "heun2, generator_gradient",
    "heun2, jare",
    "dopri5, closed_loop",
    "adam",
    "ensemble, replay",
    "data set",
    "norms, r1",
]
FOR_FOUR = [
    *(f"{s}, {p}" for s in ("heun2", "dopri5") for p in ("generator_gradient", "jare", "closed_loop")),
    "heun2, jare unbiased",
    "ensemble, replay",
    "data set",
    *(name for name in NORMS if "dopri5" not in name),
]


def run(name: str, **more: Any) -> odegan.Solution:
    """One case, over five steps of 0.1 or two intervals of 0.25."""
    case = dict(DIVIDED[name])
    g = case.pop("game", game)()
    members = case.pop("members", None)
    source = case.pop("data", data)
    made = case.pop("penalties")()
    y0 = g.init() if members is None else torch.stack([g.init(seed=e) for e in range(members)])
    t = torch.tensor([0.0, 0.3, 0.5], dtype=torch.float64)
    return odegan.odeint_gan(g, y0, t, data=source(), batch_size=BATCH, penalties=made, **case, **more)
