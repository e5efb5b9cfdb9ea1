"""Solvers that a later torchdiffeq may have: whatever is in its table works by its name, with facts read off or measured."""

import math

import pytest
import torch
import torchdiffeq
from torchdiffeq._impl.dopri5 import Dopri5Solver
from torchdiffeq._impl.odeint import SOLVERS
from torchdiffeq._impl.rk_common import rk4_step_func
from torchdiffeq._impl.solvers import AdaptiveStepsizeODESolver, FixedGridODESolver

import odegan
from odegan import solvers
from odegan.solvers import stability
from tests.peers import START, always, draw, forced, networks, smooth_game

FORCE = [forced(lambda t: torch.sin(3 * t))]
TIMES = torch.tensor([0.0, 0.35, 1.0], dtype=torch.float64)


class Kutta3(FixedGridODESolver):
    """Kutta's third-order method; it does not say its order."""

    def _step_func(self, func, t0, dt, t1, y0):
        k1 = func(t0, y0)
        k2 = func(t0 + dt / 2, y0 + dt / 2 * k1)
        k3 = func(t1, y0 + dt * (2 * k2 - k1))
        return dt / 6 * (k1 + 4 * k2 + k3), k1


class NextDopri5(Dopri5Solver):
    """An embedded pair under a new name."""


class BackwardEuler(FixedGridODESolver):
    """Fixed-point iteration until it stands still."""

    order = 1

    def __init__(self, func, y0, max_iters=100, **kwargs):
        super().__init__(func, y0, **kwargs)
        self.max_iters = max_iters

    def _step_func(self, func, t0, dt, t1, y0):
        f0 = func(t0, y0)
        y = y0 + dt * f0
        for _ in range(self.max_iters):
            before = y
            y = y0 + dt * func(t1, y)
            if torch.equal(y, before):
                break
        return y - y0, f0


class Bashforth2(FixedGridODESolver):
    """y_{k+1} = y_k + h (3 f_k - f_{k-1}) / 2, started by a Runge-Kutta step."""

    order = 2
    last = None

    def _step_func(self, func, t0, dt, t1, y0):
        f0 = func(t0, y0)
        last = self.last
        self.last = f0
        return (rk4_step_func(func, t0, dt, t1, y0, f0=f0) if last is None else dt / 2 * (3 * f0 - last)), f0


class Own(AdaptiveStepsizeODESolver):
    """A loop of its own, with no callbacks."""

    order = 4

    def __init__(self, func, y0, rtol, atol, substeps=20, **kwargs):
        super().__init__(dtype=torch.float64, y0=y0, **kwargs)
        self.func = func
        self.y = y0
        self.t = None
        self.substeps = substeps

    def _before_integrate(self, t):
        self.t = t[0]

    def _advance(self, next_t):
        h = (next_t - self.t) / self.substeps
        for _ in range(self.substeps):
            self.y = self.y + rk4_step_func(self.func, self.t, h, self.t + h, self.y)
            self.t = self.t + h
        return self.y


CLASSES = {"kutta3": Kutta3, "next5": NextDopri5, "backward": BackwardEuler, "bashforth2": Bashforth2, "own": Own}


@pytest.fixture(autouse=True)
def later_release(monkeypatch):
    for name, cls in CLASSES.items():
        monkeypatch.setitem(SOLVERS, name, cls)


def size(name):
    return {} if name in ("next5", "own") else {"step_size": 0.05}


@pytest.mark.parametrize(
    "name, order, stages, kind, one_step",
    [
        ("kutta3", 3, 3, "fixed", True),
        ("next5", 5, 6, "adaptive", True),
        ("backward", 1, None, "fixed", True),
        ("bashforth2", None, None, "multistep", False),
        ("own", 4, None, "adaptive", False),
    ],
)
def test_facts(name, order, stages, kind, one_step):
    facts = solvers.get(name)
    assert name in solvers.names()
    assert (facts.order, facts.stages, facts.kind, facts.one_step) == (order, stages, kind, one_step)
    assert facts.implicit == (name == "backward")
    assert facts.opaque == (name == "own")


def test_options_are_those_of_the_class():
    fixed = set(solvers.get("heun2").options)
    assert set(solvers.get("kutta3").options) == fixed
    assert set(solvers.get("backward").options) == fixed | {"max_iters"}
    assert solvers.get("next5").options == solvers.get("dopri5").options
    assert "substeps" in solvers.get("own").options
    with pytest.raises(odegan.ArgumentError, match="did you mean 'max_iters'"):
        odegan.odeint_gan(smooth_game(), START, TIMES, solver="backward", step_size=0.1, options={"max_iter": 3})


@pytest.mark.parametrize("name", CLASSES)
def test_one_call_is_torchdiffeqs_own(name):
    calls = []
    field = odegan.vector_field(smooth_game(), FORCE)

    def counted(t, y):
        calls.append(t)
        return field(t, y)

    theirs = torchdiffeq.odeint(counted, START, TIMES, method=name, rtol=1e-5, atol=1e-7, options=size(name))
    sol = odegan.odeint_gan(
        smooth_game(), START, TIMES, solver=name, penalties=FORCE, rtol=1e-5, atol=1e-7, **size(name)
    )
    torch.testing.assert_close(sol.ys, theirs, rtol=0, atol=1e-12)
    assert sol.stats["nfe"] == len(calls)


@pytest.mark.parametrize("name", ["kutta3", "next5", "backward"])
def test_interval_by_interval(name):
    """On one minibatch, kept: what one call gives."""
    game = odegan.gan(*networks())
    batch = draw()
    tight = {"rtol": 1e-9, "atol": 1e-11, "refresh": 0.1} if name == "next5" else {"step_size": 0.05}
    run = {"solver": name, **always(batch)}
    found = odegan.odeint_gan(game, game.init(), [0.0, 1.0], **(run | tight)).y
    expected = odegan.odeint_gan(game, game.init(), [0.0, 1.0], **(run | tight | {"refresh": math.inf})).y
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8 if name == "next5" else 1e-12)


@pytest.mark.parametrize("name", ["bashforth2", "own"])
def test_fresh_minibatches_are_refused_where_a_history_may_be_kept(name):
    game = odegan.gan(*networks())
    with pytest.raises(odegan.ArgumentError, match=name):
        odegan.odeint_gan(game, game.init(), [0.0, 1.0], solver=name, refresh=0.1, **size(name), **always(draw()))


def test_options_reach_a_single_step():
    """One iteration of backward Euler is y + h f(t + h, y + h f(t, y))."""
    game = odegan.gan(*networks())
    batch = draw()
    field = odegan.vector_field(game)
    y = game.init()
    h = 0.1
    run = {"solver": "backward", "step_size": h, "options": {"max_iters": 1}, **always(batch)}
    found = odegan.odeint_gan(game, y, [0.0, h], **run).y
    torch.testing.assert_close(found, y + h * field(h, y + h * field(0.0, y, batch), batch), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name, degree", [("kutta3", 3), ("next5", 6)])
def test_stability_functions(name, degree):
    assert len(stability.polynomial(name)) == degree + 1
    assert stability.polynomial(name)[:4] == pytest.approx([1, 1, 1 / 2, 1 / 6])


@pytest.mark.parametrize(
    "name, reason", [("backward", "implicit"), ("bashforth2", "multistep"), ("own", "cannot be observed")]
)
def test_no_stability_function(name, reason):
    assert name not in stability.names()
    with pytest.raises(odegan.ArgumentError, match=f"solver: '{name}' has no stability function: it .*{reason}"):
        odegan.stability_function(name)
