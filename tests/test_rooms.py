"""The rooms of the library: who may import whom, read from the source."""

import ast
import itertools
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "odegan"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, with the names taken from packages of ours."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            parts = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= parts
            if node.module != "odegan" or len(parts) < len(node.names):
                found.add(node.module)
    return found


OURS = {name: {i for i in imports(path) if i in FILES and i != name} for name, path in FILES.items()}
THEIRS = {name: {i for i in imports(path) if not i.startswith("odegan")} for name, path in FILES.items()}


def files_of(room: str) -> list[str]:
    return [name for name in FILES if name == room or name.startswith(f"{room}.")]


def reached(name: str) -> set[str]:
    """All rooms below, through others too; the package's own __init__, which imports everything, does not count."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in OURS[waiting.pop()] - {"odegan"}:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


NETWORKS = ["odegan.network", "odegan.functional", "odegan.nets"]
DATA_SETS = ["odegan.batches"]
RUNS = ["odegan.stepper", "odegan.integrate", "odegan.run", "odegan.onecall"]
SOLVERS = ["odegan.solvers", "odegan.baselines", *RUNS]
GAMES = ["odegan.game", "odegan.games", *NETWORKS]
# DESIGN's table: a room, and those it must not know, directly or through others.
MUST_NOT_KNOW = {
    "odegan.losses": [*GAMES, *SOLVERS, *DATA_SETS],
    "odegan.checks": [*GAMES, *SOLVERS, *DATA_SETS, "odegan.losses"],
    "odegan.checkpoint": [*GAMES, *SOLVERS, *DATA_SETS],
    "odegan.game": [*SOLVERS, *DATA_SETS, *NETWORKS],
    "odegan.network": [*SOLVERS, *DATA_SETS, "odegan.nets"],
    "odegan.functional": [*SOLVERS, *DATA_SETS, "odegan.losses"],
    "odegan.games": [*SOLVERS, *DATA_SETS, *NETWORKS],
    "odegan.solvers": [*GAMES, *DATA_SETS, "odegan.field", "odegan.penalties"],
    "odegan.baselines": [*GAMES, *DATA_SETS, "odegan.field", "odegan.penalties"],
    "odegan.field": [*SOLVERS, *DATA_SETS, *NETWORKS, "odegan.games"],
    "odegan.batches": [*SOLVERS, *GAMES],
    "odegan.penalties": [*DATA_SETS, *NETWORKS, "odegan.games", "odegan.stepper", "odegan.integrate", "odegan.run"],
    "odegan.stepper": [*DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties"],
    "odegan.integrate": [*NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.run": [*NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.callbacks": [*GAMES, *SOLVERS],
    "odegan.spectrum": [*SOLVERS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.path": [*SOLVERS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.stability": [*GAMES, *RUNS, *DATA_SETS, "odegan.field", "odegan.penalties", "odegan.spectrum"],
    "odegan.stable_step": [*GAMES, *RUNS, *DATA_SETS, "odegan.field", "odegan.penalties", "odegan.spectrum"],
    "odegan.advisor": [*RUNS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.seeds": [*GAMES, *SOLVERS, *DATA_SETS],
    "odegan.replay": [*SOLVERS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.field"],
    "odegan.schedules": [*GAMES, *SOLVERS, *DATA_SETS, "odegan.penalties"],
    "odegan.averages": [*GAMES, *SOLVERS, *DATA_SETS],
    "odegan.arguments": [*RUNS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.terms": [*SOLVERS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.field"],
    "odegan.pieces": [*SOLVERS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.division": [*SOLVERS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.one_pass": [*SOLVERS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.field"],
    "odegan.derivative": [*GAMES, *SOLVERS, *DATA_SETS, "odegan.field", "odegan.penalties", "odegan.losses"],
    "odegan.normalisation": [*GAMES, *SOLVERS, *DATA_SETS, "odegan.field", "odegan.losses"],
    "odegan.execution": [*GAMES, *SOLVERS, *DATA_SETS, "odegan.field", "odegan.losses"],
    "odegan.probe": [*SOLVERS, *DATA_SETS, "odegan.game", "odegan.nets", "odegan.losses"],
    "odegan.compiling": [*GAMES, *SOLVERS, *DATA_SETS, "odegan.field", "odegan.penalties"],
    "odegan.distributed": [*GAMES, *SOLVERS, *DATA_SETS, "odegan.field", "odegan.penalties"],
    "odegan.stages": [*RUNS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.walks": [*RUNS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.clock": [*GAMES, *SOLVERS, *DATA_SETS],
    "odegan.watch": [*GAMES, *SOLVERS, *DATA_SETS],
    "odegan.solution": [*GAMES, *SOLVERS, *DATA_SETS],
    "odegan.data": [*GAMES, *SOLVERS, *DATA_SETS, "odegan.metrics", "odegan.plots"],
    "odegan.prefetch": [*GAMES, *SOLVERS, *DATA_SETS],
    "odegan.sampling": [*SOLVERS, *DATA_SETS, "odegan.nets", "odegan.metrics", "odegan.plots"],
    "odegan.unrolled": [*RUNS, *DATA_SETS, *NETWORKS, "odegan.games", "odegan.penalties", "odegan.losses"],
    "odegan.flows": [*RUNS, *DATA_SETS, *NETWORKS, "odegan.metrics", "odegan.plots"],
    "odegan.nets": [*SOLVERS, *DATA_SETS, "odegan.game", "odegan.metrics", "odegan.plots"],
    "odegan.metrics": [*SOLVERS, *DATA_SETS, "odegan.game", "odegan.nets", "odegan.plots"],
    "odegan.plots": [*SOLVERS, *DATA_SETS, "odegan.game", "odegan.nets", "odegan.metrics"],
}


@pytest.mark.parametrize("room", MUST_NOT_KNOW)
def test_rooms_know_only_what_they_may(room):
    assert files_of(room)
    known = set().union(*(reached(name) for name in files_of(room))) - set(files_of(room))
    forbidden = set(itertools.chain.from_iterable(files_of(other) for other in MUST_NOT_KNOW[room]))
    assert known & forbidden - {room} == set()


def test_no_cycles():
    within = {name: reached(name) for name in FILES if name != "odegan"}
    assert [name for name, known in within.items() if name in known] == []


def test_nothing_imports_the_front_door():
    assert [name for name, known in OURS.items() if "odegan" in known and name != "odegan"] == []


def test_losses_know_no_modules():
    assert not {i for i in THEIRS["odegan.losses"] if i.startswith("torch.nn") and i != "torch.nn.functional"}


def test_torchdiffeqs_private_modules_have_one_room():
    private = [name for name, known in THEIRS.items() if any(i.startswith("torchdiffeq._") for i in known)]
    assert private == ["odegan.solvers"]


@pytest.mark.parametrize("library", ["matplotlib", "sklearn", "torchmetrics", "tyro"])
def test_extras_stay_out_of_the_core(library):
    users = {name for name, known in THEIRS.items() if any(i.split(".")[0] == library for i in known)}
    assert users <= {*files_of("odegan.metrics"), *files_of("odegan.plots")}


def test_obsolete_packages_are_not_imported():
    assert [name for name, known in THEIRS.items() if "functorch" in {i.split(".")[0] for i in known}] == []
