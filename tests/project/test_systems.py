"""The page of the five systems: claims are decided by the results."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.framework import claims
from experiments.framework.results import Results, Table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
CLAIMS = claims.load()


def test_claims_quote_what_they_measure():
    """A claim is decided by cells that the reader sees, or it says why nothing decides."""
    assert len(CLAIMS) > 20
    assert {name for claim in CLAIMS for name in re.findall(r"(\w+): ", " ".join(claim.tests.values()))} > {
        "mog16_evaluations",
        "ring8_full_jare",
    }
    for claim in CLAIMS:
        assert claim.tests or claim.remark.startswith(("open", "agrees, in the suite")), claim.claim
        assert set(re.findall("|".join(claims.RUNS), claim.run)), f"{claim.claim}: full, short or what?"
        assert not re.search(r"\d ± \d|\d\.\d{3}", claims.QUOTE.sub("", claim.measured)), "typed, not quoted"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.claim[:40])
def test_every_claim_is_decided(claim):
    said = claims.verdict(RESULTS, claim)
    assert said.count("agree") >= len(claim.tests)
    if claim.tests:
        assert claims.QUOTE.search(claim.measured)
        assert not claims.QUOTE.search(claims.quoted(RESULTS, claim.measured + claim.remark))


def test_a_verdict_follows_the_tables(tmp_path):
    """Other measurements turn it round."""

    def measure(first):
        cells = {"a": (first, 1.9), "b": (1.38, 1.5), "c": 6.8}
        table = Table([{"setting": name, "modes": cell} for name, cell in cells.items()])
        Results("one", "", [table]).save(tmp_path / "one.json")

    measure(6.75)
    claim = claims.Claim("it helps", "", {"": "one: a -> modes > one: b -> modes"}, "with care")
    assert claims.verdict(tmp_path, claim) == "agrees; with care"
    measure(0.75)
    assert claims.verdict(tmp_path, claim) == "does not agree; with care"
    two = replace(
        claim, tests={"chain": "5 < one: a -> modes < 7 and one: b -> modes < 2", "near": "one: c -> modes ~ 6.75"}
    )
    assert claims.verdict(tmp_path, two) == "chain: does not agree; near: agrees; with care"
    comparisons = [claims.holds(tmp_path, f"1 {sign} 2") for sign in ("<", ">", "<=", ">=", "~")]
    assert comparisons == [True, False, True, False, False]
