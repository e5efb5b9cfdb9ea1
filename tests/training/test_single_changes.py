"""Single changes between two runs of one checkpoint: each is refused by name, none resumes in silence, and the same resumes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.data import Dataset

import odegan
from odegan import ArgumentError
from odegan.solvers import table, torchdiffeq_backend
from tests.training import changes_data, changes_games, changes_settings
from tests.training.changes_data import Items, closure, normal
from tests.training.changes_games import X, game, layers, spectral

GAME = game()
CHANGES = changes_games.CHANGES | changes_data.CHANGES | changes_settings.CHANGES
# All those of kinds that passed in silence once, and every fifth of the others, stand for the whole by default.
ALWAYS = {"gaussian v", "particles data", "autocast", "train and eval", "heads", "item 11", "terms of a penalty"}
CASES = [
    pytest.param(*pair, id=name, marks=[] if i % 5 == 0 or name in ALWAYS else pytest.mark.slow)
    for i, (name, pair) in enumerate(CHANGES.items())
]


def run(path, *callbacks, game=GAME, y0=None, callback=None, t=(0.0, 0.4), **given):
    known = {"data": X, "latent": 3, "batch_size": 6, "solver": "euler", "step_size": 0.1} | given
    users = [one for one in (callback, *callbacks) if one is not None]
    return odegan.odeint_gan(game, game.init() if y0 is None else y0, t, checkpoint=path, callback=users, **known)


def stop(state, info):
    return state.t > 0.15


def test_there_are_a_hundred():
    assert len(CHANGES) + len(GLOBALS) + len(AROUND) >= 100
    assert CHANGES.keys() >= ALWAYS


@pytest.mark.parametrize("one, other", CASES)
def test_a_single_change_is_refused(tmp_path, one, other):
    path = tmp_path / "run.pt"
    assert run(path, stop, **one).status == "stopped"
    kept = path.read_bytes()
    with pytest.raises(ArgumentError) as error:
        run(path, **other)
    assert "\n" not in str(error.value)
    assert "run.pt" in str(error.value)
    assert len(str(error.value)) < 900
    assert path.read_bytes() == kept
    assert run(path, **one).status == "finished"


SAME = {
    "weights": [{"penalties": [odegan.penalties.r1(1)]}, {"penalties": [odegan.penalties.r1(1.0)]}],
    "rates": [{"rates": (1, 2)}, {"rates": [1.0, 2.0]}],
    "step size": [{"step_size": 1, "t": (0.0, 4.0)}, {"step_size": 1.0, "t": (0, 4)}],
    "options": [{"solver": "adam", "options": {"betas": betas}} for betas in ((0.5, 0.9), [0.5, 0.9])],
    "latent": [{"latent": 3}, {"latent": [3]}],
    "seeds": [{"y0": torch.stack([GAME.init()] * 2), "seed": seed} for seed in ([4, 5], range(4, 6))],
}


@pytest.mark.parametrize("one, other", SAME.values(), ids=SAME)
def test_two_ways_to_write_one_setting_are_the_same(tmp_path, one, other):
    run(tmp_path / "run.pt", stop, **one)
    assert run(tmp_path / "run.pt", **other).status == "finished"


def used(module):
    """After other passes: with other running statistics, and other u and v of spectral norm."""
    with torch.no_grad():
        for buffer in module.buffers():
            buffer.copy_(torch.nn.functional.normalize(buffer.float() + 0.1, dim=-1))
    return module


@pytest.mark.parametrize("make", [lambda: layers(torch.nn.BatchNorm1d(4)), lambda: spectral(True)])
def test_buffers_that_no_pass_reads_or_that_the_state_holds_may_differ(tmp_path, make):
    one = game(make())
    other = game(used(make()))
    assert run(tmp_path / "run.pt", stop, game=one, y0=one.init()).status == "stopped"
    resumed = run(tmp_path / "run.pt", game=other, y0=one.init())
    assert torch.equal(resumed.ys, run(None, game=one, y0=one.init()).ys)


SCALE = 1.0
TABLE = SimpleNamespace(scale=1.0, other=0)


def reads(n, generator):
    return SCALE * normal(n, generator)


def calls(n, generator):
    return reads(n, generator) + 1


def reads_attribute(n, generator):
    return TABLE.scale * normal(n, generator)


GLOBALS = {
    "read": (reads, "SCALE", 2.0),
    "read by a function that is called": (calls, "SCALE", 2.0),
    "an attribute that is read": (reads_attribute, "TABLE", SimpleNamespace(scale=2.0, other=0)),
}


@pytest.mark.parametrize("function, name, value", GLOBALS.values(), ids=GLOBALS)
def test_a_changed_global_is_refused(tmp_path, monkeypatch, function, name, value):
    path = tmp_path / "run.pt"
    run(path, stop, data=function)
    with monkeypatch.context() as patched:
        patched.setitem(globals(), name, value)
        with pytest.raises(ArgumentError, match=r"^data: got "):
            run(path, data=function)
    monkeypatch.setattr(TABLE, "other", 1)  # which no function reads
    assert run(path, data=function).status == "finished"


def tableaus(monkeypatch):
    """Two solvers of one name, as two versions of a script register them."""
    for weights in ([1 / 4, 3 / 4], [0.0, 1.0]):
        node = 1 / (2 * weights[1])
        monkeypatch.setattr(table, "_registered", {})
        ours = {name: cls for name, cls in torchdiffeq_backend.OURS.items() if name != "of_two_stages"}
        monkeypatch.setattr(torchdiffeq_backend, "OURS", ours)
        odegan.solvers.register("of_two_stages", a=[[], [node]], b=weights, c=[0, node], order=2)
        yield


def hooks(monkeypatch):
    for factor in (1.0, 2.0):
        handle = register_module_forward_hook(lambda module, inputs, output, factor=factor: factor * output)
        yield
        handle.remove()


AROUND = {"a solver of the same name": tableaus, "a hook on all modules": hooks}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_a_change_around_the_run_is_refused(tmp_path, monkeypatch, around):
    path = tmp_path / "run.pt"
    given = {"solver": "of_two_stages"} if around is tableaus else {}
    changes = around(monkeypatch)
    next(changes)
    run(path, stop, **given)
    assert run(path, stop, **given).status == "stopped"
    next(changes)
    with pytest.raises(ArgumentError, match=r"run.pt"):
        run(path, **given)
    assert list(changes) == []


def drawn_from(rows):
    return lambda n, generator: torch.as_tensor(rows())[torch.randint(24, (n,), generator=generator)]


def archive(folder, scale):
    np.savez(folder / f"{scale}.npz", x=scale * X.numpy())
    kept = np.load(folder / f"{scale}.npz")
    return drawn_from(lambda: kept["x"])


def frame(folder, scale):
    table = pytest.importorskip("pandas").DataFrame(scale * X.numpy(), columns=["a", "b"])
    return drawn_from(lambda: table.to_numpy())


@pytest.mark.parametrize("make", [archive, frame])
def test_tables_and_archives_are_read(tmp_path, make):
    path = tmp_path / "run.pt"
    run(path, stop, data=make(tmp_path, 1.0))
    with pytest.raises(ArgumentError, match=r"^data: got "):
        run(path, data=make(tmp_path, 2.0))
    assert run(path, data=make(tmp_path, 1.0)).status == "finished"


def test_the_file_does_not_grow_with_the_data(tmp_path):
    sizes = []
    for n in (20, 20_000):
        x = np.random.default_rng(0).normal(size=(n, 2)).astype("float32")
        run(tmp_path / f"{n}.pt", data=Items(torch.from_numpy(x), lambda item, x=x: item))
        sizes.append((tmp_path / f"{n}.pt").stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 200


class Opened(Dataset):
    """A data set around an open file, with more items than are read to tell it."""

    def __init__(self, file):
        self.file = file

    def __len__(self):
        return 20_000

    def __getitem__(self, i):
        return X[i % len(X)]


class Named(Opened):
    version = 0

    def __odegan_fingerprint__(self):
        return {"version": self.version}


@pytest.fixture
def opened(tmp_path):
    with (tmp_path / "x").open("w") as file:
        yield Opened(file)


def test_what_cannot_be_read_is_named_at_the_start_and_asked_for(tmp_path, opened):
    path = tmp_path / "run.pt"
    first = r"^checkpoint: cannot tell whether data.*Opened\) .* give fingerprint=.*'force'"
    with pytest.warns(UserWarning, match=first) as said:
        run(path, stop, data=opened)
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    with pytest.raises(ArgumentError, match=r"^checkpoint: cannot tell whether data.*resume='force'"):
        run(path, data=opened)
    with pytest.raises(ArgumentError, match=r"^seed: got 1"):
        run(path, data=opened, resume="force", seed=1)
    assert run(path, data=opened, resume="force").status == "finished"


@pytest.mark.filterwarnings("error")
def test_the_users_word_stands_for_what_cannot_be_read(tmp_path, opened):
    path = tmp_path / "run.pt"
    run(path, stop, data=opened, fingerprint="x, May")
    with pytest.raises(ArgumentError, match=r"^fingerprint: got 'x, June', but .* with 'x, May'"):
        run(path, data=opened, fingerprint="x, June")
    assert run(path, data=opened, fingerprint="x, May").status == "finished"


@pytest.mark.filterwarnings("error")
def test_an_object_may_say_what_it_is(tmp_path, opened):
    path = tmp_path / "run.pt"
    one = Named(opened.file)
    other = Named(None)
    run(path, stop, data=one)
    other.version = 2
    with pytest.raises(ArgumentError, match=r"^data: got .*'version': 2.*, but .* with .*'version': 0|got 2 \(in "):
        run(path, data=other)
    other.version = 0
    assert run(path, data=other).status == "finished"


def test_values_are_shown_where_a_person_can_read_them(tmp_path):
    run(tmp_path / "run.pt", stop, data=closure(1.5))
    with pytest.raises(ArgumentError, match=r"^data: got 2.5 \(in closure.inner.closure.scale\), but .* with 1.5"):
        run(tmp_path / "run.pt", data=closure(2.5))
