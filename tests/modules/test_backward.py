"""Hooks that a forward pass puts on its own tensors: refused where they change a gradient, at whatever size it has."""

import pytest
import torch
from torch import nn

import odegan

REAL = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
LATENT = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
SEEN = []


class Hooked(nn.Module):
    """Two layers with a hook on the tensor between them."""

    def __init__(self, hook, sizes, embeds=False):
        super().__init__()
        self.hook = hook
        self.first = nn.Embedding(8, 4) if embeds else nn.Linear(sizes[0], 4)
        self.last = nn.Linear(4, sizes[1])

    def forward(self, x):
        h = self.first(x).tanh()
        if h.requires_grad:
            h.register_hook(self.hook)
        return self.last(h)


CHANGES = {
    "doubles": lambda g: 2 * g,
    "clips what is large": lambda g: g.clamp(-1e3, 1e3),
    "drops what is small": lambda g: torch.where(g.abs() < 1e-4, 0.0, g),
    "normalizes": lambda g: g / (1e-8 + g.norm()),
}
LOOKS = {
    "keeps": lambda g: SEEN.append(g.detach().clone()),
    "returns it as it is": lambda g: g,
    "removes NaN": lambda g: torch.nan_to_num(g),
}
ROLES = {
    "discriminator": lambda hook: (nn.Linear(3, 2), Hooked(hook, (2, 1)), LATENT),
    "generator": lambda hook: (Hooked(hook, (3, 2)), nn.Linear(2, 1), LATENT),
    "generator of integers": lambda hook: (Hooked(hook, (3, 2), embeds=True), nn.Linear(2, 1), torch.arange(8)),
}


def prepared(generator, critic, latent):
    game = odegan.gan(generator, critic)
    return game.prepared(game.init(), (REAL, latent))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("hook", CHANGES.values(), ids=CHANGES)
def test_a_hook_that_changes_a_gradient_is_refused(hook, role):
    generator, critic, latent = ROLES[role](hook)
    with pytest.raises(odegan.ArgumentError, match=f"^{role.split()[0]}: its forward pass changes gradients by hooks"):
        prepared(generator, critic, latent)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("hook", LOOKS.values(), ids=LOOKS)
def test_a_hook_that_looks_at_gradients_is_not(hook, role):
    torch.manual_seed(0)
    generator, critic, latent = ROLES[role](hook)
    game = prepared(generator, critic, latent)
    found = odegan.vector_field(game)(0.0, game.init(), (REAL, latent))
    loss = nn.functional.softplus(-critic(generator(latent))).mean()
    expected = torch.autograd.grad(loss, [*generator.parameters()])
    torch.testing.assert_close(-found[game.n_disc :], torch.cat([g.reshape(-1) for g in expected]))


class Flat(nn.Module):
    """A bias before a norm, whose gradient is rounding alone, and a hook."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.last = nn.Linear(4, 1)

    def forward(self, x):
        h = self.first(x)
        h = nn.functional.instance_norm(h.float()[None].mT)[0].mT.to(x)
        if h.requires_grad:
            h.register_hook(lambda g: None)
        return self.last(h)


def test_a_gradient_of_roundings_is_no_change():
    assert prepared(nn.Linear(3, 2), Flat(), LATENT).critic_couples_batch
