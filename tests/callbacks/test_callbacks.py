"""Callbacks ready to use: when they are called, what they keep, and that they resume."""

import csv
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import odegan
from odegan.callbacks import Best, CSVLog, Periodic, Samples, TensorBoard, WandB
from odegan.training.run import Run
from tests.peers import START, networks, smooth_game

GAME = smooth_game()
GIVEN = {"solver": "euler", "step_size": 0.1}
N = 12  # intervals
EVERY = 3  # between calls
BREAK = 7  # where a run is broken off


class Note(Periodic):
    """Notes the interval and the time of each call."""

    def __init__(self, every):
        super().__init__(every)
        self.seen = []

    def __call__(self, state, info):
        self.seen.append((state.aux["index"], state.t))


def stop(state, info):
    return state.aux["index"] == BREAK


MODES = {
    "one call": {},
    "intervals": {"players": "frozen"},
    "adaptive": {"solver": "dopri5", "step_size": None, "refresh": 0.1},
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_called_at_multiples_only(mode):
    rare = Note(5)
    often = Note(EVERY)
    odegan.odeint_gan(GAME, START, steps=N, callback=[rare, often], **GIVEN | mode)
    assert [index for index, _ in rare.seen] == [5, 10]
    assert [index for index, _ in often.seen] == [3, 6, 9, 12]
    torch.testing.assert_close([t for _, t in often.seen], [0.3, 0.6, 0.9, 1.2])


def test_segments_are_as_long_as_the_callback_allows(monkeypatch):
    lengths = []
    ahead = Run._intervals_ahead
    monkeypatch.setattr(Run, "_intervals_ahead", lambda self: lengths.append(ahead(self)) or lengths[-1])
    odegan.odeint_gan(GAME, START, steps=40, callback=Note(20), players="frozen", **GIVEN)
    assert max(lengths) > 1
    assert len(lengths) < 40


@pytest.mark.parametrize("every", [0, -1, 1.5, "often", True])
def test_every_is_checked(every):
    def own(state, info):
        return None

    own.every = every
    with pytest.raises(odegan.ArgumentError, match="every"):
        odegan.odeint_gan(GAME, START, steps=2, callback=own, **GIVEN)


def rows(path):
    return list(csv.reader(open(path)))


def scalars(folder):
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def files(folder):
    return {path.name: np.load(path) for path in sorted(folder.glob("*.npy"))}


PAIR = odegan.gan(*networks())
KINDS = {
    "csv": (lambda at: CSVLog(at / "log.csv", EVERY, overwrite=True), lambda made, at: rows(at / "log.csv")),
    "tensorboard": (lambda at: TensorBoard(at / "board", EVERY), lambda made, at: scalars(at / "board")),
    "best": (lambda at: Best(lambda y: -float(y[0]), EVERY), lambda made, at: (made.t, made.score, made.y.tolist())),
    "samples": (lambda at: Samples(PAIR, at / "samples", EVERY, n=4), lambda made, at: files(at / "samples")),
}


@pytest.mark.parametrize("make, read", KINDS.values(), ids=KINDS.keys())
def test_resumed_is_uninterrupted(tmp_path, make, read):
    """A run is broken off, goes on beyond what its checkpoint knows, is killed, and resumed from the checkpoint."""
    given = {
        "data": torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        "batch_size": 4,
    }
    given |= GIVEN
    y0 = PAIR.init()
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole = make(tmp_path / "whole")
    odegan.odeint_gan(PAIR, y0, steps=N, callback=whole, **given)
    path = tmp_path / "run.pt"
    odegan.odeint_gan(PAIR, y0, steps=N, callback=[make(tmp_path / "broken"), stop], checkpoint=path, **given)
    kept = path.read_bytes()
    odegan.odeint_gan(PAIR, y0, steps=N, callback=make(tmp_path / "broken"), checkpoint=path, **given)
    path.write_bytes(kept)
    last = make(tmp_path / "broken")
    odegan.odeint_gan(PAIR, y0, steps=N, callback=last, checkpoint=path, **given)
    found = read(last, tmp_path / "broken")
    expected = read(whole, tmp_path / "whole")
    assert str(found) == str(expected)


def test_csv_holds_what_the_solution_says(tmp_path):
    sol = odegan.odeint_gan(
        GAME, START, steps=N, callback=CSVLog(tmp_path / "log.csv", EVERY), players="frozen", **GIVEN
    )
    header, *lines = rows(tmp_path / "log.csv")
    for line in lines:
        row = dict(zip(header, map(float, line), strict=True))
        k = int(row["interval"]) - 1
        losses = sol.stats["losses"][k].tolist()
        assert [row["loss/disc"], row["loss/gen"]] == pytest.approx(losses)
        assert row["field_norm"] == pytest.approx(float(sol.stats["field_norm"][k]))
        assert row["t"] == pytest.approx(0.1 * (k + 1))
    assert len(lines) == N // EVERY


def test_csv_keeps_what_is_there(tmp_path):
    (tmp_path / "log.csv").write_text("mine")
    with pytest.raises(odegan.ArgumentError, match=r"^path: got .*overwrite=True"):
        odegan.odeint_gan(GAME, START, steps=N, callback=CSVLog(tmp_path / "log.csv"), **GIVEN)
    assert (tmp_path / "log.csv").read_text() == "mine"


def test_members_have_columns_of_their_own(tmp_path):
    odegan.odeint_gan(GAME, torch.stack([START, 2 * START]), steps=3, callback=CSVLog(tmp_path / "log.csv", 1), **GIVEN)
    header = rows(tmp_path / "log.csv")[0]
    assert header[4:] == ["loss/disc/0", "loss/disc/1", "loss/gen/0", "loss/gen/1", "field_norm/0", "field_norm/1"]


@pytest.mark.parametrize("larger", [False, True])
def test_best_is_the_extreme_of_the_reports(larger):
    scores = iter([3.0, float("nan"), 1.0, 5.0])
    best = Best(lambda y: next(scores), EVERY, larger=larger)
    sol = odegan.odeint_gan(GAME, START, steps=N, report_every=EVERY, callback=best, **GIVEN)
    k = 4 if larger else 3
    assert best.score == (5.0 if larger else 1.0)
    torch.testing.assert_close(best.y, sol.ys[k])


@pytest.mark.parametrize(
    "scores, larger, best_at",
    [
        ([np.float32(np.inf), 3.0, np.inf, 4.0], False, 2),
        ([3.0, torch.tensor(-np.inf), 1.0, 5.0], False, 2),
        ([3.0, np.float64(np.inf), np.inf, np.nan], True, 2),
        ([np.nan, -np.inf, -np.inf, np.nan], True, None),
    ],
)
def test_infinite_scores_are_compared(scores, larger, best_at):
    found = iter(scores)
    best = Best(lambda y: next(found), EVERY, larger=larger)
    sol = odegan.odeint_gan(GAME, START, steps=N, report_every=EVERY, callback=best, **GIVEN)
    assert (best.y is None) == (best_at is None)
    if best_at is not None:
        assert best.score == float(scores[best_at - 1])
        torch.testing.assert_close(best.y, sol.ys[best_at])


def test_images_are_drawn_too(tmp_path):
    generator = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Unflatten(1, (1, 4, 4)), torch.nn.Tanh())
    game = odegan.gan(generator, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 1)))
    data = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    samples = Samples(game, tmp_path, every=2, n=4)
    sol = odegan.odeint_gan(game, game.init(), steps=2, data=data, callback=samples, **GIVEN)
    assert (tmp_path / "samples_00000002.png").stat().st_size > 0
    np.testing.assert_allclose(files(tmp_path)["samples_00000002.npy"], game.sample(sol.y, 4, seed=0), rtol=1e-6)


def test_wandb_goes_on_with_its_run(monkeypatch, tmp_path):
    """With a stand-in for the client: what it is asked for."""
    asked = []
    logged = []

    def init(**given):
        asked.append(given)
        return SimpleNamespace(id="abc", log=lambda row, step: logged.append((step, row["loss/disc"])))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    path = tmp_path / "run.pt"
    for callbacks in ([WandB(EVERY, project="p"), stop], WandB(EVERY, project="p")):
        odegan.odeint_gan(GAME, START, steps=N, callback=callbacks, checkpoint=path, players="frozen", **GIVEN)
    assert asked == [{"project": "p"}, {"project": "p", "id": "abc", "resume": "allow"}]
    assert [step for step, _ in logged] == [3, 6, 9, 12]


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(odegan.ArgumentError, match="pip install wandb"):
        WandB()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(odegan.ArgumentError, match="pip install tensorboard"):
        TensorBoard("folder")
