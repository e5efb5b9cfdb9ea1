"""The measurements of every step, and the counts and tables of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch


class StepRecord(NamedTuple):
    """One accepted step, measured at its first field evaluation. Tensors stay on the device, (E, ...) in an ensemble.

    t: where it starts; step_size: its length; losses (..., 2): unpenalized, discriminator first; field_norm (...): |f|;
    error_ratio: estimated error over tolerance, nan if the solver has no estimate; finite (...): whether the step ended in
    finite numbers.
    """

    t: float
    step_size: float
    losses: torch.Tensor
    field_norm: torch.Tensor
    error_ratio: float
    finite: torch.Tensor


_PLAYERS = ("discriminator", "generator")


class StepStatistics(NamedTuple):
    """The ``StepRecord`` entries of n consecutive steps, stacked. Tensors are on the device.

    t, step_size, error_ratio: n numbers each; losses (n, ..., 2); field_norm (n, ...); finite (n, ...).
    """

    t: Sequence[float]
    step_size: Sequence[float]
    error_ratio: Sequence[float]
    losses: torch.Tensor
    field_norm: torch.Tensor
    finite: torch.Tensor

    @classmethod
    def of(cls, records: Sequence[StepRecord]) -> StepStatistics:
        """Stack the records of single steps."""
        t, step_size, losses, field_norm, error_ratio, finite = zip(*records, strict=True)
        return cls(t, step_size, error_ratio, torch.stack(losses), torch.stack(field_norm), torch.stack(finite))

    def first(self, n: int) -> StepStatistics:
        """The first n of the steps."""
        t, step_size, error_ratio, losses, field_norm, finite = self
        return StepStatistics(t[:n], step_size[:n], error_ratio[:n], losses[:n], field_norm[:n], finite[:n])

    def rows(self) -> torch.Tensor:
        """(n, ..., 6) on the CPU: [t, step_size, error_ratio, loss_D, loss_G, field_norm]."""
        measured = torch.cat([self.losses, self.field_norm[..., None]], -1).detach().to("cpu", torch.float64)
        shared = torch.tensor([self.t, self.step_size, self.error_ratio], dtype=torch.float64).T
        shared = shared.reshape(len(shared), *[1] * (measured.ndim - 2), 3).expand(*measured.shape[:-1], 3)
        return torch.cat([shared, measured], -1)


class Statistics:
    """Counts and per-step rows of a run, moved off the device in blocks so that steps need no synchronization."""

    BLOCK = 256  # steps

    def __init__(self) -> None:
        self.nfe = 0
        self.steps = 0
        self.rejected = 0
        self._rows: list[torch.Tensor] = []
        self._pending: list[StepStatistics] = []
        self._waiting = 0

    def add(self, steps: StepStatistics, nfe: int, rejected: int) -> None:
        """Add steps, field evaluations and rejections to the counts."""
        self.nfe += nfe
        self.rejected += rejected
        self.steps += len(steps.t)
        self._waiting += len(steps.t)
        self._pending.append(steps)
        if self._waiting >= self.BLOCK:
            self.flush()

    def restore(self, nfe: int, rejected: int, table: torch.Tensor) -> None:
        """Continue from a checkpoint's counts and rows."""
        self.nfe = nfe
        self.rejected = rejected
        self.steps = len(table)
        self._rows = [table.cpu()] if len(table) else []

    def flush(self) -> None:
        """Move pending steps off the device, into one block of rows."""
        if self._pending:
            self._rows.append(torch.cat([steps.rows() for steps in self._pending if len(steps.t)]))
            self._pending.clear()
            self._waiting = 0

    def table(self) -> torch.Tensor:
        """All rows so far, (steps, 6) or (steps, E, 6)."""
        self.flush()
        return torch.cat(self._rows) if self._rows else torch.zeros(0, 6, dtype=torch.float64)

    def nonfinite_losses(self) -> str:
        """The end of a sentence that names the players whose losses were not finite at the start of the last step."""
        losses = self.table()[-1:, ..., 3:5].reshape(-1, 2)
        bad = [name for name, one in zip(_PLAYERS, losses.T, strict=True) if not bool(one.isfinite().all())]
        return f", where the loss of the {' and that of the '.join(bad)} was not finite" if bad else ""

    def as_dict(self) -> dict[str, int | torch.Tensor]:
        """The ``stats`` of a Solution."""
        table = self.table()
        shared = table if table.ndim == 2 else table[:, 0]
        return {
            "nfe": self.nfe,
            "steps": self.steps,
            "rejected": self.rejected,
            "t": shared[:, 0],
            "step_size": shared[:, 1],
            "error_ratio": shared[:, 2],
            "losses": table[..., 3:5],
            "field_norm": table[..., 5],
        }
