"""One run a checkpoint, for as long as it lives."""

import os
import signal
import textwrap
import threading

import pytest
import torch

from odegan import ArgumentError, games, odeint_gan
from odegan.utils.one_writer import OneWriter
from tests import forked

HOLD = """
    import sys, time
    import torch
    from odegan import games, odeint_gan

    def wait(state, info):
        print("running", flush=True)
        time.sleep(60)

    odeint_gan(games.bilinear(), torch.ones(2), [0.0, 1.0], solver="heun2", step_size=0.1, players="frozen",
               checkpoint=sys.argv[1], callback=wait)
"""


def run(path, callback=None):
    return odeint_gan(
        games.bilinear(),
        torch.ones(2),
        [0.0, 1.0],
        solver="heun2",
        step_size=0.1,
        players="frozen",
        checkpoint=path,
        callback=callback,
    )


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path):
    path = tmp_path / "run.pt"
    first = forked.Python("-c", textwrap.dedent(HOLD), path)
    try:
        assert first.stdout.readline() == "running\n"
        with pytest.raises(ArgumentError, match=r"^checkpoint: got .*run.pt', which another run is using") as error:
            run(path)
        assert "\n" not in str(error.value)
        os.kill(first.pid, signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        assert run(path).status == "finished"
    finally:
        first.kill()
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("name", ["run.pt", "./run.pt", "link.pt"])
def test_within_one_process_and_under_other_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.pt").symlink_to(tmp_path / "run.pt")

    def again(state, info):
        with pytest.raises(ArgumentError, match="which another run is using"):
            run(name)
        return True

    assert run(tmp_path / "run.pt", again).status == "stopped"
    assert run(name).status == "finished"


def test_a_failing_run_lets_go(tmp_path):
    def fail(state, info):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "run.pt", fail)
    (tmp_path / "other.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ArgumentError, match="cannot be read"):
        run(tmp_path / "other.pt")
    for name in ("run.pt", "other.pt"):
        OneWriter(tmp_path / name).close()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"^checkpoint: .*run.pt' could not be written \("):
        run(tmp_path / "file" / "run.pt")


def test_threads_take_turns(tmp_path):
    """However many start at once, one has it."""
    held = []
    refused = []

    def take():
        try:
            held.append(OneWriter(tmp_path / "run.pt"))
        except ArgumentError as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 7)
    held[0].close()
    assert os.listdir(tmp_path) == []
