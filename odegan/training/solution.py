"""``Solution``: the result of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Solution:
    """A trajectory at the reported times.

    Attributes:
        ts: (T,) float64, the reported times; fewer than requested if the run ended early.
        ys: (T, P), or (T, E, P) of an ensemble, the states at these times; a member's rows are NaN after it stopped.
        y: (P,) or (E, P), the last finite state.
        t: the time of y.
        status: "finished"; "stopped", by a non-finite field with on_nonfinite="stop" or by a callback that returned True; or
            "interrupted", by Ctrl-C.
        stats: a dict. ``nfe``, ``steps`` and ``rejected`` are numbers of field evaluations (of one member) and of accepted and
            rejected steps. ``t``, ``step_size``, ``error_ratio`` (steps,), ``losses`` (steps, 2) or (steps, E, 2) and
            ``field_norm`` (steps,) or (steps, E) are CPU tensors with an entry per accepted step. ``stopped_at`` is the time at
            which the run, or each member, turned non-finite, or None; ``compiled`` tells whether this call ran compiled code.
        message: why the run ended.

    All of this is plain data: ``torch.save(vars(solution), path)`` writes it, ``Solution(**torch.load(path))`` reads it.

    Examples:
        >>> Solution(torch.tensor([0.0]), torch.zeros(1, 3), torch.zeros(3), 0.0, "finished", {"steps": 0, "nfe": 0})
        Solution(finished at t = 0; ys (1, 3); steps 0, nfe 0)
    """

    ts: torch.Tensor
    ys: torch.Tensor
    y: torch.Tensor
    t: float
    status: str
    stats: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    def __repr__(self) -> str:
        """A summary in one line."""
        counts = ", ".join(f"{key} {self.stats[key]}" for key in ("steps", "nfe", "rejected") if key in self.stats)
        return f"Solution({self.status} at t = {self.t:g}; ys {tuple(self.ys.shape)}; {counts})"


class NonFiniteError(RuntimeError):
    """The field turned non-finite.

    Args:
        message: where and when, in one line.
        solution: the results up to then, with the status "stopped"; also an attribute.

    Examples:
        >>> import odegan
        >>> run = {"solver": "euler", "step_size": 1e30}
        >>> try:
        ...     odegan.odeint_gan(odegan.games.bilinear(), torch.ones(2), steps=9, **run)
        ... except NonFiniteError as error:
        ...     error.solution.status
        'stopped'
    """

    def __init__(self, message: str, solution: Solution) -> None:
        super().__init__(message)
        self.solution = solution
