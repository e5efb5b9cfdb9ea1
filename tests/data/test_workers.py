"""Worker processes make the same minibatches to the bit, say what went wrong, and end with the run."""

import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import odegan
from odegan import ArgumentError
from odegan.data.minibatches import Minibatches
from odegan.data.workers import Prefetched
from tests import forked

torch.set_num_threads(1)


class Noisy(Dataset):
    """Items with noise from torch's global generator, as random transforms draw it."""

    def __init__(self, n=23):
        self.x = torch.randn(n, 2, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + 0.1 * torch.randn(2), i


class Odd(ValueError):
    """Does not survive pickling."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Broken(Noisy):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def __getitem__(self, i):
        if i == 7:
            raise self.error
        return super().__getitem__(i)


class Logged:
    """The square of the index; writes down who made which."""

    def __init__(self, path):
        self.path = path

    def __call__(self, index):
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()} {index}\n")
        return torch.tensor(float(index) ** 2)

    def made(self):
        lines = [line.split() for line in Path(self.path).read_text().splitlines()]
        return {int(pid) for pid, _ in lines}, [int(index) for _, index in lines]


@pytest.fixture(autouse=True)
def nobody_left():
    yield
    for child in multiprocessing.active_children():
        child.join(10)  # one that was told to end may still be about it
    assert multiprocessing.active_children() == []


def run(workers, data=None, members=None, **given):
    torch.manual_seed(0)
    game = odegan.gan(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)))
    y0 = game.init() if members is None else torch.stack([game.init(seed=s) for s in range(members)])
    known = {"solver": "heun2", "step_size": 0.1, "batch_size": 5, "latent": 3, "seed": 4}
    data = Noisy() if data is None else data
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    return odegan.odeint_gan(game, y0, t, data=data, workers=workers, **known | given)


CASES = {
    "step": {},
    "stage": {"solver": "rk4", "refresh": "stage"},
    "interval": {"refresh": 0.2},
    "never": {"refresh": torch.inf},
    "never, one at a time": {"refresh": torch.inf, "players": "frozen"},
    "adaptive": {"solver": "dopri5", "step_size": None, "refresh": 0.25},
    "adam": {"solver": "adam"},
    "ensemble": {"members": 3},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_is_the_same_to_the_bit(case, workers):
    state = torch.get_rng_state()
    with_workers = run(workers, **CASES[case])
    without = run(0, **CASES[case])
    assert torch.equal(with_workers.ys, without.ys)
    assert torch.equal(with_workers.stats["losses"], without.stats["losses"])
    torch.manual_seed(0)
    assert not torch.equal(with_workers.ys[0], with_workers.ys[-1])
    torch.set_rng_state(state)


def test_the_global_generator_stays():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with Minibatches(Noisy(), 3, 5, 0, torch.empty(0), workers=2) as minibatches:
        minibatches(0)
    assert torch.equal(torch.get_rng_state(), state)


def test_in_any_order_and_never_from_the_start(tmp_path):
    make = Logged(tmp_path / "log")
    with Prefetched(make, workers=2) as prefetched:
        for index in (1000, 1001, 1002, 1002, 1003, 7, 8, 1003, 1002):
            assert prefetched(index) == index**2
    makers, indices = make.made()
    assert os.getpid() not in makers
    assert 4 <= len(makers) <= 8  # one or both of the two workers from each of 1000, 7, 1003 and 1002
    assert set(indices) <= {*range(1000, 1012), *range(7, 17)}


def test_a_resumed_run_replays_nothing(tmp_path):
    path = tmp_path / "run.pt"
    whole = run(2, players="frozen")
    part = run(2, players="frozen", callback=lambda state, info: state.t > 0.45, checkpoint=path)
    assert part.status == "stopped"
    resumed = run(1, players="frozen", checkpoint=path)
    assert resumed.status == "finished"
    assert torch.equal(resumed.ys, whole.ys)


def test_what_workers_get_is_picklable():
    minibatches = Minibatches(Noisy(), 3, 5, [1, 2], torch.empty(0), workers=1)
    make = pickle.loads(pickle.dumps(minibatches._real._made._make))
    assert torch.equal(make(6)["real"], minibatches(6).real)
    minibatches._real.close()


@pytest.mark.parametrize(
    "error, raised, message",
    [
        (ArgumentError("data: got seven; it must be less"), ArgumentError, "^data: got seven; it must be less$"),
        (KeyError("seven"), KeyError, "seven"),
        (Odd(1, 2), RuntimeError, "^Odd: 1 and 2$"),
    ],
    ids=["ours", "the data set's", "not picklable"],
)
def test_what_a_worker_raises_is_raised_here(error, raised, message):
    with pytest.raises(raised, match=message) as caught:
        run(2, data=Broken(error), batch_size=3)
    assert "in __getitem__" in str(caught.value.__cause__)
    assert multiprocessing.active_children() == []


def test_workers_end_where_a_callback_raises():
    def broken(state, info):
        assert len(multiprocessing.active_children()) == 2
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(2, callback=broken)


def test_a_worker_that_dies_ends_the_run():
    def kill(state, info):
        if workers := multiprocessing.active_children():
            os.kill(workers[0].pid, signal.SIGKILL)
        time.sleep(0.05)  # the error must not come here, in the middle of what a callback does

    with pytest.raises(ChildProcessError, match=r"^workers: a process that loads data was lost \(.+\)$"):
        run(2, callback=kill, step_size=0.01)


@pytest.mark.parametrize(
    "data, workers, message",
    [
        (torch.zeros(6, 2), 2, r"^workers: got 2; it must be 0 if data is a Tensor or a function"),
        (lambda n, generator: torch.zeros(n, 2), 1, r"^workers: got 1; it must be 0 if"),
        (TensorDataset(torch.zeros(6, 2)), -1, r"^workers: got -1; it must be a whole number >= 0"),
        (TensorDataset(torch.zeros(6, 2)), 1.5, r"^workers: got 1.5; it must be a whole number >= 0"),
    ],
)
def test_refused(data, workers, message):
    with pytest.raises(ArgumentError, match=message):
        run(workers, data=data)


def test_refused_without_data():
    with pytest.raises(ArgumentError, match=r"^data: got None; it must be given when latent, batch_size or workers is"):
        odegan.odeint_gan(odegan.games.bilinear(), torch.ones(2), torch.tensor([0.0, 1.0]), step_size=0.1, workers=2)


SCRIPT = """
import sys, time
from tests.data.test_workers import run

def step(state, info):
    print("step", flush=True)
    time.sleep(0.01)

solution = run(2, step_size=0.001, callback=step, checkpoint=sys.argv[1])
print("status", solution.status, flush=True)
"""


def start(folder):
    process = forked.Python("-c", SCRIPT, folder / "run.pt", together=True)
    for line in process.stdout:
        if line == "step\n":
            break
    return process


def gone(group, seconds):
    """Whether no process of the group is left after so many seconds at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_ctrl_c_in_a_terminal_ends_all_in_good_order(tmp_path):
    process = start(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    out = process.rest()
    assert "status interrupted" in out, out
    assert "Traceback" not in out
    assert process.wait() == 0
    assert gone(process.pid, 1)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_workers_do_not_outlive_a_killed_run(tmp_path):
    process = start(tmp_path)
    process.kill()
    assert gone(process.pid, 30)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_come_pinned_and_land_on_the_device():
    with Minibatches(Noisy(), 3, 5, 0, torch.empty(0, device="cuda"), workers=2) as minibatches:
        made = [minibatches(i) for i in range(4)]
        assert minibatches._real._made(3)["real"].is_pinned()
        assert all(batch.real.is_cuda for batch in made)
    plain = Minibatches(Noisy(), 3, 5, 0, torch.empty(0))
    assert all(torch.equal(batch.real.cpu(), plain(i).real) for i, batch in enumerate(made))
