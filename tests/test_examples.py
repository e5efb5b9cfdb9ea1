"""The examples run as they stand, and the one about replacing optimisers is as short as it says."""

import ast
import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
LAST = {
    "odeint_gan_script": "t = 150.0: radius of the samples",
    "replace_optimisers": "samples: (100, 1, 8, 8)",
    "replace_optimisers_ode": "samples: (100, 1, 8, 8)",
    "torchdiffeq_directly": "t = 10.0: loss of D",
}


def test_all_examples_are_listed():
    assert {path.stem for path in EXAMPLES} == set(LAST)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs(path, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(path.parents[1])}
    done = subprocess.run([sys.executable, path], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(LAST[path.stem])
    assert "nan" not in done.stdout


def code(path):
    """The lines after the module's docstring."""
    source = path.read_text()
    docstring = ast.parse(source).body[0]
    return source.splitlines()[docstring.end_lineno :]


def test_an_ode_solver_takes_the_optimisers_place_in_under_ten_lines():
    optimisers, solver = (code(EXAMPLES[0].with_name(f"replace_optimisers{end}.py")) for end in ("", "_ode"))
    changes = [line for line in difflib.ndiff(optimisers, solver) if line[0] in "+-"]
    assert 0 < len(changes) < 10, "\n".join(changes)
