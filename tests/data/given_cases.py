"""Data sets, loaders and functions that are given as data."""

import torch
from torch.utils.data import Dataset

from odegan.data.minibatches import Minibatches

LIKE = torch.empty(0)
N = 30
ROWS = torch.arange(float(N))[:, None] * torch.ones(2) / N
LABELS = torch.arange(N) % 3 * (torch.arange(N) % 2)  # 0 for two thirds, 1 and 2 for a sixth each


class Pairs(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return ROWS[i], int(LABELS[i])


class WithTargets(Pairs):
    """As torchvision's data sets: items are expensive, and labels are known without them."""

    def __init__(self):
        self.targets = LABELS.tolist()


def make(data, latent=3, batch_size=7, seeds=5, like=LIKE, **given):
    return Minibatches(data, latent, batch_size, seeds, like, **given)


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def langevin(n, generator):
    x = torch.randn(n, 2, generator=generator).requires_grad_()
    return x - 0.1 * torch.autograd.grad((x**4).sum(), x)[0]
