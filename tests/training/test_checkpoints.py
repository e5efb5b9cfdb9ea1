"""Checkpoints: a resumed run is the uninterrupted one, bit for bit, or is refused; the file is whole and only data."""

import json
import math
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import odegan
from campaign import checkpoints as campaign
from odegan import ArgumentError, ExponentialAverage, UniformAverage, games
from odegan.penalties import generator_gradient
from odegan.utils import checkpoint

torch.set_num_threads(1)
T = torch.tensor([0.0, 0.13, 0.4, 0.66, 0.8], dtype=torch.float64)
DATA = torch.randn(10, 2, generator=torch.Generator().manual_seed(0))


def network(norm=lambda layer: layer, **given):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    discriminator = nn.Sequential(norm(nn.Linear(2, 5)), nn.Tanh(), nn.Linear(5, 1))
    return odegan.gan(generator, discriminator, **given)


def diverging():
    """Members that start beyond 1 blow up."""
    return odegan.Game(lambda d, g, batch: -(d**4).sum(), lambda d, g, batch: (g**2).sum(), 1, 1)


GAME = network()
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


def run(game=GAME, y0=None, t=T, **given):
    known = {"data": DATA, "latent": 3, "batch_size": 4, "solver": "euler", "step_size": 0.1}
    return odegan.odeint_gan(game, game.init() if y0 is None else y0, t, **known | given)


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
    path, calls = tmp_path / "folder" / "run.pt", []
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


def test_the_file_is_plain_data(tmp_path):
    path = tmp_path / "run.pt"
    numbers = {"step_size": np.float64(0.1), "rates": (np.float32(1.0), np.int64(1)), "seed": np.int64(3)}
    solution = run(solver="adam", checkpoint=str(path), callback=ExponentialAverage(), **numbers)
    payload = torch.load(path, weights_only=True)
    assert torch.equal(payload["y"], solution.y)
    assert payload["arguments"]["seed"] == 3
    assert payload["arguments"]["rates"] == [1.0, 1]


def test_two_that_write_one_file_do_not_tear_it(tmp_path, monkeypatch):
    path, save = tmp_path / "run.pt", torch.save

    def second(payload, file):
        monkeypatch.setattr(torch, "save", save)
        checkpoint.save(path, {"y": torch.zeros(2)})
        save(payload, file)

    monkeypatch.setattr(torch, "save", second)
    checkpoint.save(path, {"y": torch.ones(2)})
    assert torch.equal(checkpoint.load(path)["y"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_what_a_killed_writer_left_goes_and_nothing_of_the_users(tmp_path):
    """Unfinished files of this checkpoint are removed where a run takes it up; none else, and no link is followed."""
    kept = ["run.pt.part", ".run.pt.part", ".other.pt.0123456789abcdef.part", ".run.pt.backup"]
    for name in [*kept, ".run.pt.0123456789abcdef.part"]:
        (tmp_path / name).write_bytes(b"x" * 1000)
    (tmp_path / ".run.pt.fedcba9876543210.part").symlink_to(tmp_path / "run.pt.part")
    run(checkpoint=tmp_path / "run.pt")
    found = {file.name for file in tmp_path.iterdir()}
    assert found == {"run.pt", *kept, ".run.pt.fedcba9876543210.part"}
    assert all((tmp_path / name).read_bytes() == b"x" * 1000 for name in kept)


def test_a_link_and_a_mode_are_kept(tmp_path):
    real, path = tmp_path / "store" / "run.pt", tmp_path / "run.pt"
    real.parent.mkdir()
    checkpoint.save(real, {"y": torch.zeros(2)})
    real.chmod(0o640)
    path.symlink_to(real)
    checkpoint.save(path, {"y": torch.ones(2)})
    assert path.is_symlink()
    assert torch.equal(checkpoint.load(real)["y"], torch.ones(2))
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_failing_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    checkpoint.save(path, {"y": torch.ones(2)})
    kept = path.read_bytes()

    def half(payload, file):
        file.write(kept[: len(kept) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, {"y": torch.zeros(2)})
    assert path.read_bytes() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize(
    "write, shown",
    [
        (lambda path: path.write_bytes(b"garbage"), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: torch.save({"odegan_checkpoint": 0}, path), "version 0"),
        (lambda path: torch.save([1], path), "version None"),
    ],
    ids=["garbage", "empty", "folder", "version", "foreign"],
)
def test_a_wrong_file_is_refused(tmp_path, write, shown):
    write(tmp_path / "run.pt")
    with pytest.raises(ArgumentError, match=f"^checkpoint: got .*run.pt.*{shown}.*odegan checkpoint") as error:
        run(checkpoint=tmp_path / "run.pt")
    assert "\n" not in str(error.value)


def test_a_flipped_byte_is_noticed(tmp_path):
    """torch itself compares no checksums."""
    path = tmp_path / "run.pt"
    checkpoint.save(path, {"x": torch.zeros(1000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(odegan.ArgumentError, match="is damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.pop("arguments"),
        lambda p: p.pop("statistics"),
        lambda p: p["aux"].clear(),
        lambda p: p.update(t="x"),
        lambda p: p.update(y=p["y"][:-1]),
    ],
    ids=["no arguments", "no statistics", "no aux", "no time", "short y"],
)
def test_a_checkpoint_with_missing_parts_is_one_line(tmp_path, change):
    path = tmp_path / "run.pt"
    game = odegan.games.bilinear()

    def run(end):
        return odegan.odeint_gan(
            game,
            game.init(0),
            torch.tensor([0.0, 1.0]),
            solver="alternating",
            step_size=0.1,
            checkpoint=path,
            callback=end,
        )

    run(lambda state, info: state.t > 0.4)
    payload = checkpoint.load(path)
    change(payload)
    checkpoint.save(path, {k: v for k, v in payload.items() if k != "odegan_checkpoint"})
    with pytest.raises(odegan.ArgumentError, match=r"^(checkpoint|arguments|t|y): ") as error:
        run(lambda state, info: None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", campaign.FORMS)
@pytest.mark.parametrize("evil", campaign.EVIL)
def test_code_in_a_file_is_not_run(tmp_path, form, evil):
    """An incautious reader does run it: each file is read in that way afterwards."""
    path, canary = tmp_path / "run.pt", tmp_path / "canary"
    campaign.FORMS[form].write(path, campaign.EVIL[evil](canary))
    with pytest.raises(ArgumentError, match=r"^checkpoint: got .*run.pt.*cannot be read") as error:
        checkpoint.load(path)
    assert "\n" not in str(error.value)
    assert not canary.exists()
    campaign.FORMS[form].fire(path)
    assert canary.exists()


@pytest.mark.parametrize("kind", campaign.FOREIGN)
def test_a_foreign_file_or_version_is_refused(tmp_path, kind):
    path = tmp_path / "run.pt"
    campaign.FOREIGN[kind](path)
    with pytest.raises(ArgumentError, match=r"^checkpoint: got .*run.pt.*it must be an odegan checkpoint") as error:
        checkpoint.load(path)
    assert "\n" not in str(error.value)
    if version := re.fullmatch(r"version (-?\d+)", kind):
        assert f"of version {version[1]}; it must be an odegan checkpoint of version {checkpoint.VERSION}" in str(
            error.value
        )


def outcomes(folder, files):
    """What came of so many damaged files of each kind, and of each kind which they were."""
    found = list(campaign.damaged(folder, campaign.run(), files))
    assert len(found) == files * (len(campaign.DAMAGE) + 1)
    return found


def test_damage_is_refused_or_harmless(tmp_path):
    found = outcomes(tmp_path, 4)
    assert {outcome for _, outcome in found} <= {campaign.REFUSED, campaign.SAME}
    assert {outcome for kind, outcome in found if kind == "cut off"} == {campaign.REFUSED}


@pytest.mark.slow
def test_much_damage_is_refused_or_harmless(tmp_path):
    assert {outcome for _, outcome in outcomes(tmp_path, 400)} <= {campaign.REFUSED, campaign.SAME}


@pytest.mark.parametrize("version", range(1, checkpoint.VERSION + 1))
def test_a_file_of_every_version_resumes_or_is_refused_by_its_version(tmp_path, version):
    """Made by ``python -m campaign.checkpoints --fixture tests/utils/checkpoints`` when that version was the present one."""
    stored = Path(__file__).parents[1] / "utils" / "checkpoints" / f"checkpoint_version_{version}"
    path = shutil.copy(stored.with_suffix(".pt"), tmp_path / "run.pt")
    if version < checkpoint.VERSION:
        with pytest.raises(ArgumentError, match=f"of version {version}; .* of version {checkpoint.VERSION}"):
            campaign.run(path)
        return
    kept = checkpoint.load(path)
    assert (kept["aux"]["index"], kept["status"]) == (6, "stopped")
    resumed = campaign.run(path)
    assert resumed.stats["steps"] == 16
    expected = torch.tensor(json.loads(stored.with_suffix(".json").read_text())["ys"], dtype=torch.float64)
    torch.testing.assert_close(resumed.ys, expected, rtol=0, atol=1e-9)
