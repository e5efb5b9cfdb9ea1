"""A small class-conditional game."""

from __future__ import annotations

import torch
from torch import nn

import odegan

D = torch.float64
B = 8
CLASSES = 3


class Embedded(nn.Module):
    """Tanh layers of x with an embedding of its class beside it."""

    def __init__(self, n_in: int, n_out: int, norm: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, 2)
        self.first = nn.Linear(n_in + 2, 4)
        self.norm = nn.BatchNorm1d(4) if norm else nn.Identity()
        self.last = nn.Linear(4, n_out)

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.norm(self.first(torch.cat([x, self.embedding(label)], 1)))))


def pair(norm: bool = False) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return Embedded(3, 2, norm).double(), Embedded(2, 1).double()


def drawn(seed: int = 0, n: int = B) -> odegan.Batch:
    source = torch.Generator().manual_seed(seed)
    real, latent = (torch.randn(n, width, generator=source, dtype=D) for width in (2, 3))
    label, fake_label = torch.randint(CLASSES, (2, n), generator=source)
    return odegan.Batch(real, latent, label, fake_label)


def by_autograd(modules, loss, batch: odegan.Batch) -> torch.Tensor:
    """The field from torch.autograd.grad on the plain modules, with each player's loss written out."""
    generator, discriminator = modules
    fake_label = batch.label if batch.fake_label is None else batch.fake_label
    fake = discriminator(generator(batch.latent, fake_label), fake_label).reshape(-1)
    real = discriminator(batch.real, batch.label).reshape(-1)
    of_d = torch.autograd.grad(loss.disc(real, fake), [*discriminator.parameters()], retain_graph=True)
    loss_g = loss.gen(real if loss.gen_sees_real else fake, fake)
    of_g = torch.autograd.grad(loss_g, [*generator.parameters()])
    return -torch.cat([g.reshape(-1) for g in (*of_d, *of_g)])


# Which games are conditional.
class Optional(nn.Linear):
    def forward(self, x, label=None):
        return super().forward(x) if label is None else super().forward(x) * (1 + label[:, None])
