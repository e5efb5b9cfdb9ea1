"""The same checkpoint with later times goes on exactly as the longer run would have gone."""

import math

import pytest
import torch

import odegan
from odegan import ArgumentError, UniformAverage
from odegan.penalties import generator_gradient
from tests.training.test_checkpoints import assert_same, run, same

CASES = {
    "on the grid": ({"step_size": 0.1}, [0.0, 0.13, 0.4], [0.0, 0.13, 0.4, 0.66, 0.8]),
    "off the grid": ({"step_size": 0.1}, [0.0, 0.13, 0.45], [0.0, 0.13, 0.5, 0.83]),
    "within the first step": ({"step_size": 0.1}, [0.0, 0.05], [0.0, 0.3]),
    "off an interval of several steps": (
        {"step_size": 0.1, "refresh": 0.2, "solver": "heun2"},
        [0.0, 0.3],
        [0.0, 0.3, 0.75],
    ),
    "Adam": ({"solver": "adam", "step_size": 0.01}, [0.0, 0.055], [0.0, 0.055, 0.2]),
    "turns": ({"solver": "adam", "step_size": 0.01, "options": {"alternating": True}}, [0.0, 0.05], [0.0, 0.2]),
    "a step that varies": ({"step_size": lambda t: 0.1 / (1 + t)}, [0.0, 0.45], [0.0, 0.45, 0.83]),
    "frozen players": ({"solver": "rk4", "players": "frozen"}, [0.0, 0.45], [0.0, 0.83]),
    "penalties": ({"penalties": [generator_gradient(0.1)], "placement": "after_step"}, [0.0, 0.45], [0.0, 0.83]),
    "adaptive": ({"solver": "dopri5", "step_size": None, "refresh": 0.2}, [0.0, 0.3], [0.0, 0.3, 0.75]),
    "one call": ({"refresh": math.inf, "solver": "heun2"}, [0.0, 0.3], [0.0, 0.3, 0.75]),
    "an end that is reported no more": ({"step_size": 0.1}, [0.0, 0.13, 0.4], [0.0, 0.13, 0.8]),
    "two times": ({"step_size": 0.1}, [0.0, 0.25], [0.0, 0.25, 0.66]),
}


@pytest.mark.parametrize("given, short, long", CASES.values(), ids=CASES)
def test_a_longer_run_goes_on_exactly(tmp_path, given, short, long):
    whole = run(t=long, **given)
    average = UniformAverage()
    again = UniformAverage()
    run(t=long, **given, callback=average)
    path = tmp_path / "run.pt"
    assert run(t=short, **given, checkpoint=path, callback=UniformAverage()).status == "finished"
    assert_same(run(t=long, **given, checkpoint=path, callback=again), whole)
    assert same(again.y, average.y)
    assert_same(run(t=long, **given, checkpoint=path, callback=UniformAverage()), whole)


def test_a_run_is_extended_twice(tmp_path):
    times = [0.0, 0.25, 0.55, 0.91]
    for n in (2, 3):
        run(t=times[:n], checkpoint=tmp_path / "run.pt")
    assert_same(run(t=times, checkpoint=tmp_path / "run.pt"), run(t=times))


@pytest.mark.parametrize(
    "other",
    [[0.0, 0.1], [0.0, 0.2, 0.5], [0.1, 0.3, 0.5], [0.0, 0.3, 0.35, 0.36]],
    ids=["earlier", "moved", "start", "past"],
)
def test_other_times_so_far_are_refused(tmp_path, other):
    path = tmp_path / "run.pt"
    run(t=[0.0, 0.3, 0.5], checkpoint=path)
    with pytest.raises(
        ArgumentError, match=r"^t: got \[0.*run.pt' was made with \[0, 0.2\d*, 0.5\] and has reached t = 0.5"
    ):
        run(t=other, checkpoint=path)


def test_times_to_come_may_be_others(tmp_path):
    path = tmp_path / "run.pt"
    run(t=[0.0, 0.3, 0.8], checkpoint=path, callback=lambda state, info: state.t > 0.35)
    assert_same(run(t=[0.0, 0.3, 0.5, 1.0], checkpoint=path), run(t=[0.0, 0.3, 0.5, 1.0]))


def test_an_ended_run_stays_ended(tmp_path):
    game = odegan.Game(lambda d, g, batch: -(d**4).sum(), lambda d, g, batch: (g**2).sum(), 1, 1)

    def diverge(end):
        y0 = torch.tensor([30.0, 1.0])
        none = dict.fromkeys(["data", "latent", "batch_size"])
        return run(game=game, y0=y0, t=[0.0, end], checkpoint=tmp_path / "run.pt", on_nonfinite="stop", **none)

    first = diverge(0.9)
    assert (first.status, diverge(2.0).t) == ("stopped", first.t)


def test_fewer_steps_are_refused_in_their_own_terms(tmp_path):
    game = odegan.gan(torch.nn.Linear(2, 1), torch.nn.Linear(1, 1))
    run = {"data": torch.zeros(4, 1), "step_size": 0.1, "checkpoint": tmp_path / "run.pt"}
    odegan.odeint_gan(game, game.init(seed=0), steps=4, **run)
    with pytest.raises(odegan.ArgumentError, match=r"^steps: got fewer than the 4 that .* has taken"):
        odegan.odeint_gan(game, game.init(seed=0), steps=2, **run)
