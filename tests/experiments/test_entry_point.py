"""``python -m experiments`` and ``odegan``: the list of experiments, and each by its name."""

import doctest
import importlib
import pkgutil
import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("tyro")

import odegan
from experiments import __main__ as entry
from experiments import framework
from experiments.framework.command_line import reproducing
from tests import forked

ROOT = Path(__file__).parents[2]
FRAMEWORK = [f"experiments.framework.{one.name}" for one in pkgutil.iter_modules(framework.__path__)]


def test_every_experiment_is_listed_in_a_line(capsys):
    assert entry.main([]) == 0
    said = capsys.readouterr().out.splitlines()
    lines = {line.split()[0]: line for line in said if line.startswith("  ")}
    homes = {path.parent.name for path in (ROOT / "experiments").glob("*/__main__.py")}
    assert set(lines) == homes
    assert all(len(line.split()) > 3 for line in lines.values())


@pytest.mark.parametrize("name", sorted(entry.experiments()))
def test_every_experiment_has_a_command_line(name):
    assert callable(importlib.import_module(f"experiments.{name}.experiment").main)
    assert "import main" in (ROOT / "experiments" / name / "__main__.py").read_text()


OWN = """
from torch import nn
from odegan.nets import Pair

PAIR = Pair(
    lambda latent: nn.Sequential(nn.Linear(latent, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8))),
    lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 1)),
    size=8,
    channels=1,
)
"""


def test_an_experiment_runs_by_its_name_with_networks_from_the_folder_of_the_call(tmp_path, monkeypatch, capsys):
    """The installed ``odegan`` has its own folder, not that of the call, on the path."""
    (tmp_path / "my_module.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    command = "images train --preset digits --networks my_module:PAIR --metrics none --quick --no-progress --output run"
    assert entry.main(command.split()) == 0
    assert (tmp_path / "run/generator.pt").exists()
    assert "figures: " in capsys.readouterr().out


@pytest.mark.parametrize("words, said", [([], "one of train, compare"), (["presetz"], "did you mean 'presets'?")])
def test_a_wrong_command_of_images_names_them_all(words, said, capsys):
    assert entry.main(["images", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "interpolate, presets" in line


def test_the_version(capsys):
    assert entry.main(["--version"]) == 0
    assert capsys.readouterr().out == f"odegan {odegan.__version__}\n"


def test_python_m_odegan_is_the_command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["odegan", "--version"])
    monkeypatch.delitem(sys.modules, "experiments.__main__")  # as in a process of its own
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("odegan", run_name="__main__")
    assert capsys.readouterr().out == f"odegan {odegan.__version__}\n"


def test_an_unknown_name_is_one_line(capsys):
    assert entry.main(["rotation"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean 'rotational'?" in line


@pytest.mark.parametrize("missing, extra", [("tyro", "experiments"), ("PIL", "images")])
def test_without_the_extra_it_says_which_to_install(missing, extra):
    code = f"""
import runpy, sys
for name in [{missing!r}, *(name for name in sys.modules if name.startswith({missing!r} + "."))]:
    sys.modules[name] = None
from experiments.__main__ import main
assert main([]) == 0
sys.argv = ["images", "--help"]
runpy.run_module("experiments.images", run_name="__main__")
"""
    done = forked.run("-c", code, cwd=ROOT)
    if missing == "PIL" and done.returncode == 0:
        pytest.skip("Pillow is imported where images are read")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"pip install 'odegan[{extra}]'" in line


def test_reproducing_leaves_out_what_does_not_change_numbers():
    command = "python -m experiments.mog16 --resume --output=a --docs d --no-progress --settings 'no penalty' --seeds 3"
    assert reproducing(command) == "python -m experiments.mog16 --settings 'no penalty' --seeds 3"


@pytest.mark.parametrize("name", FRAMEWORK)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
