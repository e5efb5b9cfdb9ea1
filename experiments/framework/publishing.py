"""Publish a finished run's figures and tables in the documentation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.framework.results import Results, Table

MADE_WITH = ("seed", "seeds", "device")  # options stored with the results
# The beginning of a NAME in docs/results -> the page that explains its columns.
EXPLAINED: Mapping[str, str] = {
    "digits": "experiments.md#digits",
    "dirac": "experiments.md#dirac-gan",
    "drift": "findings/penalty_not_order.md",
    "dual_flow": "dual_flow.md",
    "edge": "findings/edge_of_stability.md",
    "gaussian": "experiments.md#isotropic-gaussian",
    "gmm_tv": "gmm_tv.md",
    "images": "images.md",
    "mog16": "experiments.md#mixture-of-16-gaussians",
    "reliability": "reliability.md",
    "ring8": "ring8.md",
    "rotational": "experiments.md#rotational-field",
    "speed": "speed.md",
    "step_size": "step_size.md",
    "vanishing_step": "vanishing_step.md",
}


def publish(folder: Path, docs: Path, page_name: str | None = None) -> None:
    """Write results/NAME.json and results/NAME.md, with the command that made them, and copy the figures to figures/NAME_*.

    Everything is read from the run's folder, so that a run can be published again without computation. If ``docs`` has pages,
    only figures that some page shows are copied.

    Args:
        folder: of the run.
        docs: the documentation's folder.
        page_name: NAME, where an experiment has several pages; None: the experiment's.
    """
    from experiments.framework.command_line import reproducing  # needs tyro, which writing a page does not

    config = json.loads((folder / "config.json").read_text())
    name = page_name or config["experiment"]
    (docs / "figures").mkdir(parents=True, exist_ok=True)
    pages = "".join(page.read_text() for page in sorted(docs.rglob("*.md")) if page.parent != docs / "results")
    for picture in (folder / line for line in (folder / "files.txt").read_text().splitlines()):
        target = f"figures/{name}_{picture.name}"
        # A figure that no page shows would only make the repository larger.
        if picture.parent.name == "figures" and (not pages or target in pages):
            shutil.copyfile(picture, docs / target)
    options = config["options"]
    made_with = {key: options[key] for key in MADE_WITH if key in options} | {"versions": config["versions"]}
    results = Results(name, reproducing(config["command"]), tables(folder), made_with)
    write(docs, results, f"Results of `{name}`", results.tables)


def tables(folder: Path) -> list[Table]:
    """The summary of a run, its further tables, and one with its facts if there are any."""
    found = [Table(json.loads((folder / "summary.json").read_text()))]
    more = folder / "tables.json"
    if more.exists():
        found += [Table(table["rows"], table["title"]) for table in json.loads(more.read_text())]
    facts = folder / "facts.json"
    if facts.exists():
        measured: Mapping[str, float] = json.loads(facts.read_text())
        found.append(Table([{"fact": fact, "measured": value} for fact, value in measured.items()]))
    return found


def write(docs: Path, results: Results, title: str, parts: Sequence[str | Table]) -> None:
    """Write results/NAME.json and results/NAME.md."""
    results.save(docs / "results" / f"{results.name}.json")
    (docs / "results" / f"{results.name}.md").write_text(page(results, title, parts))


def page(results: Results, title: str, parts: Sequence[str | Table]) -> str:
    """A page of results: the title, the command, where they are explained, and then the parts, which are prose and tables."""
    shown = [part.markdown() if isinstance(part, Table) else part.strip() for part in parts]
    return (
        "\n\n".join([f"# {title}", "Made by", f"```sh\n{results.command}\n```", *explained(results.name), *shown])
        + "\n"
    )


def explained(name: str) -> list[str]:
    """The line that links results to their page; none for results of your own.

    >>> explained("ring8_question"), explained("circle")
    (['Columns and settings are explained on [the page that shows these results](../ring8.md).'], [])
    """
    pages = [page for start, page in EXPLAINED.items() if name.startswith(start)]
    return [f"Columns and settings are explained on [the page that shows these results](../{page})." for page in pages]
