"""``Solver``: the facts of one solver, on which every decision about it rests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Solver:
    """The facts of one solver.

    Attributes:
        name: what ``solver=`` takes.
        order: of its global error; None where it has none in the usual sense, or where it is not known.
        stages: minibatches that one (attempted) step reads where every stage has its own; None where that varies.
        adaptive: it chooses its own steps.
        remarks: one line for the table.
        options: the names that ``options=`` takes.
        torchdiffeq: it runs in torchdiffeq's frame; the others are the optimizers of ``odegan.solvers.baselines``.
        multistep: its step depends on the steps before.
        carries_stage: it reuses an evaluation that the step before made elsewhere than at this step's start.
        opaque: it steps out of sight: nothing is called back between its steps.
        in_turn: it moves the players one after the other.
        normalizes: it divides every parameter's step by the size of its own gradients.
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
        """Whether minibatches may change between its steps: no history of the field is kept."""
        return not (self.multistep or self.opaque)

    @property
    def fixed_one_step(self) -> bool:
        """Whether it has a Runge-Kutta map (f, t, h, y) -> y1."""
        return self.torchdiffeq and self.one_step and not self.adaptive

    @property
    def implicit(self) -> bool:
        """Whether it solves equations within a step: how often it evaluates the field varies."""
        return self.fixed_one_step and self.stages is None

    @property
    def evaluations(self) -> int | None:
        """Evaluations of the joint field in one (attempted) step, with default options: the unit of ``nfe``."""
        return 1 if self.in_turn else self.stages

    @property
    def kind(self) -> str:
        """How it steps: "fixed", "adaptive" or "multistep"."""
        return "adaptive" if self.adaptive else "multistep" if self.multistep else "fixed"
