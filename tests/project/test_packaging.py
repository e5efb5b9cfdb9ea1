"""What the package says about itself agrees with itself."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import odegan
from campaign import versions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def requirements() -> list[Requirement]:
    """Every direct dependency and extra that applies here, without the package's own name."""
    extras = PROJECT["optional-dependencies"].values()
    found = [Requirement(r) for group in [PROJECT["dependencies"], *extras] for r in group]
    return [r for r in found if r.name != PROJECT["name"] and (r.marker is None or r.marker.evaluate())]


def test_one_version():
    assert odegan.__version__ == PROJECT["version"] == str(CITATION["version"])


def test_citation_has_what_cff_requires():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()
    for reference in CITATION["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys()
        assert all(author["family-names"] for author in reference["authors"])


def test_citation_names_the_five_papers():
    cited = [i["value"] for reference in CITATION["references"] for i in reference["identifiers"]]
    numbers = ["1706.09884", "1806.09235", "1909.13188", "2010.15040", "2012.10410"]
    assert sorted(cited) == [f"arXiv:{number}" for number in numbers]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda r: r.name)
def test_constraints_pin_every_direct_dependency_within_its_range(requirement):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", requirements(), ids=lambda r: r.name)
def test_lowest_constraints_are_the_lower_bounds(requirement):
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    (bound,) = [part.version for part in requirement.specifier if part.operator == ">="]
    if canonicalize_name(requirement.name) not in {"tomli"}:  # for Python 3.10 only
        assert Version(pins[canonicalize_name(requirement.name)]) == Version(bound)


def test_lowest_constraints_name_direct_dependencies_and_what_pip_cannot_know():
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if line and not line.startswith("#")}
    assert pinned == {canonicalize_name(requirement.name) for requirement in requirements()} | {"pyarrow"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/index.md", ".ci/run"])
def test_make_targets_named_in_prose_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|\$ |exec )make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
    assert named <= targets
    assert named or page == "README.md"


@pytest.mark.parametrize(
    "log, found",
    [
        ("...\n1 failed, 20 passed, 3 skipped, 2 warnings in 4.2s", (20, 1, 0, 3)),
        ("=== 7 passed, 2 errors in 61.00s (0:01:01) ===\n", (7, 0, 2, 0)),
    ],
)
def test_counts_of_a_report_of_pytest(log, found):
    assert tuple(versions.summary(log).values()) == found


def test_a_report_that_was_cut_short_counts_as_none():
    assert versions.summary("....F... [ 12%]\n") == {}


def test_the_page_has_every_direct_dependency(tmp_path):
    pins = dict.fromkeys(versions.shown(), "1.0")
    versions.publish(tmp_path, {"lowest": {"passed": 2}}, {"lowest": pins}, "3 modules import.", [])
    text = (tmp_path / "results/reliability_versions.md").read_text()
    assert text.count("| 1.0 |") == len(pins) == len(requirements()) + 1  # and pyarrow
