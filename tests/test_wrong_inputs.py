"""Every wrong argument is one line that names the argument, shows what came and says what it may be."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

import odegan
from odegan import ArgumentError, games, penalties, solvers
from odegan.averages import ExponentialAverage, UniformAverage
from odegan.batches import Minibatches

torch.set_num_threads(1)
T = torch.tensor([0.0, 0.2])
DATA = torch.randn(6, 2)


def net(*widths: int) -> nn.Sequential:
    layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


GAME = odegan.gan(net(3, 4, 2), net(2, 4, 1))
Y = GAME.init()


def run(y0=None, t=T, game=None, **given):
    """A correct run on the bilinear game, but for what is given."""
    y0 = torch.ones(2) if y0 is None else y0
    return odegan.odeint_gan(games.bilinear() if game is None else game, y0, t, **{"step_size": 0.1} | given)


def train(y0=Y, t=T, game=GAME, **given):
    """A correct run on networks, but for what is given."""
    known = {"step_size": 0.1, "solver": "euler", "data": DATA, "latent": 3, "batch_size": 3}
    return odegan.odeint_gan(game, y0, t, **known | given)


def gan(discriminator=None, generator=None, **given):
    return odegan.gan(net(3, 4, 2) if generator is None else generator, discriminator or net(2, 4, 1), **given)


class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(x) + torch.randn_like(x[:, :1])


class Counting(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls.add_(1)
        return super().forward(x)


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale


def with_shared_layer():
    layer = nn.Linear(2, 2)
    return gan(nn.Sequential(layer, nn.Linear(2, 1)), nn.Sequential(nn.Linear(3, 2), layer))


def adaptive(**given):
    return {"solver": "dopri5", "step_size": None} | given


PENALTY = [penalties.generator_gradient(0.1)]
NAN = math.nan
# (the argument's name, what the message shows of what came, what it says is allowed, the call)
WRONG = [
    # solver and step_size
    ("solver", "'rk5'", "did you mean 'rk4'", lambda: run(solver="rk5")),
    ("solver", "'Adam'", "did you mean 'adam'", lambda: run(solver="Adam")),
    ("solver", "'doprri5'", "did you mean 'dopri5'", lambda: solvers.get("doprri5")),
    ("solver", "None", "one of euler", lambda: solvers.get(None)),
    ("solver", "['rk4']", "one of euler", lambda: run(solver=["rk4"])),
    ("step_size", "-0.1", "number > 0", lambda: run(step_size=-0.1)),
    ("step_size", "0", "number > 0", lambda: run(step_size=0)),
    ("step_size", "None", "number > 0", lambda: run(step_size=None)),
    ("step_size", "'0.1'", "number > 0", lambda: run(step_size="0.1")),
    ("step_size", "nan", "finite number > 0", lambda: run(step_size=NAN)),
    ("step_size", "inf", "finite number > 0", lambda: run(step_size=math.inf)),
    ("step_size", "True", "number > 0", lambda: run(step_size=True)),
    ("step_size", "shape (2,)", "number > 0", lambda: run(step_size=torch.tensor([0.1, 0.2]))),
    ("step_size", "0.1", "left out: dopri5", lambda: run(solver="dopri5")),
    ("step_size at t = 0", "-1.0", "number > 0", lambda: train(step_size=lambda t: -1.0)),
    ("step_size at t = 0", "None", "number > 0", lambda: run(step_size=lambda t: None)),
    ("step_size", "function of time", "a number", lambda: run(solver="fixed_adams", step_size=lambda t: 0.1)),
    ("options", "'step_size'", "left out when", lambda: run(options={"step_size": 0.1})),
    # refresh, placement, players, and how they go together
    ("refresh", "None", "math.inf", lambda: train(**adaptive())),
    ("refresh", "'steps'", "did you mean 'stage'", lambda: train(refresh="steps")),
    ("refresh", "0.25", "multiple of step_size = 0.1", lambda: train(refresh=0.25)),
    ("refresh", "0.05", "multiple of step_size = 0.1", lambda: train(refresh=0.05)),
    ("refresh", "-1", "number > 0", lambda: train(refresh=-1)),
    ("refresh", "nan", "number > 0", lambda: train(refresh=NAN)),
    ("refresh", "'stage'", "give a number or math.inf", lambda: train(**adaptive(refresh="stage"))),
    ("refresh", "'stage'", "without data", lambda: run(refresh="stage")),
    ("refresh", "None", "the interval's length", lambda: run(**adaptive(players="frozen"))),
    ("players", "'freeze'", "did you mean 'frozen'", lambda: run(players="freeze")),
    ("players", "'frozen'", "Runge-Kutta", lambda: run(players="frozen", solver="adam")),
    ("placement", "'after-step'", "did you mean 'after_step'", lambda: run(placement="after-step")),
    ("placement", "midpoint", "b_1 = 0", lambda: run(placement="first_stage", solver="midpoint", penalties=PENALTY)),
    ("placement", "dopri5", "fixed-step", lambda: run(**adaptive(placement="first_stage", penalties=PENALTY))),
    ("placement", "adam", "fixed-step", lambda: run(placement="first_stage", solver="adam", penalties=PENALTY)),
    ("solver", "explicit_adams", "one-step solver", lambda: train(solver="explicit_adams")),
    # times and states
    ("t", "[1.0, 0.0]", "increasing", lambda: run(t=torch.tensor([1.0, 0.0]))),
    ("t", "[0.0, 0.0]", "increasing", lambda: run(t=torch.zeros(2))),
    ("t", "[0.0]", "at least two", lambda: run(t=torch.zeros(1))),
    ("t", "[[0.0, 1.0]]", "1-D", lambda: run(t=torch.tensor([[0.0, 1.0]]))),
    ("t", "nan", "finite", lambda: run(t=torch.tensor([0.0, NAN]))),
    ("t", "10", "1-D", lambda: run(t=10)),
    ("t", "'10'", "1-D", lambda: run(t="10")),
    ("t", "None", "1-D", lambda: run(t=None)),
    ("y0", "shape (3,)", "(2,)", lambda: run(torch.ones(3))),
    ("y0", "int64", "floating", lambda: run(torch.ones(2, dtype=torch.int64))),
    ("y0", "complex64", "floating", lambda: run(torch.ones(2, dtype=torch.complex64))),
    ("y0", "non-finite", "finite", lambda: run(torch.tensor([1.0, NAN]))),
    ("y0", "shape (1, 1, 2)", "(E, 2)", lambda: run(torch.ones(1, 1, 2))),
    ("y0", "shape (0, 2)", "(E, 2)", lambda: run(torch.ones(0, 2))),
    ("y0", "[1.0, 1.0]", "tensor", lambda: run([1.0, 1.0])),
    ("game", "Linear", "odegan.gan", lambda: run(game=nn.Linear(1, 1))),
    # data, latents, batch size, seeds
    ("batch_size", "0", ">= 1", lambda: train(batch_size=0)),
    ("batch_size", "1.5", "whole number", lambda: train(batch_size=1.5)),
    ("batch_size", "None", "whole number", lambda: train(data=lambda n, g: torch.ones(n, 2), batch_size=None)),
    ("latent", "None", "dimension", lambda: train(game=gan(None, Bare()), y0=torch.ones(18), latent=None)),
    ("latent", "(3, 5)", "generator", lambda: train(latent=5)),
    ("latent", "0", ">= 1", lambda: train(latent=0)),
    ("latent", "'3'", "whole number", lambda: train(latent="3")),
    ("latent", "(2, 3)", "(3, ...)", lambda: train(latent=lambda n, g: torch.ones(2, 3))),
    ("latent", "None", "(3, ...)", lambda: train(latent=lambda n, g: None)),
    ("data", "(3,)", "(2,)", lambda: train(data=torch.ones(6, 3))),
    ("data", "(2, 1)", "(2,)", lambda: train(data=torch.ones(6, 2, 1))),
    ("data", "int64", "floating", lambda: train(data=torch.ones(6, 2, dtype=torch.int64))),
    ("data", "uint8", "floating", lambda: train(data=list(torch.ones(6, 2, dtype=torch.uint8)))),
    ("data", "shape (0, 2)", "at least one", lambda: train(data=torch.ones(0, 2), batch_size=None)),
    ("data", "(1, 2)", "(3, ...)", lambda: train(data=lambda n, g: torch.ones(1, 2))),
    ("data", "list", "(3, ...)", lambda: train(data=lambda n, g: [0.0] * n)),
    ("data", "3", "Dataset", lambda: train(data=3)),
    ("data", "None", "needs data", lambda: train(data=None, latent=None, batch_size=None)),
    ("data", "None", "latent", lambda: run(latent=2)),
    ("seed", "-1", ">= 0", lambda: train(seed=-1)),
    ("seed", "0.5", "whole number", lambda: train(seed=0.5)),
    ("seed", "[1, 2, 3]", "sequence of 2", lambda: train(torch.stack([Y, Y]), seed=[1, 2, 3])),
    ("seed", "[1]", "whole number", lambda: train(seed=[1])),
    ("latent", "None", "dimension", lambda: Minibatches(DATA, None, 2, 0, Y)),
    # numbers of a run
    ("rates", "-1.0", "number >= 0", lambda: run(rates=(1.0, -1.0))),
    ("rates", "(1, 1, 1)", "a pair", lambda: run(rates=(1, 1, 1))),
    ("rates", "1.0", "a pair", lambda: run(rates=1.0)),
    ("clip", "0", "number > 0", lambda: run(clip=0)),
    ("clip", "'1'", "number > 0", lambda: odegan.vector_field(GAME, clip="1")),
    ("rtol", "-1", "number >= 0", lambda: run(**adaptive(rtol=-1))),
    ("atol", "None", "number >= 0", lambda: run(**adaptive(atol=None))),
    ("atol", "shape (3,)", "(2,)", lambda: run(**adaptive(atol=torch.ones(3)))),
    ("compile", "3", "True, False", lambda: run(compile=3)),
    ("compile", "'inductr'", "did you mean 'inductor'", lambda: run(compile="inductr")),
    ("on_nonfinite", "'ignore'", "raise, stop", lambda: run(on_nonfinite="ignore")),
    ("checkpoint_every", "0", "number > 0", lambda: run(checkpoint_every=0)),
    ("callback", "3", "a function", lambda: run(callback=3)),
    ("callback", "'print'", "a function", lambda: run(callback=[print, "print"])),
    ("progress", "3", "True, False", lambda: run(progress=3)),
    # options
    ("options", "'max_stepp'", "did you mean 'max_step'", lambda: run(**adaptive(options={"max_stepp": 1.0}))),
    ("options", "[1]", "a dict", lambda: run(options=[1])),
    ("options", "'norm'", "interp", lambda: run(options={"norm": max})),
    ("options", "norm", "largest", lambda: run(torch.ones(2, 2), **adaptive(options={"norm": max}))),
    ("options interp", "'cubc'", "did you mean 'cubic'", lambda: run(options={"interp": "cubc"})),
    ("options first_step", "-1", "number > 0", lambda: run(**adaptive(options={"first_step": -1}))),
    ("betas", "(0.9,)", "a pair", lambda: run(solver="adam", options={"betas": (0.9,)})),
    ("betas", "(0.9, 1.0)", "[0, 1)", lambda: run(solver="adam", options={"betas": (0.9, 1.0)})),
    ("alpha", "1.5", "[0, 1)", lambda: run(solver="rmsprop", options={"alpha": 1.5})),
    ("disc_steps", "0", ">= 1", lambda: run(solver="alternating", options={"disc_steps": 0})),
    ("disc_steps", "2", "alternating=True", lambda: run(solver="adam", options={"disc_steps": 2})),
    ("alternating", "1", "True or False", lambda: run(solver="adam", options={"alternating": 1})),
    ("options", "'betas'", "step_size", lambda: run(solver="extragradient", options={"betas": (0, 0)})),
    # penalties and losses
    ("penalties", "3", "penalties", lambda: run(penalties=[3])),
    ("penalties", "generator_gradient(0.1)", "a list", lambda: run(penalties=PENALTY[0])),
    ("penalties", "None", "a list", lambda: odegan.vector_field(GAME, None)),
    ("penalties", "0.0", "extra_disc_loss", lambda: run(penalties=[lambda game: 0.0])),
    ("weight", "-1", ">= 0", lambda: penalties.generator_gradient(-1)),
    ("weight", "'0.1'", "number", lambda: penalties.generator_gradient("0.1")),
    ("weight", "shape (2,)", "one-element", lambda: penalties.generator_gradient(torch.ones(2))),
    ("penalty", "'generator_gradent'", "did you mean 'gen", lambda: penalties.parse("generator_gradent:1")),
    ("penalty", "'generator_gradient'", "weight", lambda: penalties.parse("generator_gradient")),
    ("loss", "'nonsaturating'", "did you mean 'non_saturating'", lambda: odegan.losses.get("nonsaturating")),
    ("loss", "3", "a pair", lambda: gan(loss=3)),
    # modules
    ("generator", "<built-in", "Module", lambda: odegan.gan(torch.tanh, net(2, 1))),
    ("generator", "<class", "Module", lambda: odegan.gan(nn.Linear, net(2, 1))),
    ("discriminator", "(4, 2)", "(4, 1)", lambda: gan(net(2, 4, 2))),
    ("discriminator", "no parameter", "at least one", lambda: gan(nn.Tanh())),
    ("discriminator", "LazyLinear", "one forward pass", lambda: gan(nn.Sequential(nn.LazyLinear(1)))),
    ("discriminator", "Linear", "parametrizations", lambda: gan(nn.utils.spectral_norm(nn.Linear(2, 1)))),
    ("generator", "Dropout", ".eval()", lambda: gan(None, nn.Sequential(nn.Linear(3, 2), nn.Dropout()))),
    ("generator", "random numbers", "function of its input", lambda: gan(None, Noisy(3, 2))),
    ("discriminator", "'calls'", "must not", lambda: gan(Counting(2, 1))),
    ("discriminator", "generator trains too", "share none", with_shared_layer),
    ("generator, discriminator", "float64", "one dtype", lambda: gan(net(2, 1).double())),
    ("latent", "(3,)", "discriminator", lambda: gan(net(5, 1), latent=3)),
    ("latent", "7", "generator", lambda: gan(latent=7)),
    ("latent", "-1", ">= 1", lambda: gan(latent=-1)),
    (
        "init",
        "ParametrizedLinear",
        "pass y0",
        lambda: gan(nn.utils.parametrizations.orthogonal(nn.Linear(2, 1))).init(1),
    ),
    ("init", "Bare", "reset_parameters", lambda: gan(None, Bare(), latent=2).init(seed=1)),
    # a game's own methods
    ("disc_loss", "None", "function", lambda: odegan.Game(None, max, 1, 1)),
    ("n_disc", "-1", ">= 0", lambda: odegan.Game(max, max, -1, 1)),
    ("gradients", "3", "function", lambda: odegan.Game(max, max, 1, 1, gradients=3)),
    ("loss", "(2,)", "scalar", lambda: run(game=odegan.Game(lambda d, g, b: torch.ones(2) * d, max, 1, 1))),
    ("y", "shape (3,)", "(n_disc 1 + n_gen 1)", lambda: games.bilinear().split(torch.ones(3))),
    ("y", "[1, 1]", "tensor", lambda: games.bilinear().split([1, 1])),
    ("n", "0", ">= 1", lambda: GAME.sample(Y, 0)),
    ("seed", "-1", ">= 0", lambda: GAME.sample(Y, 1, seed=-1)),
    ("seed", "'7'", "whole number", lambda: GAME.init(seed="7")),
    ("sample", "bilinear", "no generator", lambda: games.bilinear().sample(torch.ones(2), 1)),
    ("modules", "bilinear", "not made from modules", lambda: games.bilinear().modules(torch.ones(2))),
    ("init", "game", "pass a y0", lambda: odegan.Game(max, max, 1, 1).init()),
    ("y", "(2, 43)", "one member", lambda: GAME.modules(torch.stack([Y, Y]))),
    ("batches", "[]", "at least one", lambda: GAME.modules(Y, batches=[])),
    ("A", "(2, 3)", "square", lambda: games.quadratic(torch.ones(2, 3))),
    # a training loop of one's own
    ("solver", "'fixed_adams'", "one-step", lambda: odegan.Stepper(GAME, solver="fixed_adams", step_size=0.1)),
    ("Stepper", "'stepsize'", "did you mean 'step_size'", lambda: odegan.Stepper(GAME, stepsize=0.1)),
    ("game", "None", "odegan.gan", lambda: odegan.Stepper(None, step_size=0.1)),
    ("batch", "Tensor", "a pair", lambda: step(DATA)),
    ("latent", "(3, 7)", "generator", lambda: step((torch.ones(3, 2), torch.ones(3, 7)))),
    ("batch", "2 of them", "a list of 4", lambda: step((DATA, DATA), solver="rk4", refresh="stage")),
    ("t0", "nan", "finite", lambda: odegan.Stepper(GAME, step_size=0.1).init(Y, t0=NAN)),
    # averages and schedules
    ("decay", "1.5", "[0, 1]", lambda: ExponentialAverage(1.5)),
    ("decay", "'0.9'", "number", lambda: ExponentialAverage("0.9")),
    ("start", "None", "number", lambda: UniformAverage(None)),
    ("values", "[0.1]", "one more than the 1", lambda: odegan.piecewise([0.1], [1.0])),
    ("boundaries", "[2.0, 1.0]", "increasing", lambda: odegan.piecewise([1, 2, 3], [2.0, 1.0])),
    ("values", "'a'", "number", lambda: odegan.piecewise(["a", 1.0], [1.0])),
]


def step(batch, **given):
    stepper = odegan.Stepper(GAME, **{"solver": "euler", "step_size": 0.1} | given)
    return stepper.step(stepper.init(Y), batch)


@pytest.mark.parametrize("name, shown, allowed, call", WRONG, ids=[f"{i}-{w[0]}" for i, w in enumerate(WRONG)])
def test_one_line_says_it_all(name, shown, allowed, call):
    with pytest.raises(ArgumentError) as error:
        call()
    message = str(error.value)
    assert message.startswith(name)
    assert shown in message
    assert allowed in message
    assert "\n" not in message
    assert len(message) < 400
