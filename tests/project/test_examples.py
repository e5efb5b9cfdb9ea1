"""The examples run as they stand, notebooks among them, and the one about replacing optimizers is as short as it says."""

import ast
import difflib
import functools
import itertools
import re
import tempfile
from pathlib import Path

import pytest

from tests import forked

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
LAST = {
    "dcgan": "samples: (64, 1, 8, 8)",
    "dcgan_ode": "samples: (64, 1, 8, 8)",
    "odeint_gan_script": "radius of the samples: ",
    "quick_start": "samples: (5, 2)",
    "replace_optimizers": "samples: (100, 1, 8, 8)",
    "replace_optimizers_ode": "samples: (100, 1, 8, 8)",
    "stability_of_your_gan": "verdict: the field at 4 x the advised step",
    "torchdiffeq_directly": "t = 10.0: loss of D",
    "tune_by_gradient": "round 5: distance",
}
NOTEBOOKS = ["quick_start", "stability_of_your_gan"]
# Runs a notebook cell by cell, as a kernel does, and tells of every figure that would be shown.
KERNEL = """
import ast, re, sys
from pathlib import Path
cells = re.split(r"^# %%.*$", Path(sys.argv[1]).read_text(), flags=re.MULTILINE)
names = {"__name__": "__main__"}
for cell in cells:
    *before, last = ast.parse(cell).body or ast.parse("pass").body
    shown = isinstance(last, ast.Expr)
    exec(compile(ast.Module(before if shown else [*before, last], []), "cell", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if shown else None
    if hasattr(value, "_repr_png_"):
        print("shows a figure:", value._repr_png_()[1:4].decode())
"""
CELL = re.compile(r"^# %%( \[markdown\])?$", re.MULTILINE)


def test_all_examples_are_listed():
    assert {path.stem for path in EXAMPLES} == set(LAST)


@functools.cache
def output(name):
    """What an example prints, run once in a folder of its own."""
    path = EXAMPLES[0].with_name(f"{name}.py")
    words = ["-c", KERNEL, path] if name in NOTEBOOKS else [path]
    with tempfile.TemporaryDirectory() as folder:
        done = forked.run(*words, cwd=Path(folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", LAST)
def test_runs(name):
    assert output(name).splitlines()[-1].startswith(LAST[name])
    assert "nan" not in output(name)


def cells(source):
    """A notebook in the percent format -> (whether it is prose, text) of each cell; nothing may stand before the first."""
    before, *parts = CELL.split(source)
    assert before == ""
    return [(mark is not None, text.strip("\n")) for mark, text in zip(parts[::2], parts[1::2], strict=True)]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_show_figures(name):
    assert "shows a figure: PNG" in output(name)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_cells_of_prose_and_of_code(name):
    found = cells(EXAMPLES[0].with_name(f"{name}.py").read_text())
    assert len(found) >= 8
    assert found[0][0]
    assert found[0][1].startswith("# # ")
    for is_prose, text in found:
        if is_prose:
            assert all(line == "#" or line.startswith("# ") for line in text.splitlines()), text
        else:
            compile(text, name, "exec")  # a cell stands for itself: no statement goes on in the next
    assert any(before and not after for (before, _), (after, _) in itertools.pairwise(found))


def test_the_advised_step_is_true():
    """The notebook's point: at four times Heun's advised step the field explodes, at half of it it does not."""
    *_, trials = output("stability_of_your_gan").partition("positive real part\n")
    norms = {
        line.split()[0]: float(line.split()[-1]) for line in trials.splitlines() if " x the advised step: " in line
    }
    assert norms["0.5"] < 3
    assert norms["4.0"] > 10 * norms["0.5"]


def test_the_readme_shows_ten_lines_and_their_output():
    """To the last digit where that is the same in every run, and in its form where data and rounding differ."""
    root = EXAMPLES[0].parents[1]
    readme = root.joinpath("README.md").read_text()
    lines = code(EXAMPLES[0].with_name("odeint_gan_script.py"))
    assert len([line for line in lines if line]) == 10
    for page in (readme, root.joinpath("docs/index.md").read_text()):
        assert "\n".join(lines).strip() in page
    shown = re.search(r"^```text\n(Solution.*?)^```$", readme, re.DOTALL | re.MULTILINE)[1].splitlines()
    printed = output("odeint_gan_script").splitlines()
    assert shown[0] == printed[0]
    forms = [[re.sub(r"\d+\.\d\d", "x", line) for line in lines[1:]] for lines in (shown, printed)]
    assert forms[0] == forms[1]


def test_gradient_descent_through_training_lowers_the_distance():
    distances = [float(line.split()[3]) for line in output("tune_by_gradient").splitlines()]
    assert distances[-1] < 0.7 * distances[0]


def code(path):
    """The lines after the module's docstring."""
    source = path.read_text()
    docstring = ast.parse(source).body[0]
    return source.splitlines()[docstring.end_lineno :]


def changes(name):
    """The lines by which NAME_ode.py differs from NAME.py."""
    optimizers, solver = (code(EXAMPLES[0].with_name(f"{name}{end}.py")) for end in ("", "_ode"))
    return [line for line in difflib.ndiff(optimizers, solver) if line[0] in "+-"]


def test_an_ode_solver_takes_the_optimizers_place_in_under_ten_lines():
    assert 0 < len(changes("replace_optimizers")) < 10


def test_a_dcgan_script_needs_three_new_lines_in_place_of_its_optimizers_and_their_steps():
    new = [line for line in changes("dcgan") if line[0] == "+"]
    assert [line.split()[1] for line in new] == ["penalty", "stepper", "errD,"]
