"""Parameter averages along a run, as callbacks of ``odeint_gan``."""

from __future__ import annotations

from typing import TypedDict

import torch

from odegan.training.state import Info, State
from odegan.utils.checks import argument_error, check_number
from odegan.utils.keywords import keywords


class ExponentialAverage:
    """a <- decay a + (1 - decay) y after every refresh interval, starting from a = the first y seen.

    Pass it as ``callback``; ``average.y`` has y's shape. The run's checkpoint includes it.

    Args:
        decay: in [0, 1]; the average spans about 1 / (1 - decay) refresh intervals.

    Examples:
        >>> average = ExponentialAverage(0.5)
        >>> from odegan import odeint_gan
        >>> from odegan.games import bilinear
        >>> t = torch.tensor([0.0, 0.2])
        >>> solution = odeint_gan(bilinear(), torch.tensor([1.0, 0.0]), t, solver="euler", step_size=0.1, callback=average)
        >>> average.y
        tensor([0.9950, 0.1500])
    """

    @keywords()
    def __init__(self, decay: float = 0.999) -> None:
        self.decay = check_number("decay", decay, low=0.0)
        if self.decay > 1:
            argument_error("decay", decay, "in [0, 1]")
        self.y: torch.Tensor | None = None

    def __call__(self, state: State, info: Info) -> None:
        """Update the average after an interval."""
        y = state.y.detach()
        # A copy: the average must not share memory with a state that another callback may write to.
        self.y = y.clone() if self.y is None else torch.lerp(y, self.y, self.decay)

    def __odegan_fingerprint__(self) -> dict[str, float]:
        """The settings that must be equal to resume."""
        return {"decay": self.decay}

    def state_dict(self) -> dict[str, torch.Tensor | None]:
        """The state for a checkpoint."""
        return {"y": self.y}

    def load_state_dict(self, kept: dict[str, torch.Tensor | None]) -> None:
        """Restore the state from a checkpoint."""
        self.y = kept["y"]


class UniformState(TypedDict):
    """What a checkpoint keeps of a ``UniformAverage``."""

    y: torch.Tensor | None
    count: int


class UniformAverage:
    """The mean of y over all refresh intervals that end after the time ``start``.

    Pass it as ``callback``; ``average.y`` has y's shape, ``average.count`` is the number of averaged states.

    Args:
        start: the time after which states count.

    Examples:
        >>> from odegan.games import bilinear
        >>> from odegan.training.integrate import odeint_gan
        >>> average = UniformAverage(start=0.5)
        >>> y0, t = torch.tensor([1.0, 0.0]), [0.0, 1.0]
        >>> sol = odeint_gan(bilinear(), y0, t, solver="euler", step_size=0.25, callback=average)
        >>> average.count, average.y.shape
        (2, torch.Size([2]))
    """

    @keywords()
    def __init__(self, start: float = 0.0) -> None:
        self.start = check_number("start", start)
        self.y: torch.Tensor | None = None
        self.count = 0

    def __call__(self, state: State, info: Info) -> None:
        """Update the average after an interval."""
        if state.t > self.start:
            self.count += 1
            y = state.y.detach()
            # A running mean, which stays of y's size where a sum would grow and lose digits.
            self.y = y.clone() if self.y is None else self.y + (y - self.y) / self.count

    def __odegan_fingerprint__(self) -> dict[str, float]:
        """The settings that must be equal to resume."""
        return {"start": self.start}

    def state_dict(self) -> UniformState:
        """The state for a checkpoint."""
        return {"y": self.y, "count": self.count}

    def load_state_dict(self, kept: UniformState) -> None:
        """Restore the state from a checkpoint."""
        self.y = kept["y"]
        self.count = kept["count"]
