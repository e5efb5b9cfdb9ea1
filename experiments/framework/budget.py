"""End a run after a given number of field evaluations."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from odegan.training.state import Info, State

KEPT = ("times", "spent", "seconds", "cpu")


class Clock(NamedTuple):
    """Wall-clock seconds and processor seconds."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Clock:
        """The present reading of the clock."""
        return cls(time.perf_counter(), time.process_time())


class Budget:
    """A callback that ends a run before it spends more than ``limit`` field evaluations.

    It records the evaluations over time, and the wall-clock and processor seconds, summed over all continuations of the run.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.times = [0.0]
        self.spent = [0]
        self.seconds = 0.0
        self.cpu = 0.0
        self._clock = Clock.now()

    def __call__(self, state: State, info: Info) -> bool:
        """Count a refresh interval; True ends the run."""
        self.times.append(state.t)
        self.spent.append(self.spent[-1] + info.nfe)
        now = Clock.now()
        self.seconds += now.wall - self._clock.wall
        # Processor time as well, since other users of a machine do not change it.
        self.cpu += now.cpu - self._clock.cpu
        self._clock = now
        return self.over

    @property
    def over(self) -> bool:
        """Whether another interval like the last one would exceed the budget; a resumed run checks this before it starts."""
        # Intervals of an adaptive solver cost differently; the last one is the best guess of the next.
        return len(self.spent) > 1 and 2 * self.spent[-1] - self.spent[-2] > self.limit

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {name: getattr(self, name) for name in KEPT}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        for name in KEPT:
            setattr(self, name, state[name])
        # From now on: the pause between two parts of a run is not its time.
        self._clock = Clock.now()
