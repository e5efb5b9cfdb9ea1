"""Whatever modes, defaults and generators the program around a run has, its numbers are the same, or one line refuses."""

import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import odegan
from odegan import ArgumentError
from odegan.utils.ambient import refuse_transforms
from tests.utils.ambient_settings import AMBIENT, REFUSED, default_dtype

X = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))
MADE_UNDER = ["inference_mode", "default dtype torch.float64", "autocast bfloat16", "default device meta"]
CASES = {
    "heun2": {"solver": "heun2", "step_size": 0.1},
    "dopri5": {"solver": "dopri5", "refresh": 0.2},
    "one call": {"solver": "rk4", "step_size": 0.1, "refresh": float("inf")},
    "noise and buffers": {
        "solver": "euler",
        "step_size": 0.1,
        "penalties": [odegan.penalties.wgan_gp(0.1), odegan.penalties.closed_loop(0.1)],
        "placement": "after_step",
    },
    "data function": {
        "solver": "euler",
        "step_size": 0.1,
        "data": lambda n, generator: torch.randn(n, 2, generator=generator) + torch.randn(n, 2),
    },
}


def make_game():
    torch.manual_seed(0)
    return odegan.gan(
        nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)),
        nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)),
    )


GAME = make_game()
Y0 = GAME.init()


def solve(game, y0, case):
    known = {"data": X, "batch_size": 6, "seed": 3} | CASES[case]
    return odegan.odeint_gan(game, y0, [0.0, 0.4], **known).ys


def test_there_are_sixty():
    assert len(AMBIENT) >= 60


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c == "noise and buffers" else pytest.mark.slow) for c in CASES]
)
@pytest.mark.parametrize("ambient", AMBIENT)
def test_a_run_is_the_same(ambient, case):
    expected = solve(GAME, Y0, case)
    with AMBIENT[ambient]():
        if ambient in REFUSED:
            with pytest.raises(ArgumentError, match=r"^odegan: got a run within FakeTensorMode"):
                solve(GAME, Y0, case)
            return
        found = solve(GAME, Y0, case)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
    assert found.dtype == torch.float32
    assert not found.is_inference()


@pytest.mark.parametrize("ambient", MADE_UNDER)
def test_what_is_made_there_is_the_same(ambient):
    """The game, its start, samples, losses, the field and a stepper's step."""
    field = odegan.vector_field(GAME)
    step = odegan.Stepper(GAME, solver="heun2", step_size=0.1)
    latent = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))

    def made(y0):
        state, _ = step.step(step.init(y0), (X, latent))
        return [
            GAME.init(seed=4),
            GAME.sample(y0, 5, seed=2),
            *GAME.losses(y0, (X, latent)),
            field(0.0, y0, (X, latent)),
            state.y,
        ]

    expected = made(Y0)
    with AMBIENT[ambient]():
        found = made(Y0 if "meta" in ambient else Y0 + torch.zeros_like(Y0))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.detach(), b.detach())


def test_a_start_and_data_made_in_inference_mode_serve_outside():
    with torch.inference_mode():
        y0 = Y0.clone()
        data = X.clone()
        game = make_game()
    assert y0.is_inference()
    known = {"data": data, "batch_size": 6, "solver": "heun2", "step_size": 0.1, "seed": 3}
    assert torch.equal(odegan.odeint_gan(game, y0, [0.0, 0.4], **known).ys, solve(GAME, Y0, "heun2"))


def test_a_run_within_vmap_is_refused_in_one_line():
    with pytest.raises(ArgumentError, match=r"^odegan: got a run within torch.vmap; .*ensemble") as error:
        torch.vmap(lambda y: solve(GAME, y, "heun2"))(torch.stack([Y0, Y0]))
    assert "\n" not in str(error.value)
    refuse_transforms()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_users_functions_have_the_modes_around_the_run(mode):
    seen = []

    def see(*_):
        seen.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()))

    with mode(), default_dtype(torch.float64)():
        see()
        odegan.odeint_gan(GAME, Y0, [0.0, 0.2], data=X, batch_size=6, solver="euler", step_size=0.1, callback=see)
    assert len(set(seen)) == 1
    assert len(seen) == 3


def bilinear(y0, callback):
    game = odegan.games.bilinear()
    return odegan.odeint_gan(game, y0, [0.0, 1.0], solver="rk4", step_size=0.1, callback=callback)


@pytest.mark.parametrize("said", [True, torch.tensor(True), torch.tensor([True]), np.True_, np.array(True)])
def test_a_callback_ends_the_run_by_any_true(said):
    sol = bilinear(torch.ones(2), lambda state, info: said)
    assert (sol.status, sol.t) == ("stopped", 0.1)


@pytest.mark.parametrize("said", [None, False, torch.tensor(False), np.False_, 1, "stop", [True]])
def test_and_by_nothing_else(said):
    sol = bilinear(torch.ones(2), lambda state, info: said)
    assert sol.status == "finished"


def test_several_truth_values_are_refused():
    with pytest.raises(ArgumentError, match=r"^callback: got .*\(2,\) truth values.*any"):
        bilinear(torch.ones(2, 2), lambda state, info: info.finite)


def test_threads_have_modes_of_their_own():
    found = []

    def work():
        found.append(solve(make_game(), Y0, "heun2"))

    with torch.inference_mode():
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert torch.equal(found[0], found[1])


def test_a_draw_by_another_thread_is_not_the_modules():
    """Once: as if it came from elsewhere."""
    drawn = []

    class Interrupted(nn.Linear):
        def forward(self, x):
            if not drawn:
                drawn.append(torch.rand(1))
            return super().forward(x)

    odegan.gan(nn.Linear(2, 2), Interrupted(2, 1))
    assert len(drawn) == 1


def test_threads_share_a_game():
    starts = GAME.init(seed=range(6))
    expected = [solve(GAME, y0, "data function") for y0 in starts]
    found = {}
    threads = [
        threading.Thread(target=lambda i=i, y0=y0: found.update({i: solve(GAME, y0, "data function")}))
        for i, y0 in enumerate(starts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, ys in enumerate(expected):
        assert torch.equal(found[i], ys)


BATCH = (X, torch.randn(24, 3, generator=torch.Generator().manual_seed(1)))
FAR = GAME.init(seed=1)
ANALYSES = {
    "spectrum": lambda: odegan.spectrum(GAME, Y0, BATCH).eigenvalues.abs(),
    "spectrum, iterated": lambda: odegan.spectrum(GAME, Y0, BATCH, k=2).eigenvalues.abs(),
    "advise": lambda: torch.tensor([row.step for row in odegan.advise(GAME, Y0, BATCH, solvers=["rk4", "euler"]).rows]),
    "path angle": lambda: odegan.path_angle(GAME, Y0, FAR, 5, BATCH).cosines,
    "minimizing movement": lambda: (
        odegan.flows.minimizing_movement(odegan.games.bilinear(), torch.tensor([1.0, 0.5]).double(), 0.1, 2).y
    ),
    "mmd": lambda: torch.tensor(odegan.metrics.energy_distance(*BATCH[0].split(12))),
}


@pytest.mark.parametrize("ambient", MADE_UNDER)
@pytest.mark.parametrize("analysis", ANALYSES.values(), ids=ANALYSES)
def test_an_analysis_is_the_same(analysis, ambient):
    expected = analysis()
    with AMBIENT[ambient]():
        if "meta" in ambient:
            with torch.device("cpu"):
                found = analysis()
        else:
            found = analysis()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, check_dtype="default" not in ambient)


@pytest.mark.parametrize("compile", [False, pytest.param("eager", marks=pytest.mark.slow)])
def test_cached_parametrizations_are_computed_anew_at_every_state(compile):
    torch.manual_seed(0)
    gen = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), parametrizations.orthogonal(nn.Linear(5, 2)))
    disc = nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 5)), nn.Tanh(), nn.Linear(5, 1))
    game = odegan.gan(gen, disc)
    known = {"data": X, "batch_size": 6, "solver": "heun2", "step_size": 0.1, "compile": compile}
    expected = odegan.odeint_gan(game, game.init(), [0.0, 0.4], **known).y
    with torch.nn.utils.parametrize.cached():
        torch.testing.assert_close(odegan.odeint_gan(game, game.init(), [0.0, 0.4], **known).y, expected)
        field = odegan.vector_field(game)
        for y in (game.init(), expected):
            inside = field(0.0, y, (X, X.new_ones(24, 3)))
            with torch.nn.utils.parametrize.cached():
                torch.testing.assert_close(field(0.0, y, (X, X.new_ones(24, 3))), inside)
