"""Keywords and warnings: signatures that shells complete, what other libraries' names are called here, whose line is shown."""

import inspect
import pickle
import typing
import warnings

import pytest
import torch
from torch import nn
from torch._dynamo import register_backend

import odegan
from odegan.training.arguments import DEFAULTS
from odegan.utils import keywords


@register_backend
def odegan_fails(graph, inputs):
    raise RuntimeError("for a test")


SHARED = inspect.signature(odegan.odeint_gan).parameters


@pytest.mark.parametrize("steps", [odegan.Stepper, odegan.ModuleStepper])
@pytest.mark.parametrize("name", DEFAULTS)
def test_a_stepper_shows_the_arguments_of_a_run(steps, name):
    shown = inspect.signature(steps).parameters[name]
    assert shown.kind is shown.KEYWORD_ONLY
    assert (shown.default, shown.annotation) == (SHARED[name].default, SHARED[name].annotation)


@pytest.mark.parametrize("name", ["conditional", "autocast", "channels_last", "checkpointing"])
def test_a_stepper_of_modules_shows_those_of_gan(name):
    shown, own = (inspect.signature(one).parameters[name] for one in (odegan.ModuleStepper, odegan.gan))
    assert (shown.default, shown.annotation) == (own.default, own.annotation)


@pytest.mark.parametrize("function", [odegan.spectra, odegan.advise])
@pytest.mark.parametrize("name", ["which", "rates", "t", "progress", "accuracy"])
def test_analyses_of_several_states_show_those_of_one(function, name):
    assert name in inspect.signature(function).parameters


@pytest.mark.parametrize("name", sorted(keywords._ELSEWHERE))
def test_every_name_from_elsewhere_is_one_here(name):
    """A hint starts with a parameter of a function that users call."""
    first = keywords._parameter(keywords._ELSEWHERE[name])
    assert name not in SHARED
    callbacks = odegan.callbacks.Samples, odegan.ExponentialAverage
    others = (odegan.gan, odegan.augmented, odegan.penalties.r1, *callbacks)
    assert first in {*SHARED, *(x for one in others for x in inspect.signature(one).parameters)}


@pytest.mark.parametrize("function", [odegan.gan, odegan.odeint_gan, odegan.spectrum, odegan.vector_field])
def test_decorated_functions_keep_their_hints_and_can_be_pickled(function):
    assert typing.get_type_hints(function)["return"] is not None
    assert pickle.loads(pickle.dumps(function)) is function


GAME = odegan.games.bilinear()
Y = torch.ones(2)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: odegan.advise(GAME, Y, solver="rk4"), r"advise: got 'solver'; .*\(did you mean 'solvers'\?\)"),
        (
            lambda: odegan.spectrum(GAME, Y, solver="rk4"),
            r"solver: got 'rk4'; it must be given to odegan\.odeint_gan or",
        ),
        (lambda: odegan.vector_field(GAME, penalty=[]), r"penalty: got \[\]; it must be given as penalties, a list"),
        (lambda: odegan.penalties.wgan_gp(lambda_gp=10.0), r"lambda_gp: got 10\.0; it must be given as weight"),
        (lambda: odegan.ExponentialAverage(beta=0.9), r"beta: got 0\.9; it must be given as decay"),
        (lambda: odegan.unrolled(GAME, steps=2, lr=0.1), r"lr: got 0\.1; it must be given as step_size"),
        (lambda: odegan.augmented(GAME, policy="color"), "policy: got 'color'; it must be given as transforms"),
        (lambda: odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1), seed=3), "seed: got 3; .* game.init or"),
    ],
)
def test_a_hint_names_the_right_place(call, said):
    with pytest.raises(odegan.ArgumentError, match=f"^{said}"):
        call()


def test_a_warning_shows_the_line_of_the_caller():
    sharp = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        odegan.gan(nn.Linear(3, 2), sharp)
        step = odegan.ModuleStepper(nn.Linear(3, 2), sharp, solver="euler", step_size=0.1).step
        step(torch.ones(4, 2), torch.ones(4, 3))
    assert len(caught) == 2
    assert {one.filename for one in caught} == {__file__}


@pytest.mark.parametrize(
    "given", [{"solver": "dopri5"}, {"solver": "rk4", "step_size": 0.1}], ids=lambda g: g["solver"]
)
def test_a_warning_from_within_torchdiffeq_does_so_too(given):
    with pytest.warns(RuntimeWarning, match="^compile: the field cannot be compiled") as caught:
        odegan.odeint_gan(
            odegan.games.bilinear(), torch.tensor([1.0, 0.0]), [0.0, 0.1], compile="odegan_fails", **given
        )
    assert [one.filename for one in caught] == [__file__]
