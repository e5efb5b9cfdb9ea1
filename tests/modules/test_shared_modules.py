"""Modules that a network has under several paths: their parameters appear once, and the field is that of the plain modules."""

import pytest
import torch
from torch import nn

import odegan
from odegan import penalties

X, Z = (torch.randn(6, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (2, 3))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = self.first

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def row():
    shared = nn.Linear(4, 4)
    return nn.Sequential(shared, nn.Tanh(), shared)


def nested():
    shared = nn.Linear(4, 4)
    return nn.Sequential(nn.Sequential(shared, nn.Tanh()), nn.Tanh(), nn.Sequential(nn.Tanh(), shared))


def norms():
    shared = nn.BatchNorm1d(4)
    return nn.Sequential(shared, nn.Linear(4, 4), shared)


def tied():
    one = nn.Linear(4, 4)
    two = nn.Linear(4, 4)
    two.weight = one.weight
    return nn.Sequential(one, nn.Tanh(), two)


def frozen():
    shared = nn.Linear(4, 4).requires_grad_(False)
    return nn.Sequential(shared, nn.Linear(4, 4), shared)


SHARED = {
    "two attributes": Twice,
    "a row": row,
    "nested": nested,
    "norms": norms,
    "a parameter": tied,
    "frozen": frozen,
}


def around(inner, size, out):
    torch.manual_seed(1)
    # Not one nested Sequential: checkpointing cuts the outer one into segments.
    parts = inner if isinstance(inner, nn.Sequential) else [inner]
    return nn.Sequential(nn.Linear(size, 4), *parts, nn.Linear(4, out)).double()


def gradients(gen, disc):
    real = disc(X)
    fake = disc(gen(Z))
    loss = nn.functional.softplus
    disc_loss = loss(-real).mean() + loss(fake).mean()
    gen_loss = loss(-fake).mean()
    found = [
        torch.autograd.grad(value, [p for p in module.parameters() if p.requires_grad], retain_graph=True)
        for value, module in ((disc_loss, disc), (gen_loss, gen))
    ]
    return torch.cat([part.flatten() for part in [*found[0], *found[1]]])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
def test_the_field_is_the_plain_modules(make, checkpointing):
    gen = around(make(), 3, 2)
    disc = around(make(), 2, 1)
    game = odegan.gan(gen, disc, checkpointing=checkpointing)
    y = game.init()
    field = odegan.vector_field(game)
    for _ in range(2):  # nothing is left in the modules
        torch.testing.assert_close(field(0.0, y, (X, Z)), -gradients(gen, disc), rtol=1e-10, atol=1e-12)
    members = torch.stack([y, 2 * y])
    batch = torch.stack([X, X]), torch.stack([Z, Z])
    stepper = odegan.Stepper(game, solver="euler", step_size=1.0)
    state, _ = stepper.step(stepper.init(members), batch)
    alone, _ = stepper.step(stepper.init(members[1]), (X, Z))
    torch.testing.assert_close(state.y[1], alone.y)
    assert odegan.vector_field(game, [penalties.generator_gradient(0.1)])(0.0, y, (X, Z)).isfinite().all()


@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
def test_what_is_made_of_it_shares_again(make):
    gen = around(make(), 3, 2)
    disc = around(make(), 2, 1)
    game = odegan.gan(gen, disc)
    y = game.init(seed=3)
    assert y.shape == game.init().shape
    made, _ = game.modules(y, [(X, Z)])
    assert sum(p.numel() for p in made.parameters()) == sum(p.numel() for p in gen.parameters())
    trained = torch.cat([p.detach().flatten() for p in made.parameters() if p.requires_grad])
    torch.testing.assert_close(trained, game.split(y)[1])
