"""Importing the package: what it shows, and what it leaves for later."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import odegan
from odegan.utils import autodiff

SLOW = ("scipy.integrate", "scipy.optimize", "torch._dynamo", "matplotlib", "sklearn")


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_dir_shows_the_public_names_alone():
    assert sorted(dir(odegan)) == sorted([*odegan.__all__, "plots"])
    assert [name for name in dir(odegan) if name.startswith("_")] == ["__version__"]


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


def test_every_folder_is_reached_from_the_package():
    """In a fresh interpreter, where no test has imported it already."""
    folders = sorted(p.parent.name for p in Path(odegan.__file__).parent.glob("*/__init__.py"))
    assert len(folders) > 10
    wanted = [*(f"odegan.{name}" for name in folders), "odegan.solvers.stability", "odegan.games.closed_form"]
    loaded_by("import odegan\n" + "\n".join(wanted))


def test_an_unknown_name_is_told_as_such():
    with pytest.raises(AttributeError, match="module 'odegan' has no attribute 'odeint_gans'"):
        odegan.odeint_gans  # noqa: B018


@pytest.mark.parametrize(
    "statement, allowed",
    [
        ("import torch, odegan", ()),
        ("import torch, odegan; odegan.gan(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))", ()),
        ("import odegan; odegan.odeint_gan", ("scipy",)),  # which torchdiffeq imports
    ],
)
def test_importing_takes_little_more_than_torch(statement, allowed):
    added = loaded_by(statement) - loaded_by("import torch")
    assert not {name for name in added if name.startswith(SLOW) and name.partition(".")[0] not in allowed}


def test_the_mark_is_the_one_of_the_public_decorator():
    def marked() -> bool:
        return True

    torch.compiler.assume_constant_result(marked)
    assert vars(marked) == vars(autodiff.under_vmap)
