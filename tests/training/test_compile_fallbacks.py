"""``compile=``: what cannot be compiled runs eagerly and says so once."""

import warnings

import pytest
import torch
from torch import nn
from torch._dynamo import register_backend

import odegan
from odegan import penalties
from odegan.utils import compilation
from tests.peers import compiles
from tests.training.compile_cases import POOL, SPAN, D, H, counted, network, simple, starts

pytestmark = compiles


@pytest.fixture(autouse=True)
def forget_compiled_code():
    yield
    torch.compiler.reset()


# What cannot be compiled.
def fallbacks(said):
    """Of the warnings those of ours; torch's own come at its first compilation."""
    return [str(one.message) for one in said if str(one.message).startswith("compile: ")]


class Branching(nn.Linear):
    """Control flow that depends on the data."""

    def forward(self, x):
        y = super().forward(x)
        return 2 * y if y.sum() > 0 else y


def branching():
    torch.manual_seed(0)
    return odegan.gan(nn.Linear(1, 1).to(D), Branching(1, 1).to(D), latent=1)


@pytest.mark.parametrize("given", [{"solver": "heun2", "step_size": H}, {"solver": "bosh3", "refresh": 0.2}])
def test_a_module_that_cannot_be_compiled_runs_as_it_is(given):
    game = branching()
    given = given | {"data": POOL, "batch_size": 4}
    eager = odegan.odeint_gan(game, game.init(), SPAN, **given)
    with pytest.warns(RuntimeWarning, match="cannot be compiled .*branching") as said:
        fallen = odegan.odeint_gan(game, game.init(), SPAN, compile=True, **given)
    assert len(fallbacks(said)) == 1
    assert "\n" not in fallbacks(said)[0]
    assert torch.equal(fallen.ys, eager.ys)
    assert torch.equal(fallen.stats["losses"], eager.stats["losses"])
    assert fallen.stats["compiled"] is False


class Normed(nn.Linear):
    """torch.compile does not let weight norm's second derivative be replaced if it is called so."""

    def forward(self, x):
        norm = torch.ones(len(self.weight), 1, dtype=x.dtype)
        return nn.functional.linear(x, torch._weight_norm(self.weight, norm, 0), self.bias)


class Recurrent(nn.Module):
    """torch's compiler supports cells, but no layers of them."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer(1, 3, batch_first=True)
        self.last = nn.Linear(3, 1)

    def forward(self, x):
        return self.last(self.layer(x[..., None])[0][:, -1])


def normed():
    return nn.Sequential(Normed(2, 3), nn.Tanh(), nn.Linear(3, 1))


# Discriminator, penalty, and the reason that the warning gives.
UNCOMPILED = {
    "weight norm": (normed, penalties.consensus(0.5), "_weight_norm is inexact"),
    "RNN": (lambda: Recurrent(nn.RNN), penalties.generator_gradient(0.5), "does not support RNN"),
    "GRU": (lambda: Recurrent(nn.GRU), penalties.generator_gradient(0.5), "does not support RNN"),
    "LSTM": (lambda: Recurrent(nn.LSTM), penalties.generator_gradient(0.5), "does not support RNN"),
}


@pytest.mark.parametrize("name", UNCOMPILED)
def test_a_network_that_is_not_compiled_runs_as_it_is(name):
    make, penalty, reason = UNCOMPILED[name]
    torch.manual_seed(0)
    game = odegan.gan(nn.Linear(1, 2).to(D), make().to(D), latent=1)
    given = {"data": POOL.repeat(1, 2), "batch_size": 4, "solver": "euler", "step_size": H, "penalties": [penalty]}
    eager = odegan.odeint_gan(game, game.init(), SPAN, **given)
    with pytest.warns(RuntimeWarning, match=f"cannot be compiled .*{reason}"):
        fallen = odegan.odeint_gan(game, game.init(), SPAN, compile="eager", **given)
    assert torch.equal(fallen.ys, eager.ys)


def test_said_once_a_stepper():
    stepper = odegan.Stepper(branching(), solver="euler", step_size=H, compile="eager")
    state = stepper.init(stepper.game.init())
    batches = [(POOL[:size], POOL[:size]) for size in (2, 3, 4)]
    with pytest.warns(RuntimeWarning, match="cannot be compiled") as said:
        assert all(stepper.step(state, batch)[1].finite for batch in batches)
    assert len(fallbacks(said)) == 1


def test_no_compiler_on_the_machine():
    y0 = torch.tensor([1.0, 0.5])
    given = {"solver": "euler", "step_size": H, "refresh": H}
    with (
        torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}),
        pytest.warns(RuntimeWarning, match="cannot be compiled .*compiler") as said,
    ):
        fallen = odegan.odeint_gan(odegan.games.bilinear(), y0, SPAN, compile=True, **given)
    assert len(fallbacks(said)) == 1
    assert torch.equal(fallen.ys, odegan.odeint_gan(odegan.games.bilinear(), y0, SPAN, **given).ys)


@register_backend
def odegan_refuses(graph, inputs):
    """A backend that compiles nothing."""
    raise NotImplementedError


REFUSED = []


@register_backend
def odegan_interrupted(graph, inputs):
    """A backend whose first compiler dies of Ctrl-C."""
    if not REFUSED:
        REFUSED.append(graph)
        raise RuntimeError("killed by SIGINT")
    return graph.forward


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_a_backend_that_fails(micro_batch):
    with pytest.warns(RuntimeWarning, match="odegan_refuses.*NotImplementedError") as said:
        counted(network(), starts(network(), 0), step_size=H, compile="odegan_refuses", micro_batch=micro_batch)
    assert len(fallbacks(said)) == 1


def test_a_compiler_that_ctrl_c_ends_is_asked_again():
    compiler = compilation.Compiler("odegan_interrupted")
    calls = []
    compiler.interrupted = lambda: not calls
    square = compiler(lambda x: x * x)
    assert square(torch.tensor(3.0)) == 9
    assert not compiler.works
    calls.append("no more")
    assert square(torch.tensor(3.0)) == 9
    assert compiler.works


def test_an_error_of_the_function_itself_is_raised():
    def weight(t):
        raise LookupError("no weight today")

    stepper = odegan.Stepper(
        odegan.games.bilinear(), solver="euler", step_size=H, refresh=H, compile="eager",
        penalties=[penalties.generator_gradient(weight)],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LookupError, match="no weight today"):
            stepper.step(stepper.init(torch.ones(2)))


# What is said.
def test_progress_tells_of_compiling(capsys):
    counted(simple(), starts(simple(), 0), step_size=H, progress="digits")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("digits: compiling one step ...") == 1
    assert said.err.count("digits: compiled one step in ") == 1


def test_silent_without_progress(capfd):
    counted(simple(), starts(simple(), 0), step_size=H)
    assert capfd.readouterr() == ("", "")
