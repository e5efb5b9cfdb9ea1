"""Measured numbers in the documentation are put in by the build, from the tables."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from experiments.framework import quotes

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.glob("**/*.md") if "results" not in path.parts)
PAGE = r"""# Results of `given`

| method | weight | score | share | a \| b |
| --- | --- | --- | --- | --- |
| plain, fast | - | 0.251 ± 0.069 | 0.2076 | 1 |
| JARE | 1 | 1.5 ± 0.5 | 0.5 | 25640 |
| JARE | 10 | - | 1 | 3e-06 |

| fact | measured |
| --- | --- |
| farthest | 1.003 |
"""


@pytest.fixture
def results(tmp_path):
    (tmp_path / "given.md").write_text(PAGE)
    return tmp_path


@pytest.mark.parametrize(
    "quote, text",
    {
        "given: plain, fast -> score": "0.251 ± 0.069",
        "given: plain, fast -> score as .1f": "0.3 ± 0.1",
        "given: plain, fast -> score as mean .2f": "0.25",
        "given: plain, fast -> share as percent": "20.8 %",
        "given: plain, fast -> share as percent .0f": "21 %",
        "given: JARE; 1 -> a | b as ,.0f": "25,640",
        "given: JARE; 10 -> a | b as .1e": "3.0e-06",
        "given: farthest -> measured": "1.003",
        "given: max -> share": "1",
        "given: min; JARE -> share": "0.5",
        "given: sum -> share as .2f": "1.71",
        "given: max; JARE -> score": "1.5",
    }.items(),
)
def test_a_quote_is_the_cell(results, quote, text):
    title = quote.split(": ")[1].split(" as ")[0]
    expected = f'<[{text}](../results/given.md "{title}"){{ .measured }}>'
    assert quotes.filled(f"<{{{{ {quote} }}}}>", results, "howto/page.md") == expected


def test_tables_whole_and_by_columns(results):
    assert quotes.filled("{{ table given }}", results) == PAGE.split("\n\n")[1]
    one = quotes.filled("{{ table given: JARE; 1 -> weight; share as percent }}", results)
    assert one == "| weight | share |\n| --- | --- |\n| 1 | 50 % |"
    some = quotes.filled("{{ table given: a | b; method }}", results).splitlines()
    assert some[:3] == [r"| a \| b | method |", "| --- | --- |", "| 1 | plain, fast |"]


@pytest.mark.parametrize(
    "quote, said",
    {
        "other: JARE -> score": "there is no other.md in results",
        "given: JARE; 1 -> scores": "given.md has no column 'scores'",
        "given: JARE -> score": "given.md has 2 rows that begin with 'JARE'",
        "given: R1 -> score": "given.md has 0 rows that begin with 'R1'",
        "given: min; R1 -> score": "given.md has no numbers there",
        "given: JARE; 1 -> score as digits": "'digits' is no form: mean, percent, or a format such as .2f",
        "given": "it must be RESULTS: ROW -> COLUMN",
        "table given: nothing": "given.md has no column 'nothing'",
        "table given: R1 -> score": "given.md has no rows that begin with 'R1'",
    }.items(),
)
def test_what_is_not_there_ends_the_build_in_one_line(results, quote, said):
    config, page = {"docs_dir": str(results)}, SimpleNamespace(file=SimpleNamespace(src_uri="howto/page.md"))
    (results / "results").symlink_to(results)
    with pytest.raises(PluginError) as error:
        quotes.on_page_markdown(f"so {{{{ {quote} }}}}", page, config)
    assert str(error.value) == f"howto/page.md: {{{{ {quote} }}}}: {said}"


def test_code_stays_as_it_is(results):
    assert quotes.filled("`{{ given: nothing }}`", results) == "`{{ given: nothing }}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_quotes_of_the_pages_are_there(page):
    text = page.read_text()
    filled = quotes.filled(text, DOCS / "results", str(page.relative_to(DOCS)))
    assert not quotes.QUOTE.search(filled)
    assert re.findall(r"\d ± \d", quotes.QUOTE.sub("", text)) == [], "a measurement typed by hand"
