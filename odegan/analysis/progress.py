"""A progress line for long analyses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from odegan.analysis.krylov import Report
from odegan.utils.checks import argument_error
from odegan.utils.progress import display

PATIENCE = 5.0  # seconds before an unrequested line appears


@contextmanager
def progress_line(progress: bool | str | None, label: str, k: int) -> Iterator[Report]:
    """Yield a function of (products, converged) that updates the line; close the line on exit.

    progress: True, or a label; None: show the line only after PATIENCE seconds; False: never.
    """
    if not (progress is None or isinstance(progress, bool | str)):
        argument_error("progress", progress, "True, False, the line's label, or None: after a few seconds")
    label = progress if isinstance(progress, str) else label
    delay = PATIENCE if progress is None else 0.0
    with closing(display(None, label, unit="products", delay=delay, shown=progress is not False)) as bar:

        def report(products: int, converged: int) -> None:
            bar.set_postfix_str(f"{converged} of {k} eigenvalues")
            bar.update(products - bar.n)

        yield report
