"""The page of the five systems says what is there: its numbers are cells of result tables, its files and tests exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "systems.md").read_text()
NUMBER = re.compile(r'\[`([^`]+)`\]\(results/(\w+)\.md "([^"]+) -> ([^"]+)"\)')
NUMBERS = NUMBER.findall(PAGE)


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def measured(results, row, column):
    """The cell of a results page in the one row that starts with these cells, separated by semicolons."""
    lines = (ROOT / "docs" / "results" / f"{results}.md").read_text().splitlines()
    head, _, *rows = [cells(line) for line in lines if line.startswith("|")]
    first = row.split("; ")
    found = [cells for cells in rows if cells[: len(first)] == first]
    assert len(found) == 1, f"{results}.md has {len(found)} rows that start with {first}"
    return found[0][head.index(column)]


@pytest.mark.parametrize("number, results, row, column", NUMBERS, ids=lambda x: x)
def test_numbers_are_those_of_the_tables(number, results, row, column):
    assert number == measured(results, row, column), f"docs/systems.md: {column} of {row}"


def test_every_number_has_its_place():
    """Every link to a table is of the form that is compared, and no code but names stands without a link."""
    assert len(NUMBERS) == PAGE.count("(results/") > 40
    bare = re.findall(r"`[^`]+`", NUMBER.sub("", PAGE))
    assert [code for code in bare if not re.search("[A-Za-z_]{4}", code)] == []


def test_claims_and_parts_are_whole_rows():
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    tables = [row for row in rows if set(row) <= set("|- ")]
    assert len(tables) == 6  # five systems and the claims
    assert {len(cells(row)) for row in rows} == {3, 4}


def test_files_are_there():
    files = set(re.findall(r"`((?:odegan|experiments)/[\w/]+\.py)`", PAGE))
    assert len(files) > 20
    assert [name for name in files if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("file, name", sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE))))
def test_tests_are_there(file, name):
    assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text()
