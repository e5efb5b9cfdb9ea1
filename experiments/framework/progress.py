"""Progress over the items of a measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from odegan.utils.progress import display

Item = TypeVar("Item")


def shown(items: Sequence[Item], label: str, progress: bool) -> Iterator[Item]:
    """The items in turn, under a bar on a terminal, elsewhere with a line after every tenth; neither without ``progress``.

    >>> list(shown([1, 2], "squares", progress=False))
    [1, 2]
    """
    bar = display(len(items), label, unit="item", shown=progress)
    try:
        for item in items:
            yield item
            bar.update(1)
    finally:
        bar.close()
