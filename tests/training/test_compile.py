"""``compile=``: compiled runs are eager ones, compiled once a shape; what cannot be compiled runs as it is and says so."""

import math

import pytest
import torch
from torch._dynamo.utils import counters
from torch.nn.utils import parametrizations

import odegan
from odegan import penalties
from odegan.field import schedules
from odegan.training import run, segment
from odegan.utils import compilation
from tests.peers import ADAPTIVE, BACKENDS, BASELINES, FIXED, START, compiles, smooth_game
from tests.training.compile_cases import POOL, SPAN, D, H, by_turns, network, starts

pytestmark = compiles


@pytest.fixture(autouse=True)
def forget_compiled_code():
    yield
    torch.compiler.reset()


MAKERS = {
    "generator_gradient": lambda: penalties.generator_gradient(0.3),
    "jare": lambda: penalties.jare(0.2),
    "consensus": lambda: penalties.consensus(0.1),
    "reg": lambda: penalties.reg(0.2),
    "closed_loop": lambda: penalties.closed_loop(0.5, buffer=0),
    "r1": lambda: penalties.r1(0.3),
    "r2": lambda: penalties.r2(0.3),
    "wgan_gp": lambda: penalties.wgan_gp(0.3),
    "truncation_error": lambda: penalties.truncation_error(5.0, H),
    "drift_cancellation": lambda: penalties.drift_cancellation(H),
}


def both(game, members, backend, span=SPAN, **arguments):
    """An eager run and a compiled one, equal to rounding and not for a fall-back's sake."""
    if hasattr(game, "latent"):
        arguments = {"data": POOL, "batch_size": 4} | arguments
    runs = [
        odegan.odeint_gan(game, starts(game, members), span, compile=c, **{"step_size": H} | arguments)
        for c in (False, backend)
    ]
    eager, compiled = runs
    assert (eager.stats["compiled"], compiled.stats["compiled"]) == (False, True)
    torch.testing.assert_close(compiled.ys, eager.ys, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(compiled.stats["losses"], eager.stats["losses"], rtol=1e-12, atol=1e-12)
    assert compiled.stats["nfe"] == eager.stats["nfe"]
    assert (eager.ys[-1] - eager.ys[0]).norm(dim=-1).min() > 1e-4
    return compiled


def test_every_penalty_is_here():
    assert list(MAKERS) == penalties.names()


def dirac_run(backend, solver, which, members, given):
    """Two parameters, steps of one interval each: not one call of torchdiffeq, which would compile the field alone."""
    game = odegan.games.dirac("non_saturating", 1.0)
    both(game, members, backend, solver=solver, penalties=[MAKERS[name]() for name in which], refresh=H, **given)


@pytest.mark.parametrize(
    "solver, which, members, given",
    [
        ("euler", list(MAKERS), 0, {}),
        ("heun2", ["generator_gradient"], 1, {"placement": "after_step"}),
        ("adam", [], 0, {"options": {"alternating": True}}),
    ],
)
def test_inductor(solver, which, members, given):
    dirac_run(True, solver, which, members, given)


# Every solver and every penalty, as one run or as an ensemble; the whole product is below.
COVER = [
    ("euler", "truncation_error", {}),
    ("midpoint", "r1", {}),
    ("heun2", "generator_gradient", {"placement": "after_step"}),
    ("heun3", "reg", {"placement": "first_stage"}),
    ("rk4", "r2", {}),
    ("rk4_classic", "closed_loop", {}),
    ("ralston", "consensus", {"placement": "first_stage"}),
    ("alternating", "jare", {}),
    ("extragradient", "consensus", {"placement": "after_step"}),
    ("optimistic", "drift_cancellation", {}),
    ("adam", "wgan_gp", {"options": {"alternating": True}}),
    ("rmsprop", "jare", {"clip": 0.5}),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("i", range(len(COVER)), ids=[solver for solver, _, _ in COVER])
def test_every_solver(i, backend):
    solver, penalty, given = COVER[i]
    dirac_run(backend, solver, [penalty], i % 2, given)


@pytest.mark.parametrize(
    "intervals, keep, idle, expected",
    [
        ([0, 1, 2, 3, 4], {3}, True, [3, 3, 3, 4, 5]),
        ([0, 0, 1, 1, 1], set(), True, [2, 3, 5, 5, 5]),
        ([0, 1, 2, 2, 2], set(), False, [1, 2, 5, 5, 5]),
        ([0, 0, 0, 0, 0], {0}, False, [1, 4, 5, 5, 5]),
    ],
)
def test_what_goes_together(intervals, keep, idle, expected):
    assert [segment._together(intervals, keep, first, 3, idle) for first in range(5)] == expected


def test_the_cover_covers():
    assert {solver for solver, _, _ in COVER} == {*FIXED, *BASELINES}
    assert {penalty for _, penalty, _ in COVER} == set(MAKERS)


@pytest.mark.slow
@pytest.mark.parametrize("members", [0, 1])
@pytest.mark.parametrize("solver, given", [("heun2", {}), ("rk4", {"placement": "after_step"}), ("adam", {})])
def test_inductor_on_networks(solver, given, members):
    both(network(), members, True, solver=solver, penalties=[make() for make in MAKERS.values()][:6], **given)


@pytest.fixture
def long_segments(monkeypatch):
    """However slow a step: an eager segment is then one call of many steps."""
    monkeypatch.setattr(run, "SHORTEST_TIME", math.inf)


@pytest.mark.slow
@pytest.mark.usefixtures("long_segments")
@pytest.mark.parametrize("members", [0, 1])
@pytest.mark.parametrize("penalty", MAKERS)
@pytest.mark.parametrize("solver", [*FIXED, *BASELINES])
def test_every_solver_with_every_penalty(solver, penalty, members):
    segments = [0.0, 0.1, 0.13, 1.65]  # of 1, 2, 4 and 8 steps
    both(network(), members, "eager", segments, solver=solver, penalties=[MAKERS[penalty]()], refresh=H)


PLACEMENTS = ["field", "after_step", "first_stage"]
PLAYERS = ["joint", "frozen"]
REFRESHES = [None, "stage", 0.2]


def allowed(solver, placement, players, *_):
    if solver in BASELINES:
        return placement != "first_stage" and players == "joint"
    return not (solver == "midpoint" and placement == "first_stage")


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver, placement, players, refresh, members",
    [case for case in by_turns([*FIXED, *BASELINES], PLACEMENTS, PLAYERS, REFRESHES) if allowed(*case)],
)
def test_every_placement(solver, placement, players, refresh, members):
    given = {"placement": placement, "players": players, "refresh": refresh}
    both(network(), members, "eager", solver=solver, penalties=[MAKERS["generator_gradient"]()], **given)


def drawn(seed):
    return torch.randn(4, generator=torch.Generator().manual_seed(seed))


REPLAY = penalties.closed_loop(0.5, buffer=2)
SCHEDULED = penalties.generator_gradient(odegan.piecewise([0.1, 5.0], [0.15]))
CASES = {
    "moving buffers": (1, {"solver": "heun2", "norm": parametrizations.spectral_norm}),
    "weight norm": (0, {"solver": "euler", "penalties": [MAKERS["consensus"]()], "norm": parametrizations.weight_norm}),
    "projection": (1, {"solver": "heun2", "game": smooth_game(project=lambda y: y.clamp(max=0.5), init=drawn)}),
    "replay": (0, {"solver": "euler", "penalties": [REPLAY]}),
    "batch a stage": (1, {"solver": "heun2", "penalties": [SCHEDULED], "placement": "first_stage", "refresh": "stage"}),
    "frozen": (0, {"solver": "heun2", "penalties": [SCHEDULED], "placement": "after_step", "players": "frozen"}),
    "schedule in steps": (1, {"solver": "euler", "rates": (1.0, schedules.linear(1.0, 0.5, 9, unit="steps"))}),
    "several steps an interval": (
        1,
        {"solver": "euler", "refresh": 0.2, "step_size": lambda t: 0.1 if t < 0.15 else 0.05},
    ),
    "one call": (0, {"solver": "rk4_classic", "refresh": math.inf, "rates": (1.0, 2.0)}),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_parts_of_a_run(case, backend):
    members, given = CASES[case]
    given = dict(given)
    norm = {"norm": given.pop("norm")} if "norm" in given else {}
    both(given.pop("game", None) or network(**norm), members, backend, **given)


@pytest.mark.parametrize(
    "solver, given",
    [
        pytest.param("dopri5", {"refresh": 0.2, "players": "frozen"}, marks=pytest.mark.slow),
        pytest.param("bosh3", {"refresh": math.inf, "options": {"jump_t": torch.tensor([0.2], dtype=D)}}),
        pytest.param(
            "fehlberg2",
            {"refresh": math.inf, "penalties": [penalties.generator_gradient(lambda t: 0.1 * t)]},
            marks=pytest.mark.slow,
        ),
        *[pytest.param(solver, {"refresh": math.inf}, marks=pytest.mark.slow) for solver in ADAPTIVE],
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_adaptive_solvers_compile_attempts(solver, given, backend):
    both(network(), 1, backend, solver=solver, step_size=None, rtol=1e-3, **given)


def test_gradients_of_a_compiled_run():
    found = []
    for backend in (False, "aot_eager"):
        h = torch.tensor(H, dtype=D, requires_grad=True)
        y0 = START.clone().requires_grad_()
        solution = odegan.odeint_gan(
            smooth_game(), y0, [0.0, 0.15], solver="euler", step_size=h, refresh=H, compile=backend
        )
        assert solution.stats["compiled"] is bool(backend)
        found.append(torch.autograd.grad(solution.y.square().sum(), (h, y0)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


# CUDA graphs.
def test_what_a_replay_returns_outlives_the_next():
    memory = torch.zeros(2)

    def replays(x, others):
        return memory.copy_(x), [memory.copy_(x)]

    call = compilation._replayed(replays, torch.device("cpu"))
    first = call(torch.ones(2), ())
    second = call(torch.full((2,), 2.0), ())
    assert (first[0].tolist(), first[1][0].tolist(), second[0].tolist()) == ([1, 1], [1, 1], [2, 2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("members", [0, 1])
@pytest.mark.parametrize(
    "given",
    [
        {"solver": "rk4_classic", "penalties": [MAKERS["generator_gradient"]()], "placement": "after_step"},
        {"solver": "adam", "penalties": [REPLAY]},
        {"solver": "dopri5", "refresh": 0.2, "step_size": None},
    ],
    ids=lambda given: given["solver"],
)
def test_captured_steps_are_eager_ones(given, members):
    game = network()
    y0 = starts(game, members).cuda()
    times = torch.linspace(0, 2, 5)
    given = {"data": POOL, "batch_size": 4, "step_size": H} | given
    counters.clear()
    eager, compiled = (odegan.odeint_gan(game, y0, times, compile=c, **given) for c in (False, True))
    assert compiled.stats["compiled"]
    assert counters["inductor"]["cudagraph_skips"] == 0
    torch.testing.assert_close(compiled.ys, eager.ys, rtol=1e-10, atol=1e-12)
