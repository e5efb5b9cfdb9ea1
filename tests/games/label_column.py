"""Class-conditional modules and batches written with the class as one more column of the input."""

import torch
from torch import nn

import odegan


class Column(nn.Module):
    """A conditional module as a module of one input, whose last column is the class."""

    def __init__(self, inner: nn.Module, keeps: bool) -> None:
        super().__init__()
        self.inner = inner
        self.keeps = keeps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.inner(x[:, :-1], x[:, -1].round().long())
        return torch.cat([out, x[:, -1:]], 1) if self.keeps else out


def in_columns(batch: odegan.Batch) -> odegan.Batch:
    def joined(x, label):
        return torch.cat([x, label[:, None].to(x)], 1)

    fake_label = batch.label if batch.fake_label is None else batch.fake_label
    real, fake, label, stored_label = batch.replay["samples 3"]
    replay = {"samples 3": (joined(real, label), joined(fake, stored_label))}
    return odegan.Batch(
        joined(batch.real, batch.label), joined(batch.latent, fake_label), noise=batch.noise, replay=replay
    )
