"""The experiments' quick forms through the command line: what they write, refuse, and resume."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

pytest.importorskip("tyro")

from experiments import __main__ as entry
from experiments.framework import mixture, runner
from experiments.framework.solver_options import SolverOptions
from experiments.images import presets
from experiments.images.options import Train
from experiments.mog16 import experiment as mog16
from experiments.mog16.options import SETTINGS, Mog16
from experiments.rotational import experiment as rotational
from odegan import ArgumentError
from tests.experiments.tiny import paths_in

ENTRIES = {
    "rotational": lambda arguments: entry.main(["rotational", *arguments]),  # as ``odegan rotational``
    "mog16": mog16.main,
}
EXPERIMENTS = ("rotational", "mog16")
FIGURES = {
    "rotational": {"spirals", "thresholds", "frozen"},
    "mog16": {"density", "modes", "quality"},
    "mog16 --compare": {
        *("density", "modes", "quality", "compared_modes", "compared_quality", "compared_density"),
        *("bars_modes", "bars_quality", "bars_kl", "step_error"),
    },
}


def call(command: str, folder: Path, *more: str) -> int:
    name, *arguments = command.split()
    return ENTRIES[name]([*arguments, "--quick", "--no-progress", "--output", str(folder), *more])


def summary(folder: Path) -> list[dict]:
    rows = json.loads((folder / "summary.json").read_text())
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


SLOW = {"mog16 --compare"}


@pytest.fixture(scope="module", params=[pytest.param(c, marks=[pytest.mark.slow] * (c in SLOW)) for c in FIGURES])
def quick(request, tmp_path_factory) -> tuple[str, Path, str]:
    """(command, folder, what it printed) of every quick form, run once."""
    folder = tmp_path_factory.mktemp("quick") / "run"
    printed = io.StringIO()
    said = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        assert call(request.param, folder) == 0
    assert paths_in(said.getvalue(), folder)[:1] == [folder]
    assert [path for path in paths_in(said.getvalue() + printed.getvalue(), folder) if not path.exists()] == []
    return request.param, folder, printed.getvalue()


def test_quick_form_writes_everything(quick: tuple[str, Path, str]) -> None:
    command, folder, printed = quick
    config = json.loads((folder / "config.json").read_text())
    assert config["options"]["quick"] is True
    assert set(config["versions"]) == {"odegan", "torch", "torchdiffeq"}
    assert config["command"].startswith(f"python -m experiments.{command}")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert rows
    assert all("run" in row for row in rows)
    pictures = {path.stem: imread(path) for path in (folder / "figures").glob("*.png")}
    assert pictures.keys() == FIGURES[command]
    assert all(picture[..., :3].std() > 0.02 for picture in pictures.values())
    table = (folder / "summary.md").read_text()
    for row in summary(folder):
        first = next(iter(row.values()))
        assert first in table
        assert first in printed
    assert printed.endswith(f"summary: {folder / 'summary.md'}\nfigures: {folder / 'figures'}\n")
    assert "these numbers mean nothing" in printed


def test_summary_holds_what_the_experiment_claims(quick: tuple[str, Path, str]) -> None:
    command, folder, _ = quick
    CLAIMS[command](summary(folder))


def thresholds_are_the_closed_forms(rows: list[dict]) -> None:
    named = {row["solver"]: row for row in rows}
    assert set(named) == set(rotational.fixed_solvers())
    for row in rows:
        assert row["measured b"] == pytest.approx(row["closed form b"], rel=0.01)
        assert row["frozen: distance from Euler"] < 1e-12
        assert row["frozen: norm after 200 steps"] > 2
    # The numbers at h = 0.01 and a = 1; Euler's is sqrt(2 a / h - a^2).
    for solver, threshold in {"euler": 199**0.5, "heun2": 54.96, "rk4": 283.6}.items():
        assert named[solver]["closed form b"] == pytest.approx(threshold, rel=1e-3)


def every_setting_spends_its_budget(rows: list[dict]) -> None:
    for row in rows:
        assert 48 <= row["evaluations"] <= 64
        assert row["diverged"] == "0 of 2"


# Optimizers, players that move in turn or with a memory, and a solver that chooses its steps.
WITHOUT_ERROR = {"adam", "rmsprop", "alternating", "optimistic", "extragradient", "dopri5"}


def every_setting_is_there(rows: list[dict]) -> None:
    assert [row["setting"] for row in rows] == list(SETTINGS)
    unknown = {row["setting"] for row in rows if row["step error"] is None}
    assert unknown == {name for name in SETTINGS if name.split(",")[0] in WITHOUT_ERROR}
    every_setting_spends_its_budget(rows)


CLAIMS = {
    "rotational": thresholds_are_the_closed_forms,
    "mog16": every_setting_spends_its_budget,
    "mog16 --compare": every_setting_is_there,
}


HELP = {
    "all": ("seed", "device", "output", "quick", "resume", "progress", "docs"),
    "rotational": ("damping", "rotation", "step-size"),
    "mog16": (
        *(
            "solver",
            "step-size",
            "refresh",
            "placement",
            "players",
            "penalty",
            "rates",
            "rtol",
            "atol",
            "clip",
            "option",
        ),
        *("seeds", "evaluations", "full", "compare", "settings", "compile"),
    ),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_help_names_and_explains_the_options(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        ENTRIES[name](["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"--{option}" in printed for option in HELP["all"])
    assert all(f"--{option}" in printed for option in HELP[name])
    assert "Seed of everything random" in printed


def test_wrong_option_in_a_process_shows_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.rotational", "--step-size", "zero", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--step-size" in done.stderr


@pytest.mark.parametrize(
    "name, module",
    [
        ("dirac", "dirac.experiment"),
        pytest.param("dirac", "dirac.response", marks=pytest.mark.slow),
        ("gaussian", "gaussian.experiment"),
        ("rotational", "framework.planar_fields"),
        ("dual_flow_scheme", "dual_flow_scheme.experiment"),
    ],
)
def test_ctrl_c_in_a_short_solution_is_no_result(name: str, module: str, tmp_path: Path, monkeypatch, capsys) -> None:
    home = importlib.import_module(f"experiments.{module}")
    original = home.odeint_gan

    def interrupted(*args, **given):
        return original(*args, **given, callback=lambda state, info: signal.raise_signal(signal.SIGINT))

    monkeypatch.setattr(home, "odeint_gan", interrupted)
    main = importlib.import_module(f"experiments.{name}.experiment").main
    assert main(["--quick", "--no-progress", "--output", str(tmp_path / "run")]) == 130
    assert not (tmp_path / "run/summary.json").exists()
    assert "--resume" in capsys.readouterr().err


def test_every_experiment_asks_whether_its_solution_finished() -> None:
    folder = Path(runner.__file__).parents[1]
    homes = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}
    solving = {
        name for name, text in homes.items() if re.search(r"^from odegan import .*\bodeint_gan\b", text, re.MULTILINE)
    }
    assert len(solving) > 10
    assert {name for name in solving if "finished(" not in homes[name]} == {"framework/mixture.py"}  # whose callers ask


@pytest.mark.parametrize("solver, intervals", [("heun2", 5), ("dopri5", 2)])
def test_resumed_after_ctrl_c_is_the_uninterrupted_run(
    solver: str, intervals: int, tmp_path: Path, monkeypatch, capsys
) -> None:
    options = ("--solver", solver, "--seeds", "2")
    assert call("mog16", tmp_path / "whole", *options) == 0
    calls = []
    original = mixture.Budget.__call__

    def interrupting(self, state, info) -> bool:
        calls.append(state.t)
        if len(calls) == intervals:
            signal.raise_signal(signal.SIGINT)
        return original(self, state, info)

    monkeypatch.setattr(mixture.Budget, "__call__", interrupting)
    assert call("mog16", tmp_path / "broken", *options) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (tmp_path / "broken/summary.json").exists()
    with (tmp_path / "broken/metrics.jsonl").open("a") as file:
        file.write('{"run": "cut sh')
    assert call("mog16", tmp_path / "broken", *options, "--resume") == 0
    assert summary(tmp_path / "broken") == summary(tmp_path / "whole")
    metrics = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("broken", "whole")]
    assert sorted(metrics[0].splitlines()) == sorted(metrics[1].splitlines())


def test_quick_is_below_what_was_given_by_hand(tmp_path: Path) -> None:
    command = ["--quick", "--seeds=3", "--samples", "64", "--full", "--no-progress", "--output", str(tmp_path / "run")]
    assert mog16.main(command) == 0
    used = json.loads((tmp_path / "run/config.json").read_text())["options"]
    assert {name: used[name] for name in ("seeds", "samples", "full", "evaluations", "penalty")} == {
        "seeds": 3,
        "samples": 64,
        "full": False,
        "evaluations": 64,
        "penalty": ["generator_gradient:0.07"],
    }


def test_options_become_the_arguments_of_odeint_gan() -> None:
    given = SolverOptions(
        solver="adam", step_size=1e-3, refresh="never", penalty=("generator_gradient:0.5",), option=("betas=0.5,0.9",)
    ).keywords()
    assert given["options"] == {"betas": (0.5, 0.9)}
    assert given["refresh"] == float("inf")
    assert repr(given["penalties"]) == "[generator_gradient(0.5)]"
    adaptive = SolverOptions(solver="dopri5", step_size=0.2).keywords()
    assert (adaptive["step_size"], adaptive["refresh"]) == (None, 0.2)
    assert Mog16(penalty=("none",)).keywords()["penalties"] == []
    with pytest.raises(ArgumentError, match="refresh"):
        SolverOptions(refresh="x").keywords()


def test_draw_has_every_mode_equally_often() -> None:
    x = mixture.draw(64, torch.Generator().manual_seed(0))
    nearest = torch.cdist(x, mixture.MODES).argmin(1)
    assert torch.bincount(nearest).tolist() == [4] * 16
    assert torch.cdist(x, mixture.MODES).amin(1).max() < 6 * mixture.SIGMA


def test_a_run_that_diverges_says_so(tmp_path: Path, capsys) -> None:
    assert call("mog16", tmp_path, "--solver", "euler", "--step-size", "1e20", "--penalty", "none") == 3
    assert capsys.readouterr().err.splitlines()[-1] == "python -m experiments.mog16: diverged: euler (2 of 2)"
    (row,) = summary(tmp_path)
    assert row["diverged"] == "2 of 2"
    assert row["modes covered"] == [0.0, 0.0]


def test_config_has_what_a_preset_says() -> None:
    used = Train(preset="digits", batch_size=16).used()
    preset = presets.get("digits")
    assert used["batch_size"] == 16
    assert (used["solver"], used["step_size"], used["steps"]) == (preset.solver, preset.step_size, preset.steps)
