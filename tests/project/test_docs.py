"""What the documentation shows is what happens: doctests, and every python block runs as pasted."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import odegan
from tests import forked

ROOT = Path(__file__).parents[2]
MODULES = ["odegan", *(m.name for m in pkgutil.walk_packages(odegan.__path__, "odegan."))]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [(page.relative_to(ROOT), i, code) for page in PAGES for i, code in enumerate(FENCE.findall(page.read_text()))]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name, library_solvers):
    if name.startswith(("odegan.plots", "odegan.metrics")):
        pytest.importorskip("matplotlib")
        pytest.importorskip("sklearn")
    failures, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failures == 0


def test_doctests_are_found():
    found = doctest.DocTestFinder().find(odegan.solvers.get)
    assert sum(len(test.examples) for test in found) > 0


# As ``python SCRIPT`` runs it; its warnings are errors.
PASTED = """
import runpy, sys, warnings
warnings.filterwarnings("error", category=UserWarning, module="__main__")
sys.argv = [path] = sys.argv[1:]
runpy.run_path(path, run_name="__main__")
"""


def setting(page: Path, number: int) -> str:
    """What a block may take as given: those that go on from an earlier one of the page come after it."""
    earlier = [code for where, i, code in BLOCKS if where == page and i < number]
    return "\n".join(earlier)


@pytest.mark.parametrize("page, number, code", BLOCKS, ids=[f"{page}-{i}" for page, i, _ in BLOCKS])
def test_python_blocks_run_as_pasted(page, number, code, tmp_path):
    script = tmp_path / "block.py"
    alone = "import odegan" in code or "from odegan" in code
    script.write_text(code if alone else setting(page, number) + GIVEN + code)
    done = forked.run("-c", PASTED, script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


OTHERS = re.compile(r"^```py\n(.*?)^```$", re.DOTALL | re.MULTILINE)
IMPORTS = sorted(
    {
        (module, name.strip())
        for page in PAGES
        for code in OTHERS.findall(page.read_text())
        for module, names in re.findall(r"^from ((?:odegan|experiments)[\w.]*) import (.+)$", code, re.MULTILINE)
        for name in names.split(",")
    }
)


@pytest.mark.parametrize("module, name", IMPORTS)
def test_blocks_that_cannot_run_import_what_there_is(module, name):
    exec(f"from {module} import {name}", {})


# Fragments without an import speak of a batch that the reader has.
GIVEN = "\nbatch = None\n"


def test_pages_have_blocks():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("package", ["penalties", "games", "data", "metrics", "flows"])
def test_the_api_has_functions_that_are_named_as_their_module(package):
    """Of two things with one name the page's tool takes the module, and leaves out the function without a word."""
    shown = (ROOT / "docs/api.md").read_text().splitlines()
    home = importlib.import_module(f"odegan.{package}")
    found = {m.name: getattr(home, m.name, None) for m in pkgutil.iter_modules(home.__path__)}
    paths = [f"{thing.__module__}.{name}" for name, thing in found.items() if callable(thing)]
    assert [path for path in paths if f"::: {path}" not in shown] == []


def test_the_api_has_every_pair_of_networks():
    shown = (ROOT / "docs/api.md").read_text().splitlines()
    pairs = [m for m in vars(odegan.nets).values() if hasattr(m, "Generator") and hasattr(m, "Discriminator")]
    assert len(pairs) >= 8
    assert [m.__name__ for m in pairs if f"::: {m.__name__}" not in shown] == []
