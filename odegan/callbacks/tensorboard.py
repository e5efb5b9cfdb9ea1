"""``TensorBoard``: a callback that writes scalars for TensorBoard."""

from __future__ import annotations

import math
import os
from typing import Any

from odegan.callbacks.periodic import Periodic, measured
from odegan.training.state import Info, State
from odegan.utils.checks import ArgumentError
from odegan.utils.keywords import keywords


class TensorBoard(Periodic):
    """Writes t, step size, error ratio, losses and field norm as TensorBoard scalars, against the number of refresh intervals.

    When a run resumes, scalars written after its checkpoint are discarded (``purge_step``). Needs ``pip install tensorboard``.

    Args:
        folder: for the event files; pass it to ``tensorboard --logdir``.
        every: number of refresh intervals between points.

    Raises:
        ArgumentError: tensorboard is not installed.

    Examples:
        >>> import tempfile, torch, odegan
        >>> folder = tempfile.mkdtemp()
        >>> run = {"solver": "heun2", "step_size": 0.1, "callback": TensorBoard(folder, every=2)}
        >>> sol = odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=4, **run)
        >>> [name.split(".")[0] for name in os.listdir(folder)]
        ['events']
    """

    @keywords()
    def __init__(self, folder: str | os.PathLike[str], every: int = 10) -> None:
        super().__init__(every)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ArgumentError("TensorBoard: tensorboard is not installed: pip install tensorboard") from error
        self._make = SummaryWriter
        self.folder = os.fspath(folder)
        self._from: int | None = None  # the first step to be written by a resumed run
        self._writer: Any = None

    def __call__(self, state: State, info: Info) -> None:
        """Write the measurements of this interval."""
        if self._writer is None:
            # At the first call, when a resumed run has restored its last step, beyond which old scalars are discarded.
            self._writer = self._make(self.folder, purge_step=self._from)
        step = state.aux["index"]
        for name, value in measured(state, info).items():
            if not math.isnan(value):  # as where the solver estimates no error
                self._writer.add_scalar(name, value, step)
        # Its own thread writes every two minutes, which is long to wait for a curve.
        self._writer.flush()
        self._from = step + 1

    def state_dict(self) -> dict[str, int | None]:
        """The state for a checkpoint."""
        return {"from": self._from}

    def load_state_dict(self, kept: dict[str, int | None]) -> None:
        """Restore the state from a checkpoint."""
        self._from = kept["from"]
