"""Measured numbers in the pages are those of the results, each beside a comment that names its cell."""

import re
from pathlib import Path

import pytest

pytest.importorskip("tyro")

from experiments.framework import quotes
from experiments.framework.references import Missing
from experiments.framework.results import Results, Table, load
from experiments.framework.tables import markdown

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
ROWS = [
    {"method": "plain, fast", "weight": None, "score": (0.251, 0.069), "share": 0.2076, "a | b": 1},
    {"method": "JARE", "weight": 1, "score": {"mean": 1.5, "deviation": 0.5}, "share": 0.5, "a | b": 25640},
    {"method": "JARE", "weight": 10, "score": (float("nan"), float("nan")), "share": 1.0, "a | b": 3e-06},
]
FACTS = [{"fact": "farthest", "measured": 1.00289}, {"fact": "diverged", "measured": "2 of 8"}]


@pytest.fixture
def results(tmp_path):
    Results("given", "python -m given", [Table(ROWS), Table(FACTS, "Facts")]).save(tmp_path / "given.json")
    return tmp_path


@pytest.mark.parametrize(
    "quote, text",
    {
        "given: plain, fast -> score": "0.251 ± 0.069",
        "given: plain, fast -> score as .1f": "0.3 ± 0.1",
        "given: plain, fast -> score as mean .2f": "0.25",
        "given: plain, fast -> score as mean": "0.251",
        "given: plain, fast -> share as percent": "20.8 %",
        "given: plain, fast -> share as percent .0f": "21 %",
        "given: JARE; 1 -> a | b as ,.0f": "25,640",
        "given: JARE; 10 -> a | b as .1e": "3.0e-06",
        "given: JARE; 10 -> score": "-",
        "given: farthest -> measured": "1.003",
        "given: farthest -> measured as .5f": "1.00289",
        "given: diverged -> measured": "2 of 8",
        "given: max -> share": "1",
        "given: min; JARE -> share": "0.5",
        "given: sum -> share as .2f": "1.71",
        "given: max; JARE -> score": "1.5",
        "given: sum; diverged -> measured": "2",
    }.items(),
)
@pytest.mark.parametrize("before", ["?", "-0.1", "12.5 ± 3", "1e-3", "99 %", "22,020", "inf"])
def test_a_number_is_that_of_the_cell_whatever_stood_there(results, before, quote, text):
    page = f"of 16 modes {before}<!-- {quote} -->, and more"
    assert quotes.rewritten(page, results) == f"of 16 modes {text}<!-- {quote} -->, and more"


def test_the_name_of_a_page_may_have_hyphens(tmp_path):
    Results("images_a-b", "python -m given", [Table(FACTS, "Facts")]).save(tmp_path / "images_a-b.json")
    quote = "<!-- images_a-b: farthest -> measured -->"
    assert quotes.rewritten(f"?{quote}", tmp_path) == f"1.003{quote}"


def test_what_is_up_to_date_stays(results):
    page = "3 and 2 of 8<!-- given: diverged -> measured -->, 4.0 and -<!-- given: JARE; 10 -> score -->"
    assert quotes.rewritten(page, results) == page


def test_tables_whole_and_by_columns(results):
    def block(quote):
        found = quotes.rewritten(f"a\n\n<!-- {quote} -->\nold\n<!-- end -->\n\nb", results)
        assert quotes.rewritten(found, results) == found
        head = f"a\n\n<!-- {quote} -->\n\n"
        body = found[len(f"a\n\n<!-- {quote} -->\n\n") :]
        end = "\n\n<!-- end -->\n\nb"
        assert found.startswith(head)
        assert body.endswith(end)
        return body.removesuffix(end)

    assert block("table given") == markdown(load(results / "given.json").tables[0].rows)
    assert (
        block("table given: JARE; 1 -> weight; share as percent") == "| weight | share |\n| --- | --- |\n| 1 | 50 % |"
    )
    assert block("table given: a | b; method").splitlines()[:3] == [
        r"| a \| b | method |",
        "| --- | --- |",
        "| 1 | plain, fast |",
    ]


@pytest.mark.parametrize(
    "quote, said",
    {
        "other: JARE -> score": "there is no other.json in results",
        "given: JARE; 1 -> scores": "given.json has no column 'scores'",
        "given: JARE -> score": "given.json has 2 rows that begin with 'JARE'",
        "given: R1 -> score": "given.json has 0 rows that begin with 'R1'",
        "given: min; R1 -> score": "given.json has no numbers there",
        "given: JARE; 1 -> score as digits": "'digits' is no form: mean, percent, or a format such as .2f",
        "given: diverged -> measured as .2f": "'2 of 8' is no number",
    }.items(),
)
def test_what_is_not_there_is_named(results, quote, said):
    with pytest.raises(Missing) as error:
        quotes.rewritten(f"so ?<!-- {quote} -->", results)
    assert str(error.value) == f"{quote}: {said}"


@pytest.mark.parametrize(
    "quote, said",
    {
        "given: nothing": "given.json has no column 'nothing'",
        "given: R1 -> score": "given.json has no rows that begin with 'R1'",
    }.items(),
)
def test_a_table_that_is_not_there_is_named(results, quote, said):
    with pytest.raises(Missing) as error:
        quotes.rewritten(f"<!-- table {quote} -->\n<!-- end -->", results)
    assert str(error.value) == f"{quote}: {said}"


def test_a_quote_beside_no_number_is_refused(results):
    with pytest.raises(Missing, match=r"put \? in its place"):
        quotes.rewritten("many<!-- given: farthest -> measured -->", results)


def test_code_stays_as_it_is(results):
    page = "`?<!-- given: nothing -> here -->`"
    assert quotes.rewritten(page, results) == page


def test_the_command_checks_and_writes(results, capsys):
    (results / "docs/results").mkdir(parents=True)
    (results / "given.json").rename(results / "docs/results/given.json")
    page = results / "docs/page.md"
    page.write_text("# Page\n\nSo 5<!-- given: farthest -> measured -->\n")
    root = ["--root", str(results)]
    assert quotes.main(["--check", *root]) == 1
    assert capsys.readouterr().err == "docs/page.md:3: out of date; --write rewrites it\n"
    assert quotes.main(["--write", *root]) == 0
    assert page.read_text() == "# Page\n\nSo 1.003<!-- given: farthest -> measured -->\n"
    assert quotes.main(["--check", *root]) == 0
    page.write_text("?<!-- given: nearest -> measured -->")
    assert quotes.main(["--write", *root]) == 1
    assert quotes.main(["--chek"]) == 2


def test_the_pages_are_up_to_date(capsys):
    assert quotes.run(quotes.Quotes()) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", quotes.pages(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_measurement_is_typed_by_hand(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)  # code prints its own numbers
    text = quotes.BLOCK.sub("", prose)
    typed = re.findall(r"\d ± \d[\d.]*(?!\S*<!--)(?![\d.])", text)
    assert typed == []


@pytest.mark.parametrize("page", quotes.pages(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_comment_with_an_arrow_is_read_as_a_quote(page):
    text = quotes.BLOCK.sub("", page.read_text())
    assert re.findall(r"<!-- [^\n]*? -> [^\n]*? -->(?!`)", text) == [found[0] for found in quotes.QUOTE.finditer(text)]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_and_their_page_are_the_same(path):
    found = load(path)
    page = path.with_suffix(".md").read_text()
    assert found.name == path.stem
    assert found.command in page
    for table in found.tables:
        assert table.markdown() in page


def test_every_page_of_results_has_its_numbers():
    assert {path.stem for path in RESULTS.glob("*.md")} == {path.stem for path in RESULTS.glob("*.json")}
