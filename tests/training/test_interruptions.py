"""Ctrl-C ends a run in good order; SIGKILL at any moment costs no more than the last interval, and not one bit."""

import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest
import torch

import odegan
import odegan.training.hooks
import odegan.utils.checkpoint
from odegan import games
from tests import forked

torch.set_num_threads(1)

COMMON = """
import os, random, signal, sys, time, torch, odegan
from torch import nn
torch.set_num_threads(1)
folder = sys.argv[1]

def run(checkpoint=None, average=None, steps=300, **given):
    torch.manual_seed(0)
    game = odegan.gan(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)))
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    average = average or odegan.ExponentialAverage(0.9)
    t = torch.linspace(0, 0.01 * steps, 7, dtype=torch.float64)
    known = dict(data=x, latent=3, batch_size=8, solver="adam", step_size=0.01, callback=average)
    return odegan.odeint_gan(game, game.init(), t, **(known | given), checkpoint=checkpoint, checkpoint_every=1), average

def same(one, other):
    (a, mean_a), (b, mean_b) = one, other
    rows = all(torch.equal(a.stats[k], b.stats[k]) for k in ("t", "losses", "field_norm", "step_size"))
    counts = all(a.stats[k] == b.stats[k] for k in ("nfe", "steps", "rejected"))
    return a.status == b.status and torch.equal(a.ys, b.ys) and torch.equal(mean_a.y, mean_b.y) and rows and counts
"""

CTRL_C = """
def slowly(state, info):
    print("step", flush=True)
    time.sleep(0.02)

path = folder + "/run.pt"
average = odegan.ExponentialAverage(0.9)
first, _ = run(path, average, callback=[average, slowly], steps=300)
print("status", first.status, first.stats["steps"], len(first.ys), flush=True)
print("equal", same(run(path), run()), [f for f in os.listdir(folder)])
"""

# Everything happens in children of a process that has imported torch and computed nothing: forking is cheap then.
KILLS = """
import torch.fx.experimental.symbolic_shapes  # what the first backward pass would import

path = folder + "/run.pt"


def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            print("failed", repr(error), flush=True)
        os._exit(0)
    return pid

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at_save(point, number):
    # Die half-way through writing the number-th file, before it takes its name, or right after.
    save, replace, count = torch.save, os.replace, [0]
    def dying_save(payload, file):
        count[0] += 1
        if point == "write" and count[0] == number:
            file.write(b"half of it")
            file.flush()
            die()
        save(payload, file)
    def dying_replace(old, new):
        if point == "before" and count[0] == number:
            die()
        replace(old, new)
        if point == "after" and count[0] == number:
            die()
    torch.save, os.replace = dying_save, dying_replace
    run(path)

def go_on():
    average = odegan.ExponentialAverage(0.9)
    run(path, average, callback=[average, lambda state, info: time.sleep(0.003)])

def reached():
    return torch.load(path, weights_only=True)["aux"]["index"]

random.seed(int(sys.argv[2]))
kills, indices = 0, []
for point in ["write", "before", "after"]:
    _, how = os.waitpid(child(lambda: at_save(point, 5)), 0)
    kills += os.WIFSIGNALED(how)
    indices.append(reached())
print("at saves", kills, indices, flush=True)
for _ in range(10):
    saved = os.stat(path).st_mtime_ns
    pid = child(go_on)
    while os.stat(path).st_mtime_ns == saved:  # wait until it is under way
        time.sleep(0.001)
    time.sleep(random.uniform(0.0, 0.06))
    os.kill(pid, signal.SIGKILL)
    _, how = os.waitpid(pid, 0)
    kills += os.WIFSIGNALED(how)
    indices.append(reached())
print("kills", kills, indices == sorted(set(indices)), indices[-1] < 300, indices, flush=True)

def compare():
    print("equal", same(run(path), run()), flush=True)

os.waitpid(child(compare), 0)
"""


def start(script: str, folder: object, *arguments: object) -> forked.Python:
    return forked.Python("-c", COMMON + script, folder, *arguments, cwd=folder, together=True)


def test_ctrl_c_saves_says_how_to_resume_and_resumes(tmp_path):
    process = start(CTRL_C, tmp_path)
    for line in process.stdout:
        if line == "step\n":
            break
    os.kill(process.pid, signal.SIGINT)
    out = process.rest()
    assert process.wait() == 0, out
    assert "odegan: interrupted at t = " in out
    assert f"saved to '{tmp_path / 'run.pt'}': the same call resumes it" in out
    assert "status interrupted" in out
    assert "equal True ['run.pt']" in out


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_ten_times_ends_bit_identical(tmp_path):
    out = start(KILLS, tmp_path, 0).rest()
    assert "failed" not in out
    assert "at saves 3 [4, 8, 13]" in out
    assert "kills 13 True True" in out, out
    assert "equal True" in out


def run(**given):
    t = torch.tensor([0.0, 1.0])
    return odegan.odeint_gan(games.bilinear(), torch.ones(2), t, players="frozen", step_size=0.1, **given)


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    def twice(state, info):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(callback=twice, checkpoint=tmp_path / "run.pt")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert torch.equal(run(checkpoint=tmp_path / "run.pt").ys, run().ys)


def test_without_a_checkpoint_ctrl_c_says_so(capsys):
    solution = run(callback=lambda state, info: signal.raise_signal(signal.SIGINT))
    assert (solution.status, solution.t, len(solution.ts)) == ("interrupted", 0.1, 1)
    assert "interrupted at t = 0.1; no checkpoint was asked for" in capsys.readouterr().out
    assert "no checkpoint" in solution.message


def test_a_handler_of_the_users_own_stays():
    caught = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        solution = run(callback=lambda state, info: signal.raise_signal(signal.SIGINT) if not caught else None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (solution.status, caught) == ("finished", [signal.SIGINT])


def test_runs_in_a_thread_leave_signals_alone():
    found = []
    thread = threading.Thread(target=lambda: found.append(run().status))
    thread.start()
    thread.join(60)
    assert found == ["finished"]


def test_an_error_in_a_callback_gives_ctrl_c_back():
    def broken(state, info):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(callback=broken, progress=True)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_heard_above_a_callback_that_ends_the_run(capsys):
    def both(state, info):
        signal.raise_signal(signal.SIGINT)
        return True

    assert run(callback=both).status == "interrupted"
    one_call = odegan.odeint_gan(
        games.bilinear(), torch.ones(2), torch.tensor([0.0, 1.0]), step_size=0.1, callback=both
    )
    assert one_call.status == "interrupted"
    assert capsys.readouterr().out.count("interrupted at t = 0.1") == 2


def test_ctrl_c_during_the_last_save_is_passed_on(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    save = odegan.utils.checkpoint.save

    def slow_save(*args):
        signal.raise_signal(signal.SIGINT)
        save(*args)

    with monkeypatch.context() as patched:
        patched.setattr(odegan.utils.checkpoint, "save", slow_save)
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint=path, checkpoint_every=1000)
    assert torch.load(path)["status"] == "finished"
    assert torch.equal(run(checkpoint=path).ys, run().ys)


class Gone:
    """A pipe whose reader has ended."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("progress", [False, True])
def test_ctrl_c_that_ends_the_reader_of_a_pipe_too_still_saves(tmp_path, monkeypatch, progress):
    def ctrl_c(state, info):
        if state.t > 0.45:
            monkeypatch.setattr(sys, "stdout", Gone())
            monkeypatch.setattr(sys.stderr, "write", Gone().write)
            signal.raise_signal(signal.SIGINT)

    path = tmp_path / "run.pt"
    solution = run(callback=ctrl_c, checkpoint=path, checkpoint_every=1000, progress=progress)
    monkeypatch.undo()
    assert (solution.status, torch.load(path)["status"]) == ("interrupted", "interrupted")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert torch.equal(run(checkpoint=path).ys, run().ys)


def test_ctrl_c_on_a_full_disk_does_not_say_saved(tmp_path, monkeypatch, capsys):
    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(odegan.utils.checkpoint, "save", full)
    with pytest.raises(OSError, match="No space"):
        run(checkpoint=tmp_path / "run.pt", callback=lambda state, info: signal.raise_signal(signal.SIGINT))
    assert "saved" not in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_hook_finishes_where_one_fails():
    class Failing(odegan.training.hooks.Hook):
        def finish(self, run):
            raise ZeroDivisionError

    class Other(odegan.training.hooks.Hook):
        finished = False

        def finish(self, run):
            self.finished = True

    other = Other()
    with pytest.raises(ZeroDivisionError), odegan.training.hooks.around(SimpleNamespace(), [Failing(), other]):
        pass
    assert other.finished
