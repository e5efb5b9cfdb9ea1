"""A run that ends when its field evaluations are spent."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from odegan.training.state import Info, State

KEPT = ("times", "spent", "seconds", "cpu")


class Clock(NamedTuple):
    """Seconds by the clock, and of the processor."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Clock:
        """The present reading."""
        return cls(time.perf_counter(), time.process_time())


class Budget:
    """A callback that ends a run before it spends more than ``limit`` field evaluations.

    It keeps what was spent until when, and the seconds that took (by the clock, and of the processor), over all
    continuations of the run.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.times = [0.0]
        self.spent = [0]
        self.seconds = 0.0
        self.cpu = 0.0
        self._clock = Clock.now()

    def __call__(self, state: State, info: Info) -> bool:
        """After a refresh interval."""
        self.times.append(state.t)
        self.spent.append(self.spent[-1] + info.nfe)
        now = Clock.now()
        self.seconds += now.wall - self._clock.wall
        self.cpu += now.cpu - self._clock.cpu
        self._clock = now
        return self.over

    @property
    def over(self) -> bool:
        """Whether another interval like the last one would spend more than there is; a resumed run asks before it starts."""
        return len(self.spent) > 1 and 2 * self.spent[-1] - self.spent[-2] > self.limit

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {name: getattr(self, name) for name in KEPT}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        for name in KEPT:
            setattr(self, name, state[name])
        self._clock = Clock.now()
