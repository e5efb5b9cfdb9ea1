"""``Solver``: the facts about one solver, on which every decision about it is based."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Solver:
    """The facts about one solver.

    Attributes:
        name: the value of ``solver=``.
        order: order of its global error; None if it has none in the usual sense, or if it is unknown.
        stages: minibatches that one (attempted) step reads with ``refresh="stage"``; None if that varies.
        adaptive: whether it chooses its own steps.
        remarks: one line for the table.
        options: the names that ``options=`` accepts.
        torchdiffeq: whether torchdiffeq runs it; the others are the optimizers of ``odegan.solvers.baselines``.
        multistep: whether its step depends on earlier steps.
        carries_stage: whether it reuses an evaluation of the previous step that was not made at the new step's start.
        opaque: whether its steps are hidden, without a callback between them.
        in_turn: whether it updates the players one after the other.
        normalizes: whether it divides every parameter's step by the size of its own gradients.

    Examples:
        >>> import odegan
        >>> heun = odegan.solvers.get("heun2")
        >>> heun.order, heun.evaluations, heun.kind
        (2, 2, 'fixed')
    """

    name: str
    order: int | None
    stages: int | None
    adaptive: bool = False
    remarks: str = ""
    options: tuple[str, ...] = ()
    torchdiffeq: bool = True
    multistep: bool = False
    carries_stage: bool = False
    opaque: bool = False
    in_turn: bool = False
    normalizes: bool = False

    @property
    def one_step(self) -> bool:
        """Whether minibatches may change between its steps, because it keeps no history of the field."""
        return not (self.multistep or self.opaque)

    @property
    def fixed_one_step(self) -> bool:
        """Whether its step is a Runge-Kutta map (f, t, h, y) -> y1."""
        return self.torchdiffeq and self.one_step and not self.adaptive

    @property
    def implicit(self) -> bool:
        """Whether it solves equations within a step, so that the number of evaluations varies."""
        return self.fixed_one_step and self.stages is None

    @property
    def evaluations(self) -> int | None:
        """Evaluations of the joint field in one (attempted) step, with default options: the unit of ``nfe``."""
        return 1 if self.in_turn else self.stages

    @property
    def kind(self) -> str:
        """How it steps: "fixed", "adaptive" or "multistep"."""
        return "adaptive" if self.adaptive else "multistep" if self.multistep else "fixed"
