"""The page of the five systems says what is there: files and tests exist, claims are computed from result tables."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.framework import claims, quotes

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
PAGE = (ROOT / "docs" / "systems.md").read_text() + claims.CLAIMS.read_text()
CLAIMS = claims.load()


def test_claims_quote_what_they_measure():
    """A claim is decided by cells that the reader sees, or it says why nothing decides."""
    assert len(CLAIMS) > 20
    assert {name for claim in CLAIMS for name in re.findall(r"(\w+): ", " ".join(claim.tests.values()))} > {
        "mog16",
        "ring8",
    }
    for claim in CLAIMS:
        assert claim.tests or claim.remark.startswith(("open", "agrees, in the suite")), claim.claim
        assert not re.search(r"\d ± \d|\d\.\d{3}", quotes.QUOTE.sub("", claim.measured)), "typed, not quoted"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.claim[:40])
def test_every_claim_is_decided(claim):
    said = claims.verdict(RESULTS, claim)
    assert said.count("agree") >= len(claim.tests)
    if claim.tests:
        assert quotes.filled(claim.measured, RESULTS).count(".measured") >= 1


def test_a_verdict_follows_the_tables(tmp_path):
    """Other measurements turn it round."""
    page = "| setting | modes |\n| --- | --- |\n| a | 6.75 ± 1.9 |\n| b | 1.38 ± 1.5 |\n| c | 6.8 |\n"
    (tmp_path / "one.md").write_text(page)
    claim = claims.Claim("it helps", "", {"": "one: a -> modes > one: b -> modes"}, "with care")
    assert claims.verdict(tmp_path, claim) == "agrees; with care"
    (tmp_path / "one.md").write_text(page.replace("6.75", "0.75"))
    assert claims.verdict(tmp_path, claim) == "does not agree; with care"
    two = replace(
        claim, tests={"chain": "5 < one: a -> modes < 7 and one: b -> modes < 2", "near": "one: c -> modes ~ 6.75"}
    )
    assert claims.verdict(tmp_path, two) == "chain: does not agree; near: agrees; with care"
    assert [claims.holds(tmp_path, f"1 {sign} 2") for sign in ("<", ">", "<=", ">=", "~")] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_files_are_there():
    files = set(re.findall(r"`((?:odegan|experiments)/[\w/]+\.(?:py|json))`", PAGE))
    assert len(files) > 20
    assert [name for name in files if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("file, name", sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE))))
def test_tests_are_there(file, name):
    assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text()
