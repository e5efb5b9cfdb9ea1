"""Every wrong input is one line that names the argument, shows what came and says what it may be."""

import ast
import inspect
from importlib import metadata
from pathlib import Path

import pytest
import torch

import odegan
from campaign import wrong_inputs
from campaign.wrong_inputs import CASES, Case
from experiments.framework import publishing
from odegan import games, penalties

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("library_solvers")  # their names are in the messages
ROOT = Path(__file__).parents[2]
CALLS = [ast.parse(case.input, mode="eval") for case in CASES if not case.is_command]
SAID: dict[Case, str] = {}


@pytest.fixture(scope="module", autouse=True)
def at_a_desk():
    with wrong_inputs.desk() as folder:
        yield folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.input[:60])
def test_one_line_says_it_all(case, at_a_desk):
    before = sorted(at_a_desk.rglob("*"))
    SAID[case] = wrong_inputs.message(case)
    assert wrong_inputs.shortcomings(case, SAID[case]) == []
    assert sorted(at_a_desk.rglob("*")) == before


def test_the_page_is_the_table():
    """Some messages quote torch or tyro: the page has those of the pinned versions."""
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    if any(metadata.version(name).partition("+")[0] != pins[name] for name in ("torch", "tyro", "numpy")):
        pytest.skip("other versions than those of constraints.txt")
    if len(SAID) < len(CASES):
        pytest.skip("needs the messages of all cases")
    committed = ROOT / "docs/results/reliability_wrong_inputs.md"
    parts = wrong_inputs.parts(SAID)
    assert committed.read_text() == publishing.page(wrong_inputs.results(SAID), wrong_inputs.TITLE, parts)


def test_no_case_twice():
    inputs = [case.input for case in CASES]
    assert len(inputs) == len(set(inputs)) >= 130


def called() -> set[str]:
    """The last names of everything that the table calls."""
    nodes = [node.func for tree in CALLS for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in nodes}


# Not functions that a user gives arguments to: results, and what a run itself makes.
RESULTS = {"ArgumentError", "Info", "LostRankError", "NonFiniteError", "Solution", "State", "Batch", "__version__"}


def test_the_whole_public_surface_is_in_the_table():
    wrappers = {"odeint_gan": "run"}  # the tables' own names for what they call
    parts = {
        "callbacks",
        "data",
        "export",
        "flows",
        "games",
        "losses",
        "metrics",
        "nets",
        "penalties",
        "plots",
        "schedules",
        "solvers",
    }
    public = {wrappers.get(name, name) for name in odegan.__all__ if name not in RESULTS | parts}
    assert public - called() == set()
    assert set(penalties.names()) - called() == set()
    assert {"dirac", "gaussian", "gmm_tv", "quadratic"} <= {name for name in called() if hasattr(games, name)}


def test_every_argument_of_a_run_is_in_the_table():
    given = {
        keyword.arg
        for tree in CALLS
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    }
    assert set(inspect.signature(odegan.odeint_gan).parameters) - given == set()


def test_every_experiment_and_the_benchmarks_are_in_the_table():
    commands = {f"experiments.{path.parent.name}" for path in (ROOT / "experiments").glob("*/__main__.py")}
    assert {case.input.split()[0] for case in CASES if case.is_command} == commands | {"benchmarks"}


def test_a_vague_message_falls_short():
    case = Case("Games", "games.bilinear(3)", "loss", ("3", "one of"))
    assert wrong_inputs.shortcomings(case, "got 3\nhere") == [
        "is not one line",
        "does not name loss",
        "does not say one of",
    ]


def test_what_is_not_refused_is_noticed():
    with pytest.raises(AssertionError, match="was not refused"):
        wrong_inputs.message(Case("Games", "games.bilinear()", "", ()))
