"""Thin layers in sequence, computed with features in rows: the same function, with the same derivatives."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian, vmap

import odegan
from odegan import nets, penalties
from odegan.modules import features_first, linear_chain


def hooked():
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    module[0].register_forward_hook(lambda layer, inputs, output: 2 * output)
    return module


def hooked_backward():
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    module[0].register_full_backward_hook(lambda layer, given, got: (2 * given[0],))
    return module


def repeated(shared, *others):
    """A layer that comes twice, which ``children()`` names once."""
    return nn.Sequential(nn.Linear(3, 3), shared, *others, shared)


class Doubled(nn.Linear):
    """A layer of its own."""

    def forward(self, x):
        return 2 * super().forward(x)


class CenteredCall(nn.Sequential):
    """Layers in sequence, of centered inputs: it couples the samples of a batch."""

    def __call__(self, x):
        return super().__call__(x - x.mean(0))


class CenteredLayers(nn.Sequential):
    """The same by a function among the layers."""

    def __iter__(self):
        yield lambda x: x - x.mean(0)
        yield from super().__iter__()


def own_call():
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    module[1]._call_impl = lambda x: x - x.mean(0)
    return module


TAKEN = {
    "one layer": nn.Sequential(nn.Linear(3, 2)),
    "no bias": nn.Sequential(nn.Linear(3, 5, bias=False), nn.Tanh(), nn.Linear(5, 1)),
    "activations": nn.Sequential(nn.Linear(3, 4), *(kind() for kind in sorted(linear_chain.ELEMENTWISE, key=str))),
    "ODE-GAN's": nets.mog16()[0],
}
LEFT = {
    "a linear layer alone": nn.Linear(2, 3),
    "no linear layer": nn.Sequential(nn.ReLU()),
    "wide": nn.Sequential(nn.Linear(2, 65)),
    "a norm": nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)),
    "in place": nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True)),
    "a subclass": nn.Sequential(Doubled(2, 3)),
    "a parametrization": nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3))),
    "a hook": hooked(),
    "a backward hook": hooked_backward(),
    "one layer twice": repeated(nn.Linear(3, 3)),
    "one activation twice": repeated(nn.Tanh(), nn.Linear(3, 3)),
    "nested": nn.Sequential(nn.Sequential(nn.Linear(2, 3))),
    "a call of its own": CenteredCall(nn.Linear(2, 3)),
    "layers of its own": CenteredLayers(nn.Linear(2, 3)),
    "a layer with a call of its own": own_call(),
    "along features": nn.Sequential(nn.Linear(2, 3), nn.Softmax(-1)),
}


@pytest.mark.parametrize("module", TAKEN.values(), ids=TAKEN.keys())
def test_the_same_function_and_second_derivatives(module):
    assert features_first.applies(module)
    module = copy.deepcopy(module).double()
    state = {name: p.detach() for name, p in module.named_parameters()}
    x = torch.randn(7, next(iter(state.values())).shape[1], dtype=torch.float64)
    weight = "0.weight"

    def of_both(run):
        one = lambda w: run(state | {weight: w}, x)  # noqa: E731
        return one(state[weight]), hessian(lambda w: (one(w) ** 2).sum())(state[weight])

    thin = of_both(lambda s, x: features_first.run(module, s, x))
    plain = of_both(lambda s, x: functional_call(module, s, (x,)))
    torch.testing.assert_close(thin, plain, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("module", LEFT.values(), ids=LEFT.keys())
def test_other_modules_are_left_to_torch(module):
    assert not features_first.applies(module)


def test_a_module_whose_forward_was_set_is_left_to_torch():
    module = nn.Sequential(nn.Linear(2, 2))
    module[0].forward = lambda x: x
    assert not features_first.applies(module)


def test_members_are_batched():
    module = nn.Sequential(nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 2))
    states = {name: torch.randn(5, *p.shape) for name, p in module.named_parameters()}
    x = torch.randn(5, 6, 3)
    batched = vmap(lambda state, x: features_first.run(module, state, x))(states, x)
    for e in range(5):
        own = {name: p[e] for name, p in states.items()}
        torch.testing.assert_close(batched[e], functional_call(module, own, (x[e],)))


@pytest.mark.parametrize("members", [None, 2])
def test_compiled_steps_use_it(members, monkeypatch):
    calls = []
    original = features_first.run
    monkeypatch.setattr(features_first, "run", lambda *arguments: (calls.append(1), original(*arguments))[1])
    game = odegan.gan(*nets.mog16())
    y0 = game.init(seed=0) if members is None else torch.stack([game.init(seed=s) for s in range(members)])

    def end(compile):
        return odegan.odeint_gan(
            game, y0.double(), torch.tensor([0.0, 0.2]), data=torch.randn(64, 2, dtype=torch.float64), batch_size=16,
            solver="euler", step_size=0.1, penalties=[penalties.generator_gradient(0.07)], placement="after_step",
            compile=compile,
        )  # fmt: skip

    torch.manual_seed(0)
    eager = end(False)
    assert not calls
    torch.manual_seed(0)
    compiled = end("eager")
    assert compiled.stats["compiled"]
    assert calls
    torch.testing.assert_close(compiled.y, eager.y, rtol=1e-10, atol=1e-10)
