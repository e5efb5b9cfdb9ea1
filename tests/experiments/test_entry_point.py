"""``python -m experiments`` and ``odegan``: the list of experiments, and each by its name."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

pytest.importorskip("tyro")

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


def test_an_experiment_runs_by_its_name(tmp_path, capsys):
    assert entry.main(["rotational", "--quick", "--no-progress", "--output", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run/summary.json").exists()
    assert "figures: " in capsys.readouterr().out


def test_an_unknown_name_is_one_line(capsys):
    assert entry.main(["rotation"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean 'rotational'?" in line


@pytest.mark.parametrize("missing, extra", [("tyro", "experiments"), ("matplotlib", "experiments"), ("PIL", "images")])
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
