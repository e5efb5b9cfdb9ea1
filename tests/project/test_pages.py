"""What the pages name is there: paths, tests, modules and public names."""

import contextlib
import functools
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from experiments.framework import publishing

ROOT = Path(__file__).parents[2]
WRITTEN = {"reliability_wrong_inputs.md"}  # wrong on purpose
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "experiments/framework/claims.json",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name not in WRITTEN),
]
FOLDERS = "odegan|experiments|tests|benchmarks|campaign|docs|examples"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
FILE = re.compile(r"`(\w+\.(?:py|toml|txt|yml|cff))`")
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
NAME = re.compile(r"(?:`|^::: )(odegan(?:\.\w+)+)", re.MULTILINE)
MODULE = re.compile(r"python -m ((?:odegan|experiments|benchmarks|campaign)[\w.]*)")
LINK = re.compile(r"\]\(([\w./-]+?\.\w+)(?:#[\w-]+)?\)")
# What a reader is to write.
READERS = {"experiments/circle", "experiments.NAME", "experiments.circle", "docs/results/NAME.json"}


def found(pattern: re.Pattern[str]):
    """(page, what it names), each once."""
    named = []
    for page in PAGES:
        for match in pattern.finditer(page.read_text()):
            named.append((str(page.relative_to(ROOT)), match.groups()))
    return [pytest.param(*one, id=": ".join([one[0], *one[1]])) for one in sorted(set(named))]


@functools.cache
def files() -> list[Path]:
    """All files of the repository."""
    kept = (
        path for folder in [*FOLDERS.split("|"), "."] for path in (ROOT / folder).glob("**/*" if folder != "." else "*")
    )
    return [path for path in kept if path.is_file()]


@pytest.mark.parametrize("page, names", found(PATH))
def test_paths(page, names):
    assert (ROOT / names[0]).exists() or names[0].rstrip("/").startswith(tuple(READERS))


@pytest.mark.parametrize("page, names", found(FILE))
def test_files(page, names):
    assert any(path.name == names[0] for path in files())


@pytest.mark.parametrize("page, names", found(TEST))
def test_tests(page, names):
    file, test = names
    homes = [path for path in files() if path.as_posix().endswith(f"/{file}")]
    assert sum(f"\ndef {test}(" in path.read_text() for path in homes) == 1


@pytest.mark.parametrize("page, names", found(NAME))
def test_public_names(page, names):
    parts = names[0].split(".")
    for length in range(len(parts), 0, -1):  # the longest module first: a function may have its module's name
        with contextlib.suppress(ModuleNotFoundError):
            thing = importlib.import_module(".".join(parts[:length]))
            break
    for part in parts[length:]:
        thing = getattr(thing, part)


@pytest.mark.parametrize("page, names", found(MODULE))
def test_modules(page, names):
    name = names[0].rstrip(".")
    if name in READERS:
        return
    assert importlib.util.find_spec(name) is not None
    if importlib.util.find_spec(name).submodule_search_locations:
        assert importlib.util.find_spec(f"{name}.__main__") is not None


@pytest.mark.parametrize("page, names", found(LINK))
def test_links(page, names):
    home = ROOT / ("docs" if page.endswith(".json") else page)
    assert (home if home.is_dir() else home.parent).joinpath(names[0]).exists()


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "docs/results").glob("*.json")))
def test_results_are_explained_on_a_page_that_links_to_them(name):
    (line,) = publishing.explained(name)
    page = re.search(r"\.\./([\w/]+\.md)", line)[1]
    assert f"results/{name}.md" in (ROOT / "docs" / page).read_text()


@pytest.mark.parametrize("pattern", [PATH, TEST, NAME, MODULE, LINK])
def test_the_patterns_find_something(pattern):
    assert len(found(pattern)) > 5
