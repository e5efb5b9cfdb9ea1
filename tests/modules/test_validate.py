"""Forward passes that are no function of their input, or that torch cannot differentiate or map: one line, with the remedy."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

import odegan
from odegan.modules.validate import close
from tests.modules.pairs import Square

Y = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
Z = torch.ones(8, 3)


class Critic(nn.Module):
    """A small critic with something done to its hidden layer."""

    def __init__(self, act=None):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.last = nn.Linear(4, 1)
        self.calls = 0
        self.act = act or (lambda own, x: x)
        self.register_buffer("seen", torch.full((4,), math.nan))
        self.memory = torch.zeros(4)

    def forward(self, x):
        return self.last(self.act(self, torch.tanh(self.first(x))))


def counts(own, x):
    own.calls += 1
    return x


def remembers(own, x):
    own.memory = 0.9 * own.memory + x.detach().mean(0)
    return x + own.memory


def writes_a_buffer(own, x):
    own.seen.copy_(x.detach().mean(0))
    return x


def keeps(own, x):
    own.features = x
    return x


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 4)]
        self.last = nn.Linear(4, 1)

    def forward(self, x):
        return self.last(self.layers[0](x))


class Recomputing(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(2, 4), nn.Linear(4, 1))

    def forward(self, x):
        return self[1](checkpoint(self[0], x.tanh(), use_reentrant=False))


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Linear(2, 1)

    def forward(self, x):
        return self.last(self.act(x))


def hooked(register):
    critic = Critic()
    register(critic.first.weight, lambda g: None)
    return critic


def doubling(hook):
    """How to make a critic that doubles its gradient by a hook on a tensor of its own."""

    def act(own, x):
        out = x.clone()
        if out.requires_grad:
            hook(out)
        return out

    return lambda: Critic(act)


REFUSED = {
    "torch's random numbers": (
        lambda: Critic(lambda own, x: x + torch.randn_like(x)),
        "Critic at 'the top' draws random",
    ),
    "python's": (lambda: Critic(lambda own, x: x * random.random()), "draws random numbers"),
    "numpy's": (lambda: Critic(lambda own, x: x * np.random.rand()), "draws random numbers"),
    "in a submodule": (
        lambda: nn.Sequential(nn.Linear(2, 4), nn.RReLU(), nn.Linear(4, 1)),
        "RReLU at '1' draws random",
    ),
    "a counter": (lambda: Critic(counts), "the attribute 'calls' of 'the top'"),
    "a memory": (lambda: Critic(remembers), "reads the attribute 'memory'"),
    "a buffer": (lambda: Critic(writes_a_buffer), "writes to 'seen'"),
    "its input": (InPlace, "writes to its input"),
    "a layer in a list": (Hidden, "nn.ModuleList"),
    "a tuple": (lambda: Critic(lambda own, x: (x, x)), "discriminator: got samples (8, 2)"),
    "checkpoint inside": (
        Recomputing,
        "gan(checkpointing=True)",
    ),
    "checkpoint inside, reentrant": (
        lambda: Critic(lambda own, x: checkpoint(torch.tanh, x, use_reentrant=True)),
        "gan(checkpointing=True)",
    ),
    "DataParallel": (lambda: nn.DataParallel(Critic()), ".module"),
    "compiled": (lambda: torch.compile(Critic(), backend="eager"), "compile=True"),
    "complex parameters": (lambda: nn.Linear(2, 1, dtype=torch.complex64), "must be real"),
    "too wide": (lambda: nn.Linear(3, 1), "discriminator: got samples (8, 2), float32"),
    "old norm": (lambda: nn.utils.spectral_norm(nn.Linear(2, 1)), "torch.nn.utils.parametrizations"),
    "a hook on a parameter": (lambda: hooked(nn.Parameter.register_hook), "no gradient hooks"),
    "a hook on its gradient": (lambda: hooked(nn.Parameter.register_post_accumulate_grad_hook), "no gradient hooks"),
    "a hook on a tensor": (doubling(lambda out: out.register_hook(lambda g: 2 * g)), "by hooks on tensors"),
    "a hook on a node": (
        doubling(lambda out: out.grad_fn.register_prehook(lambda g: (2 * g[0],))),
        "by hooks on tensors",
    ),
    "lazy": (lambda: nn.LazyLinear(1), "run one forward pass first"),
    "dropout in a recurrent layer": (
        lambda: nn.Sequential(nn.Unflatten(1, (2, 1)), nn.LSTM(1, 1, 2, dropout=0.5)),
        "LSTM at '1'; it must not draw",
    ),
}


def prepared(critic):
    game = odegan.gan(nn.Linear(3, 2), critic)
    return game.prepared(game.init(), (Y, Z))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make, says", REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_line(make, says):
    with pytest.raises(odegan.ArgumentError) as error:
        prepared(make())
    assert says in str(error.value)
    assert "\n" not in str(error.value)


UNMAPPED = {
    "a branch": lambda own, x: x * 2 if x.mean() > 0 else x,
    "an item": lambda own, x: x / x.abs().max().item(),
    "an autograd.Function": lambda own, x: Square.apply(x),
}


@pytest.mark.parametrize("act", UNMAPPED.values(), ids=UNMAPPED.keys())
def test_what_cannot_be_mapped_is_told_of_ensembles_alone(act):
    game = odegan.gan(nn.Linear(3, 2), Critic(act))
    game.prepared(game.init(), (Y, Z))
    with pytest.raises(odegan.ArgumentError, match=r"^y0: got an ensemble"):
        game.prepared(torch.stack([game.init()] * 2), (torch.stack([Y, Y]), torch.stack([Z, Z])))


class EqualLR:
    def __call__(self, module, _):
        module.weight = module.weight_orig * math.sqrt(2 / module.weight_orig[0].numel())


def equalized(layer):
    weight = layer._parameters.pop("weight")
    layer.register_parameter("weight_orig", nn.Parameter(torch.randn_like(weight)))
    layer.register_forward_pre_hook(EqualLR())
    return layer


def used(module):
    module(Y)
    return module


def pruned(layer):
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


ACCEPTED = {
    "features": lambda: Critic(keeps),
    "used features": lambda: used(Critic(keeps)),
    "equalized": lambda: nn.Sequential(equalized(nn.Linear(2, 4)), nn.Tanh(), nn.Linear(4, 1)),
    "used, equalized": lambda: used(nn.Sequential(equalized(nn.Linear(2, 4)), nn.Tanh(), nn.Linear(4, 1))),
    "pruned": lambda: nn.Sequential(pruned(nn.Linear(2, 4)), nn.Tanh(), nn.Linear(4, 1)),
    "a constant attribute": lambda: Critic(lambda own, x: x + own.memory),
    "logits (B, 1, 1)": lambda: nn.Sequential(nn.Linear(2, 1), nn.Unflatten(1, (1, 1))),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_with_plain_autograds_field(make):
    torch.manual_seed(0)
    generator = nn.Linear(3, 2)
    critic = make()
    game = odegan.gan(generator, critic).prepared(odegan.gan(generator, critic).init(), (Y, Z))
    real = critic(Y).reshape(-1)
    fake = critic(generator(Z)).reshape(-1)
    loss_d = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
    loss_g = nn.functional.softplus(-fake).mean()
    wanted = [*critic.parameters()], [*generator.parameters()]
    parts = [
        *torch.autograd.grad(loss_d, wanted[0], retain_graph=True),
        *torch.autograd.grad(loss_g, wanted[1]),
    ]
    by_hand = -torch.cat([part.reshape(-1) for part in parts])
    field = odegan.vector_field(game)
    torch.testing.assert_close(field(0.0, game.init(), (Y, Z)), by_hand)
    mapped = torch.vmap(lambda y: field(0.0, y, (Y, Z)))(torch.stack([game.init()] * 2))
    torch.testing.assert_close(mapped[1], by_hand)


def test_integer_latents_keep_their_dtype():
    generator = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    game = odegan.gan(generator, Critic(), latent=lambda n, draw: torch.randint(0, 10, (n,), generator=draw))
    assert game.sample(game.init(), 5).shape == (5, 2)
    assert game.prepared(game.init(), (Y, torch.arange(8))).couples_batch is False


def normal(module):
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, 3.0)


WRAPPED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "pruned": pruned,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_init_reaches_weights_that_are_computed(wrap):
    game = odegan.gan(nn.Linear(3, 2), nn.Sequential(wrap(nn.Linear(2, 4)), nn.Linear(4, 1)), init=normal)
    critic = game.modules(game.init(seed=1))[1]
    weight = critic[0].weight_orig if hasattr(critic[0], "weight_orig") else critic[0].weight
    assert weight.std() < 1e-6  # all equal, as ``normal`` makes them; spectral norm divides by one number
    assert not torch.equal(game.init(seed=1)[: game.n_disc], game.init()[: game.n_disc])


def test_a_parameter_that_nothing_draws_is_named():
    game = odegan.gan(nn.Linear(3, 2), nn.Sequential(equalized(nn.Linear(2, 4)), nn.Linear(4, 1)))
    with pytest.raises(odegan.ArgumentError, match=r"init: the discriminator's parameter '0\.(bias|weight_orig)'"):
        game.init(seed=1)


def test_public_functions_see_spectral_norm_converged():
    torch.manual_seed(0)
    game = odegan.gan(nn.Linear(3, 2), nn.Sequential(parametrizations.spectral_norm(nn.Linear(2, 4)), nn.Linear(4, 1)))
    y = game.init(seed=3)
    generator, critic = game.modules(y)
    critic.eval()
    torch.testing.assert_close(game.logits(game.split(y)[0], Y), critic(Y).squeeze(-1))
    loss = nn.functional.softplus(-critic(Y)).mean() + nn.functional.softplus(critic(generator(Z))).mean()
    torch.testing.assert_close(game.losses(y, (Y, Z))[0], loss)
    weight = game.discriminator.unflatten(game.split(y)[0])["0.parametrizations.weight.original"]
    torch.testing.assert_close(torch.linalg.svdvals(critic[0].weight)[0], torch.ones(()), rtol=1e-3, atol=0.0)
    u = game.initial_buffers(y)["discriminator/0.parametrizations.weight.0._u"]
    torch.testing.assert_close(u, weight @ torch.linalg.pinv(weight) @ u)  # in the image of W


@pytest.mark.parametrize("nested", [False, True])
def test_spectral_norms_vectors_are_constants_of_differentiation(nested):
    torch.manual_seed(0)
    game = odegan.gan(nn.Linear(3, 2), parametrizations.spectral_norm(nn.Linear(2, 1)))
    y = game.init(seed=3).double()
    field = odegan.vector_field(game)
    batch = (Y.double(), Z.double())
    fixed = odegan.Batch(*batch, buffers=game.initial_buffers(y))
    jacobian = torch.func.jacrev(lambda own: field(0.0, own, batch))
    expected = torch.func.jacrev(lambda own: field(0.0, own, fixed))
    if nested:
        jacobian, expected = (torch.func.jacfwd(lambda own, f=f: f(own).square().sum()) for f in (jacobian, expected))
    torch.testing.assert_close(jacobian(y), expected(y), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_what_rounding_may_change_is_no_difference(dtype):
    one = torch.ones(3, dtype=dtype)
    assert close(one * (1 + torch.finfo(dtype).eps), one)
    assert not close(1.1 * one, one)
