"""Checkpoints are data: malicious, damaged and foreign files, each refused in one line with nothing executed, and counted.

    python -m campaign.checkpoints --files 300 --docs docs
    python -m campaign.checkpoints --fixture tests/utils/checkpoints    # a file of the present format, and what it resumes to

Exit code 1, and a line for each, where a file was not refused, or something in it ran.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import odegan
from campaign.checkpoints_damage import DAMAGE, mangled
from campaign.checkpoints_hostile import EVIL, FOREIGN, FORMS
from campaign.checkpoints_run import REFUSED, SAME, make_fixture, outcome, run
from campaign.counted import SEED, write
from experiments.framework import programs
from experiments.framework.results import Row
from experiments.framework.tables import aligned
from odegan.utils.checks import check_int


def crafted(folder: Path, whole: odegan.Solution) -> Iterator[tuple[str, str]]:
    """(form, outcome) of every evil in every form; each file is fired afterwards, to see that it would have worked."""
    for form_name, form in FORMS.items():
        for evil_name, evil in EVIL.items():
            path = folder / "run.pt"
            canary = folder / "canary"
            form.write(path, evil(canary))
            found = outcome(path, whole, canary)
            form.fire(path)
            if not canary.exists():
                found = f"{evil_name} does nothing even where it is unpickled"
            canary.unlink(missing_ok=True)
            path.unlink()
            yield f"code in {form_name}", found


def foreign(folder: Path, whole: odegan.Solution) -> Iterator[tuple[str, str]]:
    """("foreign", outcome) of every file that is none of ours."""
    for make in FOREIGN.values():
        make(folder / "run.pt")
        yield "foreign files and versions", outcome(folder / "run.pt", whole)
        (folder / "run.pt").unlink()


def damaged(folder: Path, whole: odegan.Solution, files: int) -> Iterator[tuple[str, str]]:
    """(kind, outcome) of so many random damages of each kind to a checkpoint of a run under way."""
    path = folder / "run.pt"
    source = random.Random(SEED)
    run(path, stop=6)
    content = path.read_bytes()
    payload = torch.load(path, weights_only=True)
    for kind, damage in DAMAGE.items():
        for _ in range(files):
            path.write_bytes(damage(content, source))
            yield kind, outcome(path, whole)
    for _ in range(files):
        torch.save(mangled(payload, source), path)
        yield "a part missing or of another kind", outcome(path, whole)
    path.unlink()


@dataclass
class Damage:
    """How many files to damage, and what to write."""

    files: int = 300
    """Of each kind of random damage."""
    docs: Path | None = None
    """The documentation folder to write the table into; by default it is only printed."""
    fixture: Path | None = None
    """Only write the checkpoint file of this version into this folder; left out, the tables are made."""

    def check(self) -> None:
        """Refuse a number of files that is not positive."""
        check_int("files", self.files, low=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Try all of them; write the table."""
    return programs.main(Damage, try_all, "python -m campaign.checkpoints", __doc__, argv)


def try_all(options: Damage) -> int:
    """Count what becomes of every file, by kind; 1 where one was read in part or raised something else."""
    if options.fixture:
        make_fixture(options.fixture)
        return 0
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uninterrupted = run()
        outcomes = itertools.chain(
            crafted(folder, uninterrupted),
            foreign(folder, uninterrupted),
            damaged(folder, uninterrupted, options.files),
        )
        for kind, found in outcomes:
            counts.setdefault(kind, Counter())[found] += 1
    rows = [_row(kind, found) for kind, found in counts.items()]
    rows.append(_row("all", sum(counts.values(), Counter())))
    bad = [f"{kind}: {what}" for kind, found in counts.items() for what in found if what not in (REFUSED, SAME)]
    print(aligned(rows), *bad, sep="\n")
    if options.docs:
        write(options.docs, "checkpoints", f"python -m campaign.checkpoints --files {options.files} --docs docs", rows)
    return 1 if bad else 0


def _row(kind: str, found: Counter[str]) -> Row:
    other = found.total() - found[REFUSED] - found[SAME]
    return {
        "what the file is": kind,
        "files": found.total(),
        REFUSED: found[REFUSED],
        SAME: found[SAME],
        "anything else": other,
    }


if __name__ == "__main__":
    sys.exit(main())
