"""Pairs of settings of a run between which one thing differs: name -> (arguments, other arguments)."""

import itertools

import torch

import odegan
from odegan import ExponentialAverage, UniformAverage, penalties
from odegan.penalties.base import Penalty
from tests.training.changes_games import game


def terms(scale):
    return Penalty("mine", 0.1, lambda game: (lambda d, g, batch, t: scale * (d**2).sum(), None))


def own_penalty(scale):
    return lambda game: (lambda d, g, batch, t: scale * (d**2).sum(), None)


def penalized(make, *values):
    return [{"penalties": [make(value)]} for value in values]


def setting(name, *values, **always):
    return [always | {name: value} for value in values]


def adam(name, *values, **always):
    return [{"solver": "adam", "step_size": 1e-2, "options": always | {name: value}} for value in values]


ADAPTIVE = {"solver": "dopri5", "step_size": None, "refresh": 0.2}
Y0 = game().init()
SOFT = penalties.generator_gradient
CHANGES = {
    "penalty or none": [{}, {"penalties": [SOFT(0.1)]}],
    "kind of penalty": penalized(lambda make: make(0.1), penalties.r1, penalties.consensus),
    **{
        f"weight of {name}": penalized(getattr(penalties, name), 0.1, 0.2)
        for name in ("r1", "r2", "consensus", "generator_gradient", "jare", "wgan_gp")
    },
    "weight as a function": penalized(lambda w: SOFT(lambda t: w * t), 0.1, 0.2),
    "weight as a tensor": penalized(lambda w: SOFT(torch.tensor(w)), 0.1, 0.2),
    "order of penalties": [
        {"penalties": list(order)} for order in itertools.permutations([SOFT(0.1), penalties.r1(0.1)])
    ],
    "terms of a penalty": penalized(terms, 1.0, 2.0),
    "penalty of one's own": penalized(own_penalty, 1.0, 2.0),
    "solver": setting("solver", "euler", "heun2"),
    "step size": setting("step_size", 0.1, 0.05),
    "step size as a function": setting("step_size", *(lambda t, h=h: h for h in (0.1, 0.05))),
    "step size, piecewise": setting("step_size", *(odegan.piecewise([0.1, h], [0.3]) for h in (0.05, 0.025))),
    "refresh": setting("refresh", 0.1, 0.2),
    "refresh by stage": setting("refresh", None, "stage", solver="heun2"),
    "rates": setting("rates", (1.0, 1.0), (1.0, 2.0)),
    "placement": setting("placement", "field", "after_step", penalties=[SOFT(0.1)]),
    "players": setting("players", "joint", "frozen", solver="heun2"),
    "rtol": setting("rtol", 1e-3, 1e-4, **ADAPTIVE),
    "atol": setting("atol", 1e-3, 1e-4, **ADAPTIVE),
    "tolerances as tensors": setting("rtol", *(torch.full((len(Y0),), r) for r in (1e-3, 1e-4)), **ADAPTIVE),
    "clip": setting("clip", 0.5, 0.6),
    "interpolation": setting("options", *({"interp": name} for name in ("linear", "cubic"))),
    "Adam's betas": adam("betas", (0.5, 0.9), (0.5, 0.99)),
    "Adam's eps": adam("eps", 1e-8, 1e-7),
    "Adam's steps of D": adam("disc_steps", 1, 2, alternating=True),
    "Adam's turns": adam("alternating", False, True),
    "seed": setting("seed", 0, 1),
    "seed beyond 32 bits": setting("seed", 1, 1 + 2**32),
    "batch size": setting("batch_size", 6, 7),
    "y0": setting("y0", Y0, Y0 + 1e-6),
    "dtype of y0": setting("y0", Y0, Y0.double()),
    "members": setting("y0", torch.stack([Y0]), torch.stack([Y0, Y0])),
    "seeds of members": setting("seed", [0, 1], [0, 2], y0=torch.stack([Y0, Y0])),
    "first time": setting("t", [0.0, 0.4], [0.05, 0.4]),
    "a time before": setting("t", [0.0, 0.05, 0.4], [0.0, 0.06, 0.4]),
    "a time less": setting("t", [0.0, 0.05, 0.4], [0.0, 0.4]),
    "an earlier end": setting("t", [0.0, 0.4], [0.0, 0.1]),
    "compile": setting("compile", False, "eager"),
    "decay of an average": setting("callback", ExponentialAverage(0.9), ExponentialAverage(0.99)),
    "start of an average": setting("callback", UniformAverage(0.0), UniformAverage(0.1)),
    "kind of average": setting("callback", ExponentialAverage(0.9), UniformAverage()),
    "fingerprint": setting("fingerprint", "faces, first version", "faces, second version"),
}
