"""The package in clean environments: built, installed without extras, and tested with its oldest and newest dependencies.

    python -m campaign.versions --folder /tmp/versions --docs docs

builds wheel and source distribution, imports every module from the wheel without the extras, and runs the tests of the source
distribution once for each set of versions, one after another. Existing results in the folder are kept: a second call continues
where the first one ended. Needs the package index.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tyro.conf import Positional

from campaign.versions_cuda import without_cuda
from experiments.framework import programs, publishing
from experiments.framework.results import Results, Table

ROOT = Path(__file__).parents[1]
# Set of versions -> the file of constraints, or None for the newest that pyproject.toml allows.
SETS = {"lowest": "constraints-lowest.txt", "pinned": "constraints.txt", "newest": None}
Counts = Mapping[str, Mapping[str, int]]  # set -> outcome -> number of tests
# Every module of the wheel is imported without the extras; "needs" are those that may say, in one line, which extra they need.
IMPORTS = """
import importlib, pkgutil, odegan
done, needs = [], {}
for info in pkgutil.walk_packages(odegan.__path__, "odegan."):
    try:
        importlib.import_module(info.name)
        done.append(info.name)
    except ImportError as error:
        needs[info.name] = str(error)
print(repr((odegan.__file__, len(done), needs)))
"""


def build(folder: Path) -> Path:
    """The folder with the wheel, made from the source distribution, and the latter unpacked as ``source``."""
    target = folder / "dist"
    if not target.exists():
        python = _environment(folder / "build")
        _run([python, "-m", "pip", "install", "-q", "build"])
        _run([python, "-m", "build", "--outdir", str(target), str(ROOT)])
        with tarfile.open(next(target.glob("*.tar.gz"))) as archive:
            archive.extractall(target, filter="data")
        next(path for path in target.iterdir() if path.is_dir()).rename(target / "source")
    return target


def install(folder: Path, name: str, extras: str, constraints: str | None) -> tuple[str, dict[str, str]]:
    """The interpreter of an environment with the wheel, and the variables it needs."""
    place = folder / name
    stubs = place / "stubs"
    new = not place.exists()
    python = _environment(place)
    if new:
        limits = ["-c", str(ROOT / constraints)] if constraints else []
        _run([python, "-m", "pip", "install", "-q", "--no-deps", *limits, _torch()])
        torch = next(place.glob("lib/python*/site-packages/torch"))
        if any(torch.glob("lib/libtorch_cuda.so")):
            without_cuda(torch, stubs)
        wheel = next((folder / "dist").glob("*.whl"))
        _run([python, "-m", "pip", "install", "-q", *limits, f"{wheel}{extras}"])
    return python, {"LD_LIBRARY_PATH": str(stubs)} if stubs.exists() else {}


def test(folder: Path, name: str, python: str, variables: dict[str, str], arguments: Sequence[str]) -> str:
    """The tests of the source distribution; the last lines of pytest's report."""
    log = folder / f"{name}.log"
    if not log.exists() or not summary(log.read_text()):
        with log.open("w") as file:
            source = folder / "dist/source"
            tests = [python, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
            variables = os.environ | {"OMP_NUM_THREADS": "1"} | variables
            subprocess.run(tests, cwd=source, env=variables, stdout=file, stderr=subprocess.STDOUT, check=False)
    return log.read_text()


def summary(log: str) -> dict[str, int]:
    """Counts of pytest's last line.

    >>> summary("...\\n1 failed, 20 passed, 3 skipped, 2 warnings in 4.2s")
    {'passed': 20, 'failed': 1, 'error': 0, 'skipped': 3}
    """
    last = next((line for line in reversed(log.splitlines()) if re.search(r" in [\d.]+s", line)), "")
    found = {word.removesuffix("s"): int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)}
    return {word: found.get(word, 0) for word in ("passed", "failed", "error", "skipped")} if found else {}


def versions(python: str) -> dict[str, str]:
    """What is installed: name -> version."""
    listed = json.loads(_run([python, "-m", "pip", "list", "--format", "json"]))
    return {canonicalize_name(one["name"]): one["version"] for one in listed}


def shown() -> list[str]:
    """The names that the table has: the direct dependencies, extras included, and what is pinned with them."""
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    return [Requirement(line).name for line in lines if line and not line.startswith("#")]


def publish(
    docs: Path, counts: Counts, installed: Mapping[str, Mapping[str, str]], bare: str, arguments: Sequence[str]
) -> None:
    """The page: what passed with which set, and the versions."""
    python = ".".join(map(str, sys.version_info[:3]))
    tests = Table([{"set": name, "python": python, **found} for name, found in counts.items()])
    packages = [{"package": name} | {s: found.get(name, "-") for s, found in installed.items()} for name in shown()]
    versions = Table(packages, "What was installed")
    chosen = f" -- {shlex.join(arguments)}" if arguments else ""
    command = f"python -m campaign.versions --folder DIR --docs docs{chosen}"
    what = (
        "The source distribution and the wheel are built, and the wheel is installed in clean environments. In each, "
        f"{'these tests' if arguments else 'all tests'} of the source distribution run. `lowest` has the lower bounds of "
        "the ranges in `pyproject.toml`, `newest` what `pip` chooses without constraints. If the index has torch for "
        "CUDA only, CUDA's libraries are replaced by empty ones."
    )
    results = Results("reliability_versions", command, [tests, versions], {"device": "cpu"})
    publishing.write(docs, results, "Reliability: versions", [what, f"Without the extras: {bare}", tests, versions])


def bare_imports(folder: Path) -> str:
    """A sentence on the modules that load without the extras; raises where one fails otherwise than by naming what it lacks."""
    python, variables = install(folder, "bare", "", "constraints.txt")
    said = _run([python, "-c", IMPORTS], cwd=folder, env=os.environ | variables)
    _, done, needs = eval(said)
    assert not any("\n" in reason for reason in needs.values()), needs
    rest = "".join(f"; `{name}` says: {reason}" for name, reason in needs.items())
    return f"{done} modules import{rest}."


@dataclass
class Versions:
    """What to install, and what to test."""

    folder: Path
    """Where environments are made."""
    docs: Path
    """Documentation folder to write the page into."""
    sets: tuple[Literal["lowest", "pinned", "newest"], ...] = ("lowest", "newest")
    """The sets of versions."""
    tests: Positional[tuple[str, ...]] = ()
    """Arguments of pytest, after --; all tests by default."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line's exit code."""
    return programs.main(Versions, run, "python -m campaign.versions", __doc__, argv)


def run(options: Versions) -> int:
    """Build, install and test; 1 where a test fails."""
    folder = options.folder.absolute()
    build(folder)
    bare = bare_imports(folder)
    counts: dict[str, dict[str, int]] = {}
    installed: dict[str, dict[str, str]] = {}
    for name in options.sets:
        python, variables = install(folder, name, "[dev]", SETS[name])
        counts[name] = summary(test(folder, name, python, variables, options.tests))
        installed[name] = versions(python)
        print(f"{name}: {counts[name]}", flush=True)
    publish(options.docs, counts, installed, bare, options.tests)
    return int(any(found.get("failed") or found.get("error") or not found for found in counts.values()))


def _environment(place: Path) -> str:
    """The interpreter of the environment there, which is made if need be."""
    python = place / "bin/python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(place)])
        _run([str(python), "-m", "pip", "install", "-q", "-U", "pip"])
    return str(python)


def _torch() -> str:
    """The requirement on torch, as pyproject.toml has it."""
    return re.findall(r'"(torch[<>=].*?)"', (ROOT / "pyproject.toml").read_text())[0]


def _run(command: Sequence[str], **options: Any) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


if __name__ == "__main__":
    sys.exit(main())
