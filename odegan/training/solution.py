"""What a run returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch


class StepRecord(NamedTuple):
    """One accepted step, measured at its first field evaluation. Tensors stay on the device, (E, ...) in an ensemble.

    t: where it starts; step_size: its length; losses (..., 2): unpenalised, discriminator first; field_norm (...): |f|;
    error_ratio: estimated error over tolerance, nan where the solver estimates none; finite (...): whether the step
    ended in finite numbers.
    """

    t: float
    step_size: float
    losses: torch.Tensor
    field_norm: torch.Tensor
    error_ratio: float
    finite: torch.Tensor


class Statistics:
    """Counts and per-step records of a run; moved off the device in blocks, so that steps need no synchronisation."""

    BLOCK = 256

    def __init__(self) -> None:
        self.nfe = self.steps = self.rejected = 0
        self.rows: list[torch.Tensor] = []
        self._pending: list[StepRecord] = []

    def add(self, records: Sequence[StepRecord], nfe: int, rejected: int) -> None:
        """Count the steps of one refresh interval."""
        self.nfe += nfe
        self.rejected += rejected
        self.steps += len(records)
        self._pending.extend(records)
        if len(self._pending) >= self.BLOCK:
            self.flush()

    def restore(self, nfe: int, rejected: int, table: torch.Tensor) -> None:
        """Continue from a checkpoint's counts and rows."""
        self.nfe, self.rejected, self.steps = nfe, rejected, len(table)
        self.rows = [table.cpu()] if len(table) else []

    def flush(self) -> None:
        """Move what is pending into one block of rows [t, step_size, error_ratio, losses, field_norm] on the CPU."""
        if not self._pending:
            return
        measured = torch.stack([torch.cat([r.losses, r.field_norm[..., None]], -1) for r in self._pending])
        plain = torch.tensor([[r.t, r.step_size, r.error_ratio] for r in self._pending], dtype=torch.float64)
        measured = measured.detach().to("cpu", torch.float64)
        plain = plain.reshape(len(plain), *[1] * (measured.ndim - 2), 3).expand(*measured.shape[:-1], 3)
        self.rows.append(torch.cat([plain, measured], -1))
        self._pending.clear()

    def table(self) -> torch.Tensor:
        """All rows so far, (steps, 6) or (steps, E, 6)."""
        self.flush()
        return torch.cat(self.rows) if self.rows else torch.zeros(0, 6, dtype=torch.float64)

    def as_dict(self) -> dict[str, Any]:
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


@dataclass
class Solution:
    """A trajectory at the reported times.

    ts (T,): the times reported, float64; fewer than were asked for when the run ended early. ys (T, P), or (T, E, P):
    the states there, each member's rows NaN after the time at which it stopped. y (P,) or (E, P): the last finite
    state. t: its time. status: "finished", "stopped" (a non-finite field with on_nonfinite="stop", or the callback
    returned True) or "interrupted". message: why it ended. stats: nfe, steps, rejected (ints; see ``Stepper`` for what an
    evaluation is), and per accepted step the CPU tensors t, step_size, error_ratio (steps,), losses (steps, [E,] 2) and
    field_norm (steps, [E]); stopped_at: the time at which the run, or each member, turned non-finite, or None;
    compiled: whether this call ran compiled code.
    """

    ts: torch.Tensor
    ys: torch.Tensor
    y: torch.Tensor
    t: float
    status: str
    stats: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    def __repr__(self) -> str:
        """One line."""
        counts = ", ".join(f"{key} {self.stats[key]}" for key in ("steps", "nfe", "rejected") if key in self.stats)
        return f"Solution({self.status} at t = {self.t:g}; ys {tuple(self.ys.shape)}; {counts})"


class NonFiniteError(RuntimeError):
    """The field turned non-finite. ``solution`` holds what was reached before."""

    def __init__(self, message: str, solution: Solution) -> None:
        super().__init__(message)
        self.solution = solution
