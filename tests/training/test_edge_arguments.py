"""Arguments at the edge of what a run can do: the right value, or one line."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import odegan

Y0 = torch.tensor([1.0, 0.5])
ADAPTIVE = {"solver": "dopri5", "step_size": None}


def run(game=None, y0=Y0, t=(0.0, 1.0), **given):
    known = {"solver": "rk4", "step_size": 0.1} | given
    return odegan.odeint_gan(odegan.games.bilinear() if game is None else game, y0, t, **known)


def adaptive(**options):
    return ADAPTIVE | {"options": options}


def grid(first, last):
    return {"step_size": None, "options": {"grid_constructor": lambda func, y0, t: torch.linspace(first, last, 5)}}


REFUSED = {
    "a step size of two arguments": ({"step_size": lambda t, y: 0.1}, "step_size"),
    "a rate of two arguments": ({"rates": (lambda t, y: 1.0, 1.0)}, "rates"),
    "a rate of several numbers": ({"rates": (lambda t: torch.ones(2), 1.0)}, "rates"),
    "a weight of several numbers": ({"penalties": [odegan.penalties.consensus(lambda t: torch.ones(2))]}, "weight"),
    "a weight in words": ({"penalties": [odegan.penalties.consensus(lambda t: "much")]}, "weight"),
    "a norm of several numbers": (adaptive(norm=lambda x: x.abs()), "options norm"),
    "a norm of two arguments": (adaptive(norm=lambda x, y: x.abs().max()), "options norm"),
    "steps that are never accepted": (adaptive(safety=2.0), "options safety"),
    "steps that only shrink": (adaptive(ifactor=0.5), "options ifactor"),
    "rejected steps that grow": (adaptive(dfactor=2.0), "options dfactor"),
    "tolerances whose squares overflow": (ADAPTIVE | {"rtol": 1e-30, "atol": 1e-30}, "rtol, atol"),
    "a grid that ends early": (grid(0.0, 0.5), "options grid_constructor"),
    "a grid that goes back": (grid(1.0, 0.0), "options grid_constructor"),
    "steps shorter than the times' rounding": ({"t": (1e17, 1e17 + 64), "step_size": 1.0}, "step_size"),
    "more steps than anyone has time for": ({"step_size": 1e-14}, "step_size"),
    "more intervals than anyone has time for": ({"t": None, "steps": 10**13}, "steps"),
    "an interval of too many steps": ({"step_size": 1e-320, "refresh": 1.0}, "step_size"),
    "a path that no system has": ({"checkpoint": "a\0b"}, "checkpoint"),
}


@pytest.mark.parametrize("given, name", REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(given, name):
    with pytest.raises(odegan.ArgumentError, match=f"^{name}: got ") as error:
        run(**given)
    assert "\n" not in str(error.value)


TIMES = [0, 0.5, np.float32(0.5), torch.tensor(1), torch.tensor(0.5, dtype=torch.float64)]


@pytest.mark.parametrize("t", TIMES, ids=map(repr, TIMES))
def test_a_field_takes_every_kind_of_time(t):
    field = odegan.vector_field(odegan.games.bilinear(), rates=(lambda t: 1 + t, 1.0))
    torch.testing.assert_close(field(t, Y0), torch.tensor([-0.5 * (1 + float(t)), 1.0]))


def test_a_weight_of_two_arguments_is_refused():
    with pytest.raises(odegan.ArgumentError, match=r"^weight: got .* of \(t, y\)"):
        odegan.penalties.consensus(lambda t, y: 1.0)


def test_a_state_with_nan_has_no_spectrum():
    with pytest.raises(odegan.ArgumentError, match=r"^y: got .*finite"):
        odegan.spectrum(odegan.games.bilinear(), torch.tensor([1.0, math.nan]))


SIZES = {
    "a tensor": torch.tensor([0.1]),
    "a function of time": lambda t: torch.tensor([0.1]),
    "a matrix": lambda t: torch.tensor([[0.1]]),
}
KINDS = {
    "interval by interval": {"penalties": [odegan.penalties.consensus(0.1)], "placement": "after_step"},
    "one call": {"refresh": math.inf},
    "an ensemble": {"y0": torch.stack([Y0, Y0])},
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_step_size_with_dimensions_is_a_number(size, kind):
    torch.testing.assert_close(run(step_size=size, **kind).ys, run(**kind).ys)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_and_keeps_the_dtype_of_an_optimizers_state(size):
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1))
    given = {"data": torch.randn(10, 2), "batch_size": 5, "solver": "adam", "t": (0.0, 0.3)}
    found = run(game, game.init(), step_size=size, **given).ys
    torch.testing.assert_close(found, run(game, game.init(), **given).ys)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", [lambda x: x, torch.Tensor.numpy, torch.utils.data.TensorDataset, torch.Tensor.half])
def test_data_with_a_non_finite_number_are_refused_at_the_start(number, kind):
    data = torch.ones(1000, 2)
    data[700, 1] = number
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1))
    with pytest.raises(odegan.ArgumentError, match=r"^data: got .*NaN or infinity.*; it must be finite"):
        run(game, game.init(), data=kind(data), batch_size=5)
