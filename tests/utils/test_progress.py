"""Progress where there is no terminal: plain lines."""

import re

import torch

import odegan
from odegan import games
from odegan.utils import progress


def test_a_run_without_a_terminal_says_where_it_begins_and_ends(capsys):
    odegan.odeint_gan(
        games.bilinear(), torch.ones(2), torch.tensor([0.0, 1.0]), solver="euler", step_size=0.01, progress="spiral"
    )
    first, last = capsys.readouterr().err.splitlines()
    assert first == "spiral: t 0/1 after 0 s"
    assert re.match(r"spiral: t 1/1 after \d+ s", last)


def test_the_last_line_has_the_losses_of_the_end(capsys):
    odegan.odeint_gan(
        games.bilinear(), torch.ones(2), torch.tensor([0.0, 0.1]), solver="euler", step_size=0.1, progress="spiral"
    )
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"spiral: t 0.1/0.1 after \d+ s, loss D \S+, G \S+$", last)


def test_nothing_is_shown_where_there_is_no_stderr(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(progress.sys, "stderr", None)
        game = games.bilinear()
        t = torch.tensor([0.0, 1.0])
        solution = odegan.odeint_gan(game, torch.ones(2), t, solver="euler", step_size=0.5, progress="spiral")
        found = odegan.spectrum(game, torch.ones(2), k=1, progress=True)
    assert solution.status == "finished"
    assert found.phase_factor == float("inf")


def printed(capsys, monkeypatch, lines, *, step, seconds, count):
    """What ``lines`` prints for ``count`` updates by ``step``, which take these seconds each."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    display = lines()
    for update in range(1, count + 1):
        now[0] = seconds * update
        display.set_postfix_str(f"loss {update}")
        display.update(step)
    display.close()
    return capsys.readouterr().err.splitlines()


def test_a_line_every_tenth_of_the_run(capsys, monkeypatch):
    run = printed(
        capsys, monkeypatch, lambda: progress.Lines(10.0, "run", 0.0, "t", 0.0), step=0.1, seconds=60, count=100
    )
    expected = [f"run: t {n}/10 after {600 * n} s, loss {10 * n}" for n in range(1, 11)]
    assert run == ["run: t 0/10 after 0 s", *expected]


def test_a_resumed_run_has_the_tenths_of_the_whole(capsys, monkeypatch):
    run = printed(
        capsys, monkeypatch, lambda: progress.Lines(100.0, "run", 75.0, "t", 0.0), step=1, seconds=60, count=25
    )
    assert [line.split()[2] for line in run] == ["75/100", "80/100", "90/100", "100/100"]


def test_a_short_run_prints_a_line_a_second(capsys, monkeypatch):
    run = printed(
        capsys, monkeypatch, lambda: progress.Lines(100.0, "run", 0.0, "t", 0.0), step=1, seconds=0.025, count=100
    )
    assert [line.split()[2] for line in run] == ["0/100", "40/100", "80/100", "100/100"]


def test_a_run_of_unknown_length_prints_a_line_every_half_minute(capsys, monkeypatch):
    run = printed(
        capsys, monkeypatch, lambda: progress.Lines(None, "run", 0.0, "images", 0.0), step=1, seconds=1, count=70
    )
    assert [line.split()[2] for line in run] == ["0", "30", "60", "70"]


def test_a_terminal_and_a_notebook_have_bars(monkeypatch):
    class Terminal:
        encoding = "utf-8"

        def isatty(self):
            return True

        def write(self, text):
            pass

        def flush(self):
            pass

    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    bar = progress.display(1.0, "run", unit="t")
    bar.close()
    assert isinstance(bar, progress.tqdm)
    monkeypatch.undo()
    monkeypatch.setattr(progress, "issubclass", lambda *_: True, raising=False)
    assert isinstance(progress.display(1.0, "run", unit="t"), progress.tqdm)


def test_nothing_is_printed_before_its_delay(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    quick, slow = (progress.display(None, label, unit="products", delay=5.0) for label in ("quick", "slow"))
    quick.close()
    now[0] = 6.0
    slow.update(7)
    slow.close()
    assert capsys.readouterr().err.splitlines() == ["slow: products 7 after 6 s"]


def test_what_is_not_shown_prints_nothing(capsys):
    hidden = progress.display(2.0, "run", unit="t", shown=False)
    hidden.update(2.0)
    hidden.close()
    assert capsys.readouterr().err == ""
