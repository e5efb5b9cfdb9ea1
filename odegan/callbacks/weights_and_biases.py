"""``WandB``: a callback that logs to Weights & Biases."""

from __future__ import annotations

from typing import Any

from odegan.callbacks.periodic import Periodic, measured
from odegan.training.state import Info, State
from odegan.utils.checks import ArgumentError


class WandB(Periodic):
    """Logs t, step size, error ratio, losses and field norm to Weights & Biases, against the number of refresh intervals.

    A resumed run continues the same W&B run. Needs ``pip install wandb``.

    Args:
        every: number of refresh intervals between points.
        init: arguments of ``wandb.init``: project, name, config and so on.

    Raises:
        ArgumentError: wandb is not installed.

    Examples:
        >>> from odegan import ArgumentError
        >>> try:
        ...     log = WandB(every=10, project="gans", mode="offline")  # give it as callback=
        ... except ArgumentError as error:
        ...     assert "pip install wandb" in str(error)
    """

    def __init__(self, every: int = 10, **init: object) -> None:
        super().__init__(every)
        try:
            import wandb
        except ImportError as error:
            raise ArgumentError("WandB: wandb is not installed: pip install wandb") from error
        self._wandb = wandb
        self._init = init
        self._id: str | None = None
        self._run: Any = None

    def __call__(self, state: State, info: Info) -> None:
        """Log the measurements of this interval."""
        if self._run is None:
            # The id comes from the checkpoint, so that a resumed run continues the same curves.
            known = self._init if self._id is None else self._init | {"id": self._id, "resume": "allow"}
            self._run = self._wandb.init(**known)
            self._id = self._run.id
        # W&B drops steps that it has already: intervals repeated after a resume are not logged twice.
        self._run.log(measured(state, info), step=state.aux["index"])

    def state_dict(self) -> dict[str, str | None]:
        """The state for a checkpoint."""
        return {"id": self._id}

    def load_state_dict(self, kept: dict[str, str | None]) -> None:
        """Restore the state from a checkpoint."""
        self._id = kept["id"]
