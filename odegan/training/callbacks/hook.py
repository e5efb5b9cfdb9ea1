"""``Hook``: the interface of everything that acts around the steps of a run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odegan.training.state import Info

Ending = tuple[str, str]  # (status, message)


class Hook:
    """A hook that does nothing; subclasses override what they need. ``run`` is the current ``odegan.training.run.Run``."""

    def start(self, run: Any) -> None:
        """Called before the first step."""

    def due(self, run: Any) -> int:
        """The number of refresh intervals after which ``after`` must be called at the latest."""
        return sys.maxsize

    def after(self, run: Any, info: Info) -> Ending | None:
        """Called after a segment: return None to continue, or an ending."""
        return None

    def finish(self, run: Any) -> None:
        """Called after the last step, however the run ended."""
