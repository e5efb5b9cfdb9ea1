"""A finished run's figures and table, in the documentation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from experiments.framework.command_line import reproducing
from experiments.framework.tables import markdown


def publish(folder: Path, docs: Path) -> None:
    """Write results/NAME.md, with the command that made it, and copy the figures to figures/NAME_*.

    Everything is read from the run's folder, so a run can be published again without computing anything. Among pages
    only the figures go that one of them shows.
    """
    config = json.loads((folder / "config.json").read_text())
    name = config["experiment"]
    for part in ("figures", "results"):
        (docs / part).mkdir(parents=True, exist_ok=True)
    pages = "".join(page.read_text() for page in sorted(docs.glob("*.md")))
    for picture in (folder / line for line in (folder / "files.txt").read_text().splitlines()):
        target = f"figures/{name}_{picture.name}"
        if picture.parent.name == "figures" and (not pages or target in pages):
            shutil.copyfile(picture, docs / target)
    (docs / "results" / f"{name}.md").write_text(page(folder, name, config["command"]))


def page(folder: Path, name: str, command: str) -> str:
    """The table of a run, and a second one of its facts where there are any."""
    tables = [markdown(json.loads((folder / "summary.json").read_text()))]
    facts = folder / "facts.json"
    if facts.exists():
        found = json.loads(facts.read_text())
        tables.append(markdown([{"fact": fact, "measured": value} for fact, value in found.items()]))
    parts = [f"# Results of `{name}`", "Made by", f"```sh\n{reproducing(command)}\n```", *tables]
    return "\n\n".join(parts) + "\n"
