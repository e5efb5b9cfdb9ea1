"""Adaptive solvers of one's own: a pair that torchdiffeq has too, and one that does not end in the next step's first stage."""

import itertools

import pytest
import torch

import odegan
from odegan import solvers
from odegan.solvers import stability
from tests.convergence import log_slope
from tests.peers import START, always, draw, forced, networks, smooth_game

pytestmark = pytest.mark.usefixtures("pairs")
TIMES = torch.tensor([0.0, 0.5, 1.7], dtype=torch.float64)
FORCE = [forced(lambda t: torch.sin(3 * t))]
LOOSE = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture(scope="module", autouse=True)
def pairs(library_solvers):
    solvers.register(
        "bogacki_shampine",
        a=[[], [1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]],
        b=[2 / 9, 1 / 3, 4 / 9, 0],
        c=[0, 1 / 2, 3 / 4, 1],
        b_error=[7 / 24, 1 / 4, 1 / 3, 1 / 8],
        order=3,
    )
    solvers.register("own_heun_euler", a=[[], [1]], b=[1 / 2, 1 / 2], c=[0, 1], b_error=[1, 0], order=2)


def run(solver, game=None, y0=START, t=TIMES, **arguments):
    given = {"penalties": FORCE} if game is None else {}
    return odegan.odeint_gan(game or smooth_game(), y0, t, solver=solver, **(LOOSE | given | arguments))


def close(found, expected, atol=1e-12):
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def norm(x):
    return x.square().mean().sqrt().item()


def heun_euler_by_hand(f, t, end, y, h, rtol, atol):
    """Heun's method with Euler's inside, every step from a slope at its own start: its steps' ends, and its rejections."""
    ends = [(t, y)]
    rejected = 0
    while t < end:
        h_now = end - t if t < end < t + h else h
        k1 = f(t, y)
        k2 = f(t + h_now, y + h_now * k1)
        new = y + h_now / 2 * (k1 + k2)
        ratio = norm(h_now / 2 * (k2 - k1) / (atol + rtol * torch.maximum(y.abs(), new.abs())))
        if ratio <= 1:
            t = t + h_now
            y = new
            ends.append((t, y))
        else:
            rejected += 1
        h = h_now * min(10.0, max(0.9 / ratio**0.5, 1.0 if ratio < 1 else 0.2))
    return ends, rejected


def test_their_facts():
    known = solvers.get("bosh3")
    facts = solvers.get("bogacki_shampine")
    assert (facts.order, facts.stages, facts.adaptive, facts.options) == (3, 3, True, known.options)
    assert (solvers.get("own_heun_euler").order, solvers.get("own_heun_euler").stages) == (2, 2)
    assert not solvers.get("own_heun_euler").carries_stage
    assert solvers.get("adaptive_heun").carries_stage
    assert {"bogacki_shampine", "own_heun_euler", "dopri5"} < set(solvers.embedded_pairs())


def test_bogacki_shampine_is_bosh3_in_one_call():
    options = {"step_t": TIMES[1:]}
    ours, theirs = (run(solver, options=options) for solver in ("bogacki_shampine", "bosh3"))
    close(ours.ys, theirs.ys)
    assert [ours.stats[k] for k in ("nfe", "steps", "rejected")] == [
        theirs.stats[k] for k in ("nfe", "steps", "rejected")
    ]


@pytest.mark.parametrize("players", ["joint", "frozen"])
def test_bogacki_shampine_is_bosh3_interval_by_interval(players):
    game = odegan.gan(*networks())
    arguments = {"refresh": 0.3, "players": players, **always(draw())}
    ours, theirs = (run(s, game, game.init(), **arguments) for s in ("bogacki_shampine", "bosh3"))
    close(ours.ys[-1], theirs.ys[-1])
    assert ours.stats["nfe"] == theirs.stats["nfe"]


def test_bogacki_shampine_is_bosh3_in_ensembles():
    starts = torch.stack([START, -START])
    ours, theirs = (run(s, y0=starts, options={"step_t": TIMES[1:]}).ys for s in ("bogacki_shampine", "bosh3"))
    close(ours, theirs)


def test_heun_euler_starts_every_step_afresh():
    field = odegan.vector_field(smooth_game(), FORCE)
    ends, rejected = heun_euler_by_hand(field, TIMES[0], TIMES[-1], START, 0.9, **LOOSE)
    sol = run("own_heun_euler", options={"first_step": 0.9, "step_t": TIMES[-1:]})
    close(sol.y, ends[-1][1])
    assert rejected > 0
    assert (sol.stats["steps"], sol.stats["rejected"]) == (len(ends) - 1, rejected)
    assert sol.stats["nfe"] == 1 + 2 * (sol.stats["steps"] + rejected)
    other = run("adaptive_heun", options={"first_step": 0.9, "step_t": TIMES[-1:]}).y
    assert not torch.allclose(other, sol.y, rtol=0, atol=1e-6)


def test_between_steps_is_the_cubic_hermite_interpolant():
    field = odegan.vector_field(smooth_game(), FORCE)
    ends, _ = heun_euler_by_hand(field, TIMES[0], TIMES[-1], START, 0.9, **LOOSE)
    (t0, y0), (t1, y1) = next((p, q) for p, q in itertools.pairwise(ends) if p[0] < TIMES[1] < q[0])
    s = (TIMES[1] - t0) / (t1 - t0)
    h = t1 - t0
    f0 = field(t0, y0)
    f1 = field(t1, y1)
    expected = (1 - s) ** 2 * ((1 + 2 * s) * y0 + s * h * f0) + s**2 * ((3 - 2 * s) * y1 + (s - 1) * h * f1)
    close(run("own_heun_euler", options={"first_step": 0.9, "step_t": TIMES[-1:]}).ys[1], expected)


@pytest.mark.parametrize("solver, order", [("own_heun_euler", 2), ("bogacki_shampine", 3)])
def test_measured_order(solver, order):
    """Steps of one length, by the limits on the step."""
    exact = run("dopri8", rtol=1e-12, atol=1e-13, t=[0.0, 1.0]).y
    sizes = [2.0**-4, 2.0**-5, 2.0**-6]
    ends = [run(solver, t=[0.0, 1.0], options={"min_step": h, "max_step": h, "first_step": h}).y for h in sizes]
    assert log_slope(sizes, [float((end - exact).norm()) for end in ends]) == pytest.approx(order, abs=0.2)


def test_tolerances_are_kept_where_the_embedded_solution_is_the_better_one():
    """Euler's method with Heun's inside: the error estimate is O(h^2) all the same, and the step goes like its root."""
    solvers.register("euler_heun", a=[[], [1]], b=[1, 0], c=[0, 1], b_error=[1 / 2, 1 / 2], order=1)
    steps = [run("euler_heun", rtol=tol, atol=tol, t=[0.0, 1.0]).stats["steps"] for tol in (1e-4, 1e-6)]
    assert steps[1] / steps[0] == pytest.approx(10, rel=0.15)


def test_stability():
    z = torch.tensor([-0.3 + 2j, 1.5, -2.0], dtype=torch.complex128)
    close(odegan.stability_function("own_heun_euler")(z), 1 + z + z**2 / 2)
    close(odegan.stability_function("bogacki_shampine")(z), 1 + z + z**2 / 2 + z**3 / 6)
    assert odegan.max_stable_step([-1.0], "own_heun_euler") == pytest.approx(2)
    assert {"own_heun_euler", "bogacki_shampine"} < set(stability.names())
    advice = odegan.advise(odegan.games.quadratic(-torch.eye(2)), torch.zeros(2), solvers=["own_heun_euler", "heun2"])
    assert advice["own_heun_euler"].cost == pytest.approx(advice["heun2"].cost)


@pytest.mark.parametrize("own, theirs", [("own_heun_euler", "adaptive_heun"), ("bogacki_shampine", "bosh3")])
def test_penalty_on_the_truncation_error(own, theirs):
    """The pair's own stages are enough for its error: the tableau is the one that was given."""
    assert len(solvers.tableau(own).b) == len(solvers.tableau(theirs).b)
    fields = [
        odegan.vector_field(smooth_game(), [odegan.penalties.truncation_error(2.0, step_size=0.4, pair=pair)])(
            0.0, START
        )
        for pair in (own, theirs)
    ]
    close(*fields)


def test_placement_first_stage_is_refused():
    with pytest.raises(odegan.ArgumentError, match="placement: got 'first_stage' with own_heun_euler"):
        run("own_heun_euler", penalties=[odegan.penalties.consensus(0.1)], placement="first_stage")
