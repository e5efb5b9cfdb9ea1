"""Checkpoints: a resumed run is the uninterrupted one, bit for bit, or is refused; the file is whole and only data."""

import math
import signal

import pytest
import torch
from torch.nn.utils import parametrizations

import odegan
from odegan import ArgumentError, ExponentialAverage, UniformAverage, games
from odegan.penalties import generator_gradient
from tests.training.checkpoint_cases import DATA, GAME, T, network, run

torch.set_num_threads(1)


def diverging():
    """Members that start beyond 1 blow up."""
    return odegan.Game(lambda d, g, batch: -(d**4).sum(), lambda d, g, batch: (g**2).sum(), 1, 1)


BILINEAR = games.bilinear()
ADAPTIVE = {"solver": "dopri5", "step_size": None, "refresh": 0.2}
FAST = {"solver": "euler", "step_size": 0.1, "on_nonfinite": "stop", "data": None, "latent": None, "batch_size": None}
CASES = {
    "fixed": {},
    "penalized": {"solver": "heun2", "placement": "after_step", "penalties": [generator_gradient(0.1)]},
    "per-stage": {"solver": "rk4", "refresh": "stage"},
    "intervals": {"solver": "heun3", "refresh": 0.2, "players": "frozen"},
    "piecewise": {"step_size": odegan.piecewise([0.1, 0.07], [0.3])},
    "cubic": {"solver": "midpoint", "options": {"interp": "cubic"}},
    "frozen": {"solver": "rk4", "players": "frozen", "clip": 0.5, "rates": (2.0, 1.0)},
    "adaptive": ADAPTIVE,
    "adaptive-frozen": ADAPTIVE | {"solver": "bosh3", "players": "frozen"},
    "adam": {"solver": "adam"},
    "adam-turns": {"solver": "adam", "options": {"alternating": True, "disc_steps": 2}},
    "optimistic": {"solver": "optimistic"},
    "ensemble": {"y0": torch.stack([GAME.init(seed=s) for s in (1, 2)])},
    "ensemble-adaptive": ADAPTIVE | {"y0": torch.stack([GAME.init(seed=s) for s in (1, 2)])},
    "spectral": {"game": network(parametrizations.spectral_norm)},
    "spectral-ensemble": {
        "game": network(parametrizations.spectral_norm),
        "y0": torch.stack([network(parametrizations.spectral_norm).init(seed=s) for s in (1, 2)]),
    },
    "one-member-dead": FAST | {"game": diverging(), "y0": torch.tensor([[0.5, 1.0], [30.0, 1.0]])},
    "one-call": {"refresh": math.inf},
    "one-call-adaptive": {"solver": "dopri5", "step_size": None, "refresh": math.inf},
    "no-data": {"game": BILINEAR, "y0": torch.ones(2), "players": "frozen"} | dict.fromkeys(["data", "latent"]),
}
CASES["no-data"]["batch_size"] = None


def same(a, b) -> bool:
    """Equal to the last bit, NaN equal to NaN."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(torch.nan_to_num(a, 7e7), torch.nan_to_num(b, 7e7))
    return a == b


def assert_same(a: odegan.Solution, b: odegan.Solution) -> None:
    assert (a.status, a.t, a.stats.keys()) == (b.status, b.t, b.stats.keys())
    assert [key for key in ("ts", "ys", "y") if not same(getattr(a, key), getattr(b, key))] == []
    assert [key for key in a.stats if not same(a.stats[key], b.stats[key])] == []


class Stop:
    """A callback that ends the run after so many intervals."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, state, info):
        self.left -= 1
        return self.left == 0


class Crash(Stop):
    """A callback that ends the program then."""

    def __call__(self, state, info):
        if super().__call__(state, info):
            raise ZeroDivisionError


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("ends", ["stop", "crash", "interrupt"])
def test_resumed_is_uninterrupted(tmp_path, case, ends):
    path = tmp_path / "run.pt"
    averages = [ExponentialAverage(0.5), UniformAverage(0.2)]
    whole = run(**case, callback=averages)
    for after in (1, 2):
        again = [ExponentialAverage(0.5), UniformAverage(0.2)]
        if ends == "crash":  # in the interval after the last save, before the averages see it
            with pytest.raises(ZeroDivisionError):
                run(**case, callback=[Crash(after + 1), *again], checkpoint=path, checkpoint_every=after)
        elif ends == "stop":
            assert run(**case, callback=[*again, Stop(after)], checkpoint=path).status == "stopped"
        else:
            part = run(**case, callback=[*again, lambda s, i: signal.raise_signal(signal.SIGINT)], checkpoint=path)
            assert part.status == "interrupted"
    resumed = [ExponentialAverage(0.5), UniformAverage(0.2)]
    assert_same(run(**case, callback=resumed, checkpoint=path), whole)
    assert [same(a.y, b.y) for a, b in zip(resumed, averages, strict=True)] == [True, True]
    assert resumed[1].count == averages[1].count
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_in_the_last_interval_loses_nothing(tmp_path):
    def at_the_end(state, info):
        if state.t == 0.8:
            signal.raise_signal(signal.SIGINT)

    whole = run()
    assert run(callback=at_the_end, checkpoint=tmp_path / "run.pt").status == "interrupted"
    assert_same(run(checkpoint=tmp_path / "run.pt"), whole)


@pytest.mark.parametrize("case", ["fixed", "adaptive", "one-call", "one-member-dead"])
def test_a_finished_run_returns_at_once(tmp_path, case):
    path = tmp_path / "folder" / "run.pt"
    calls = []
    first = run(**CASES[case], checkpoint=path)
    assert_same(run(**CASES[case], checkpoint=path, callback=lambda s, i: calls.append(1)), first)
    assert calls == []


def test_a_run_that_turned_non_finite_stays_ended(tmp_path):
    case = FAST | {"game": diverging(), "y0": torch.tensor([30.0, 1.0]), "checkpoint": tmp_path / "run.pt"}
    first = run(**case)
    assert (first.status, len(first.ts) < len(T)) == ("stopped", True)
    assert_same(run(**case), first)
    with pytest.raises(odegan.NonFiniteError) as error:
        run(**case | {"on_nonfinite": "raise"})
    assert_same(error.value.solution, first)


# What must be the same to resume, and what else could have been given.
OTHER = {
    "solver": "heun2",
    "step_size": 0.05,
    "seed": 1,
    "penalties": [generator_gradient(0.2)],
    "data": DATA + 1e-6,
    "y0": GAME.init() + 1e-6,
    "t": T + torch.tensor([0, 1e-12, 0, 0, 0], dtype=torch.float64),
    "batch_size": 5,
    "latent": lambda n, generator: torch.zeros(n, 3),
    "rates": (1.0, 2.0),
    "refresh": 0.1,
    "placement": "after_step",
    "players": "frozen",
    "clip": 1.0,
    "rtol": 1e-3,
    "atol": 1e-3,
    "options": {"interp": "cubic"},
    "loss": "hinge",
}


@pytest.mark.parametrize("name", OTHER)
def test_other_arguments_are_refused_by_name(tmp_path, name):
    path = tmp_path / "run.pt"
    first = {"penalties": [generator_gradient(0.1)], "checkpoint": path}
    run(**first, callback=Stop(2))
    kept = path.read_bytes()
    other = {"game": network(loss="hinge")} if name == "loss" else {name: OTHER[name]}
    with pytest.raises(ArgumentError) as error:
        run(**first | other, progress="bar")
    assert str(error.value).startswith(f"{name}: got ")
    assert "run.pt" in str(error.value)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == kept
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run(**first).status == "finished"


def test_every_difference_is_named(tmp_path):
    run(checkpoint=tmp_path / "run.pt")
    with pytest.raises(ArgumentError, match=r"^solver: got 'rk4', but .* made with 'euler' \(and players, seed\)"):
        run(solver="rk4", seed=3, players="frozen", checkpoint=tmp_path / "run.pt")


def test_other_callbacks_with_a_state_are_refused(tmp_path):
    run(checkpoint=tmp_path / "run.pt", callback=[ExponentialAverage(), Stop(2)])
    with pytest.raises(ArgumentError, match=r"^callback: got \[.*'UniformAverage'.*\], but .* with \["):
        run(checkpoint=tmp_path / "run.pt", callback=[ExponentialAverage(), UniformAverage()])
