"""The wheel, installed into an environment of its own, away from the repository."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import odegan

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

RUN = """
import torch, odegan
game = odegan.gan(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
run = {"data": torch.randn(20, 2), "batch_size": 5, "solver": "heun2", "step_size": 0.1}
print(odegan.odeint_gan(game, game.init(seed=0), steps=2, **run))
print(odegan.__file__)
"""


def pip(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An empty environment with the wheel alone, which finds the dependencies in this one."""
    folder = tmp_path_factory.mktemp("wheel")
    built = pip("wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    if built.returncode and "hatchling" in built.stderr:
        pytest.skip("the package's build backend cannot be installed here")
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env/bin/python"
    installed = pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    assert installed.returncode == 0, installed.stderr
    (packages,) = (folder / "env/lib").glob("python*/site-packages")
    # A line of a .pth file is a folder only: its own .pth files, as that of an editable installation, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def called(home: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(home / "env/bin" / program), *words], cwd=home, env=plain, capture_output=True, text=True
    )


def test_the_library_runs(home):
    done = called(home, "python", "-c", RUN)
    assert done.returncode == 0, done.stderr
    solution, file = done.stdout.splitlines()
    assert solution.startswith("Solution(finished at t = 0.2;")
    assert Path(file).is_relative_to(home / "env")


def test_the_module_is_the_command(home):
    assert called(home, "python", "-m", "odegan", "--version").stdout == f"odegan {odegan.__version__}\n"


COMMANDS = {
    "--version": (0, f"odegan {odegan.__version__}\n", ""),
    "rotational --quick --no-progress --output out": (0, "summary: out/summary.md", ""),
    "rotational --quik": (
        2,
        "",
        "odegan rotational: Unrecognized options: --quik (did you mean --quick?); see --help\n",
    ),
    "images presetz": (2, "", "odegan images: command: got 'presetz'"),
    "images presets nothing": (2, "", "odegan images presets: preset: got 'nothing'"),
    "mog16 --help": (0, "usage: odegan mog16", ""),
}


@pytest.mark.parametrize("command, ends", COMMANDS.items(), ids=COMMANDS)
def test_the_command_runs_and_is_called_by_its_name(home, command, ends):
    code, printed, said = ends
    done = called(home, "odegan", *command.split())
    assert done.returncode == code, done.stderr
    assert printed in done.stdout
    assert said in done.stderr
    assert "python -m experiments" not in done.stderr
