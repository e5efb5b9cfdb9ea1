"""The step-size advisor: does what it says come true?"""

import math

import pytest
import torch

import odegan
from odegan import games, penalties, solvers
from odegan.solvers import stability
from tests.peers import draw, networks

torch.set_num_threads(1)
D = torch.float64
A = 1.0
B = 20.0
ROTATING = games.quadratic(torch.tensor([[-A, -B], [B, -A]], dtype=D))


def steps_of(name, h):
    """The arguments that make a solver take steps of h."""
    if solvers.get(name).adaptive:
        return {"solver": name, "options": {"first_step": h, "min_step": h, "max_step": h}}
    return {"solver": name, "step_size": h}


@pytest.mark.parametrize("name", stability.names())
def test_predicts_divergence_on_the_rotational_game(name):
    y0 = torch.tensor([1.0, 0.0], dtype=D)
    step = odegan.advise(ROTATING, y0)[name].step
    assert 0 < step < 1

    def growth(h):
        return odegan.odeint_gan(ROTATING, y0, [0.0, 100 * h], **steps_of(name, h)).y.norm().item()

    assert growth(0.95 * step) < 0.98
    assert growth(1.05 * step) > 1.02


@pytest.mark.parametrize("name", [name for name in stability.names() if solvers.get(name).fixed_one_step])
def test_predicts_divergence_on_the_undamped_game(name):
    y0 = torch.tensor([1.0, 0.0], dtype=D)
    step = odegan.advise(games.bilinear(), y0)[name].step
    order = solvers.get(name).order
    assert (step == 0) == (order < 3)
    if step == 0:  # no step is stable: even a small one
        assert odegan.odeint_gan(games.bilinear(), y0, [0.0, 100.0], solver=name, step_size=0.2).y.norm() > 1.01
    else:
        assert (
            odegan.odeint_gan(games.bilinear(), y0, [0.0, 99 * step], solver=name, step_size=0.99 * step).y.norm() < 1
        )


def test_cost_and_order_of_the_rows():
    advice = odegan.advise(ROTATING, torch.zeros(2, dtype=D), solvers=["euler", "heun2", "rk4", "dopri5"])
    for row in advice.rows:
        assert row.stages == {"euler": 1, "heun2": 2, "rk4": 4, "dopri5": 6}[row.solver]
        assert row.cost == pytest.approx(row.stages / row.step)
    assert [row.cost for row in advice.rows] == sorted(row.cost for row in advice.rows)
    assert advice["euler"].step == pytest.approx(2 * A / (A**2 + B**2))


def test_the_strictest_state_decides():
    """A quartic well: the curvature 3 y^2 along a run."""
    game = odegan.Game(lambda d, g, b: (d**4).sum() / 4, lambda d, g, b: (g**2).sum() / 2, 1, 1)
    ys = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]], dtype=D)
    advice = odegan.advise(game, ys, solvers=["euler"])
    assert advice["euler"].step == pytest.approx(2 / 12)
    assert advice.ignored == 1  # the curvature at 0
    assert len(advice.spectra) == 3
    assert odegan.advise(game, ys[0], solvers=["euler"])["euler"].step == pytest.approx(2 / 3)


def test_unstable_eigenvalues_are_reported():
    game = games.quadratic(torch.diag(torch.tensor([-4.0, 0.5, -1.0, 0.0], dtype=D)))
    advice = odegan.advise(game, torch.zeros(4, dtype=D), solvers=["euler", "rk4"])
    assert advice.unstable == pytest.approx(1 / 3)
    assert advice["euler"].step == pytest.approx(0.5)
    assert "33.3% of the others have a positive real part" in str(advice)
    assert "1 eigenvalues count as zero" in str(advice)


def test_a_rounded_real_part_counts_as_zero():
    game = games.quadratic(torch.tensor([[1e-8, -1.0], [1.0, 1e-8]], dtype=D))
    advice = odegan.advise(game, torch.zeros(2, dtype=D), solvers=["rk4", "heun2"])
    assert advice.unstable == 0
    assert advice["rk4"].step == pytest.approx(2 * math.sqrt(2))
    assert advice["heun2"].step == 0
    assert odegan.advise(game, torch.zeros(2, dtype=D), tol=1e-9).unstable == 1


def test_extremes_print():
    still = odegan.advise(games.quadratic(torch.zeros(2, 2)), torch.zeros(2), solvers=["rk4"])
    assert (still["rk4"].step, still["rk4"].cost) == (math.inf, 0.0)
    turning = odegan.advise(games.bilinear(), torch.zeros(2, dtype=D), solvers=["euler"])
    assert (turning["euler"].step, turning["euler"].cost) == (0.0, math.inf)
    assert "inf" in str(still)
    assert "inf" in str(turning)


def test_a_network_with_its_batches_and_penalties():
    game = odegan.gan(*networks(width=52))
    ys = torch.stack([game.init(), game.init(seed=3)])
    batches = [draw(seed=0), draw(seed=1)]
    penalized = [penalties.generator_gradient(1.0)]
    dense = odegan.advise(game, ys, batches, penalized, solvers=["euler", "rk4"], k=game.n_params)
    few = odegan.advise(game, ys, batches, penalized, solvers=["euler", "rk4"], k=8, accuracy=1e-8)
    expected = min(
        odegan.max_stable_step(
            [v for v in odegan.spectrum(game, y, b, penalized, k=game.n_params).kept if v.real < 0], "rk4"
        )
        for y, b in zip(ys, batches, strict=True)
    )
    assert dense["rk4"].step == pytest.approx(expected, rel=1e-6)
    assert few["rk4"].step == pytest.approx(expected, rel=1e-5)
    assert "of those computed" in str(few)
    assert odegan.advise(game, ys[0], batches[0], solvers=["rk4"])["rk4"].step > 0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: odegan.advise(ROTATING, torch.zeros(2), solvers=["rk5"]), "solver: got 'rk5'"),
        (lambda: odegan.advise(ROTATING, torch.zeros(2), solvers=["adam"]), "solver: 'adam' has no stability function"),
        (lambda: odegan.advise(ROTATING, torch.zeros(2), solvers="rk4"), "solvers: got 'rk4'"),
        (lambda: odegan.advise(ROTATING, torch.zeros(0, 2)), "ys: got"),
        (lambda: odegan.advise(ROTATING, torch.zeros(1, 1, 2)), "ys: got"),
        (lambda: odegan.advise(ROTATING, torch.zeros(2))["adam"], "solver: got 'adam'"),
    ],
)
def test_wrong_arguments(call, words):
    with pytest.raises(odegan.ArgumentError, match=r".") as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
