"""What a hook is: something that happens around a run besides stepping."""

from __future__ import annotations

from typing import Any

Ending = tuple[str, str]  # (status, message)


class Hook:
    """Does nothing; the others override what they need. ``run`` is the ``odegan.training.run.Run`` under way."""

    def start(self, run: Any) -> None:
        """Before the first step."""

    def after(self, run: Any, info: Any) -> Ending | None:
        """After a refresh interval: None to go on, or how the run ends."""
        return None

    def finish(self, run: Any) -> None:
        """After the last step, however the run ended."""
