"""What a hook is: something that happens around a run besides stepping."""

from __future__ import annotations

import sys
from typing import Any

Ending = tuple[str, str]  # (status, message)


class Hook:
    """Does nothing; the others override what they need. ``run`` is the ``odegan.training.run.Run`` under way."""

    def start(self, run: Any) -> None:
        """Before the first step."""

    def due(self, run: Any) -> int:
        """How many refresh intervals from here ``after`` must be called, at the latest."""
        return sys.maxsize

    def after(self, run: Any, info: Any) -> Ending | None:
        """After a segment of refresh intervals: None to go on, or how the run ends."""
        return None

    def finish(self, run: Any) -> None:
        """After the last step, however the run ended."""
