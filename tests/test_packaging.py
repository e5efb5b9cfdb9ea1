"""What the package says about itself agrees with itself."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import odegan

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
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


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/index.md", ".ci/run"])
def test_make_targets_named_in_prose_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|\$ |exec )make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
    assert named <= targets
    assert named or page == "README.md"
