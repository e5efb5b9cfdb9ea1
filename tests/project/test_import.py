"""Importing the package: what it shows, and what it leaves for later."""

import ast
import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

import odegan
from odegan.utils import autodiff

SLOW = ("scipy.integrate", "scipy.optimize", "torch._dynamo", "matplotlib", "sklearn")


# Each runs in a fork of a new interpreter that has imported torch and odegan, and nothing else.
FOLDERS = sorted(p.parent.name for p in Path(odegan.__file__).parent.glob("*/__init__.py"))
STATEMENTS = {
    "the package": "pass",
    "gan": "odegan.gan(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))",
    "odeint_gan": "odegan.odeint_gan",
    "plots": "import odegan.plots as p; p.bars(['a'], [1.0])",
    "nets": "sys.modules.update(dict.fromkeys(['sklearn', 'torchmetrics', 'matplotlib', 'tyro'])); import odegan.nets",
    "folders": "\n".join(f"odegan.{path}" for path in [*FOLDERS, "solvers.stability", "games.closed_form"]),
}
INTERPRETER = """
import os, sys, torch
print(*sys.modules, flush=True)
import odegan
for statement in sys.argv[1:]:
    if os.fork() == 0:
        exec(statement)
        print(*sys.modules, flush=True)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"failed: {statement}")
"""


@pytest.fixture(scope="module")
def loaded():
    """What was done -> the modules that were there afterwards; "torch" after its import alone."""
    command = [sys.executable, "-c", INTERPRETER, *STATEMENTS.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(["torch", *STATEMENTS], map(set, map(str.split, done.stdout.splitlines())), strict=True))


def test_dir_shows_the_public_names_alone():
    assert sorted(dir(odegan)) == sorted([*odegan.__all__, "plots"])
    assert [name for name in dir(odegan) if name.startswith("_")] == ["__version__"]


@pytest.mark.parametrize("name", [name for name in dir(odegan) if isinstance(getattr(odegan, name), types.ModuleType)])
def test_dir_of_its_parts_shows_their_public_names_alone(name):
    part = getattr(odegan, name)
    assert dir(part) == sorted(part.__all__)
    assert all(hasattr(part, one) for one in part.__all__)


def test_every_public_name_is_there_and_known_to_type_checkers():
    source = ast.parse(Path(odegan.__file__).read_text())
    (checked,) = [node for node in source.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    declared = {
        alias.name: f"{node.module}.{alias.name}"
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared.keys() == set(dir(odegan)) - {"__version__"}
    for name, path in declared.items():
        module, _, attribute = path.rpartition(".")
        home = importlib.import_module(module)
        assert getattr(odegan, name) is getattr(home, attribute)


def test_every_folder_is_reached_from_the_package(loaded):
    """In a fresh interpreter, where no test has imported it already."""
    assert len(FOLDERS) > 10
    assert {f"odegan.{name}" for name in FOLDERS} <= loaded["folders"]


def test_networks_need_no_extra(loaded):
    assert "odegan.nets" in loaded["nets"] - loaded["the package"]


def test_figures_leave_pyplot_alone(loaded):
    assert "matplotlib.figure" in loaded["plots"]
    assert "matplotlib.pyplot" not in loaded["plots"]


def test_an_unknown_name_is_told_as_such():
    with pytest.raises(AttributeError, match="module 'odegan' has no attribute 'odeint_gans'"):
        odegan.odeint_gans  # noqa: B018


@pytest.mark.parametrize(
    "done, allowed",
    [("the package", ()), ("gan", ()), ("odeint_gan", ("scipy",))],  # which torchdiffeq imports
)
def test_importing_takes_little_more_than_torch(loaded, done, allowed):
    added = loaded[done] - loaded["torch"]
    assert "odegan" in added
    assert not {name for name in added if name.startswith(SLOW) and name.partition(".")[0] not in allowed}


def test_the_mark_is_the_one_of_the_public_decorator():
    def marked() -> bool:
        return True

    torch.compiler.assume_constant_result(marked)
    assert vars(marked) == vars(autodiff.under_vmap)
