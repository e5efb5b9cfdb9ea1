"""The packages of the library: who may import whom, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for top in ("odegan", "experiments", "benchmarks", "campaign")
    for path in sorted((ROOT / top).rglob("*.py"))
}
FRONT_DOOR = "odegan"  # imports everything, and nothing in the library imports it
PACKAGES = {path.parent for path in FILES.values() if path.name == "__init__.py"}


def imports(name: str) -> set[str]:
    """Every module that a file imports, anywhere in it; of names taken from a package of ours, the modules they are."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{FILES[name]} imports relatively"
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= modules
            if len(modules) < len(node.names):
                found.add(str(node.module))
    return found - {name}


IMPORTS = {name: imports(name) for name in FILES}
OURS = {name: found & FILES.keys() for name, found in IMPORTS.items()}


def package(name: str) -> str:
    """The folder that a module belongs to: ``odegan.games``, ``experiments.mog16``."""
    return ".".join(name.split(".")[:2])


def reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    """Everything that can be reached from ``start``, itself only through a circle."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for other in edges[waiting.pop()] - found - {FRONT_DOOR}:
            found.add(other)
            waiting.append(other)
    return found


# From the top down: a package imports those above it in this table alone.
ORDER = [
    *("utils", "solvers", "modules", "nets", "plots", "games", "data", "field", "penalties"),
    *("training", "analysis", "flows", "metrics", "callbacks", "export"),
]
# What a package may not know either, directly or through others.
MUST_NOT_KNOW = {
    "utils": "solvers modules games nets plots data field penalties training analysis flows metrics",
    "solvers": "modules games nets plots data field penalties training",
    "modules": "solvers games nets plots data field",
    "nets": "solvers games plots metrics data",
    "plots": "solvers games nets metrics data",
    "games": "solvers data nets",
    "data": "solvers nets plots metrics",
    "field": "data nets",
    "penalties": "data nets",
    "training": "penalties nets plots metrics",
    "analysis": "penalties nets data",
    "flows": "nets",
    "metrics": "nets training",
    "callbacks": "nets metrics",
    "export": "nets metrics data solvers field training",
}


def test_the_tables_name_every_package():
    folders = {path.name for path in PACKAGES if path.parent == ROOT / "odegan"}
    assert folders == set(ORDER) == MUST_NOT_KNOW.keys()


@pytest.mark.parametrize("folder", ORDER)
def test_imports_point_downwards(folder):
    below = {f"odegan.{other}" for other in ORDER[: ORDER.index(folder) + 1]}
    known = {package(other) for name in FILES if package(name) == f"odegan.{folder}" for other in OURS[name]}
    assert known - below == set()


@pytest.mark.parametrize("folder", ORDER)
def test_a_package_knows_only_what_it_may(folder):
    edges = {name: {other for other in found if not other.endswith("__init__")} for name, found in OURS.items()}
    known = {package(o) for name in FILES if package(name) == f"odegan.{folder}" for o in reached(name, edges)}
    assert known & {f"odegan.{other}" for other in MUST_NOT_KNOW[folder].split()} == set()


def test_no_circle_between_modules():
    assert [name for name in FILES if name in reached(name, OURS)] == []


def test_no_circle_between_folders():
    edges: dict[str, set[str]] = {}
    for name, found in OURS.items():
        edges.setdefault(package(name), set()).update({package(other) for other in found} - {package(name)})
    assert [folder for folder in edges if folder in reached(folder, edges)] == []


def test_nothing_in_the_library_imports_the_front_door():
    assert [name for name, found in OURS.items() if FRONT_DOOR in found and name.startswith("odegan.")] == []


def test_the_library_knows_no_experiment():
    outside = ("experiments", "benchmarks", "campaign", "tests")
    assert [
        n for n, found in IMPORTS.items() if n.startswith("odegan") and any(i.startswith(outside) for i in found)
    ] == []


def test_losses_know_no_modules():
    assert not {i for i in IMPORTS["odegan.games.losses"] if i.startswith("torch.nn") and i != "torch.nn.functional"}


def test_torchdiffeqs_private_modules_have_one_file():
    private = [name for name, known in IMPORTS.items() if any(i.startswith("torchdiffeq._") for i in known)]
    assert len([name for name in private if name.startswith("odegan")]) == 1
    assert all(package(name) == "odegan.solvers" for name in private)


@pytest.mark.parametrize("library", ["matplotlib", "sklearn", "torchmetrics", "torch_fidelity", "tyro"])
def test_extras_stay_out_of_the_core(library):
    users = {package(name) for name, known in IMPORTS.items() if any(i.split(".")[0] == library for i in known)}
    assert {user for user in users if user.startswith("odegan")} <= {"odegan.data", "odegan.metrics", "odegan.plots"}


def test_obsolete_packages_are_not_imported():
    assert [name for name, known in IMPORTS.items() if "functorch" in {i.split(".")[0] for i in known}] == []
