"""``Hook``: the interface of everything that acts around the steps of a run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

from odegan.data.minibatches import Minibatches
from odegan.training.state import Info, State
from odegan.training.stepper import Stepper

Ending = tuple[str, str]  # (status, message)


class RunInProgress(Protocol):
    """What hooks see and change of an ``odegan.training.run.Run``, which imports them."""

    state: State
    times: list[float]
    status: str
    message: str
    stepper: Stepper
    minibatches: Minibatches | None
    fingerprint: Mapping[str, object]

    def payload(self) -> dict[str, Any]:
        """The run as plain data, for a checkpoint."""

    def restore(self, payload: dict[str, Any]) -> None:
        """Continue from ``payload``."""


class Hook:
    """A hook that does nothing; subclasses override what they need."""

    def start(self, run: RunInProgress) -> None:
        """Called before the first step."""

    def due(self, run: RunInProgress) -> int:
        """The number of refresh intervals after which ``after`` must be called at the latest."""
        return sys.maxsize

    def after(self, run: RunInProgress, info: Info) -> Ending | None:
        """Called after a segment: return None to continue, or an ending."""
        return None

    def finish(self, run: RunInProgress) -> None:
        """Called after the last step, however the run ended."""
