"""Small games, and the comparison of compiled with eager runs."""

import itertools

import pytest
import torch
from torch import nn
from torch._dynamo import register_backend

import odegan


@pytest.fixture(autouse=True)
def forget_compiled_code():
    yield
    torch.compiler.reset()


D = torch.float64
H = 0.1
SPAN = [0.0, 0.1, 0.13, 0.35]
POOL = torch.randn(16, 1, generator=torch.Generator().manual_seed(0), dtype=D) + 1


def by_turns(*tables):
    """The product of tables, its cases as one run or as an ensemble by turns: every entry is seen as both."""
    return [
        (*(entry for _, entry in case), sum(i for i, _ in case) % 2)
        for case in itertools.product(*map(enumerate, tables))
    ]


def network(norm=lambda layer: layer, **given):
    """Eight parameters: what takes time is tracing."""
    torch.manual_seed(0)
    discriminator = nn.Sequential(norm(nn.Linear(1, 2)), nn.Tanh(), nn.Linear(2, 1, bias=False))
    return odegan.gan(nn.Linear(1, 1).to(D), discriminator.to(D), latent=1, **given)


def starts(game, members):
    y0 = torch.stack([game.init(seed=seed).to(D) for seed in range(2)])
    return y0 if members else y0[0]


# Once for each shape.
MADE = []


@register_backend
def odegan_counts(graph, inputs):
    """Counts the graphs that it is given."""
    MADE.append(graph)
    return graph.forward


def simple():
    """The least that reads a minibatch."""
    return odegan.Game(
        lambda d, g, batch: (d * g).sum() * batch.real.mean(), lambda d, g, batch: -(d * g).sum(), 1, 1,
        init=lambda seed: torch.ones(2, dtype=D) + seed,
    )  # fmt: skip


def counted(game, y0, t=SPAN, **arguments):
    MADE.clear()
    given = {"solver": "heun2", "data": POOL, "latent": 1, "batch_size": 4, "compile": "odegan_counts"}
    return odegan.odeint_gan(game, y0, t, **given | arguments)
