"""Schedules: step sizes, penalty weights and rates that change along a run, in time or in steps.

A schedule is a function of one number s, the time or the number of the step, and knows which (``unit``). Steps are the refresh
intervals of a run, counted from 0, so that a resumed run continues the schedule.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, overload

import torch

from odegan.field.ensemble import Time
from odegan.utils.checks import argument_error, check_constant, check_number, choose
from odegan.utils.keywords import keywords

__all__ = ["Schedule", "cosine", "linear", "piecewise", "warmup"]

Unit = Literal["time", "steps"]
UNITS = ("time", "steps")
# What other libraries call the arguments.
_ELSEWHERE = {
    **dict.fromkeys(("steps", "n_steps", "total_steps", "T_max", "n", "max_steps"), "length, with unit='steps'"),
    **dict.fromkeys(("period", "duration", "time", "T"), "length"),
    **dict.fromkeys(("stop", "final", "eta_min", "end_value"), "end"),
    **dict.fromkeys(("initial", "init_value", "lr", "base_lr", "step_size"), "start"),
}
Position = float | torch.Tensor
Value = TypeVar("Value")


@dataclass(frozen=True)
class Schedule:
    """A value that changes with s; made by the functions of this module.

    Called with a tensor it computes in torch without a branch, so that torch.compile and vmap go through.

    Attributes:
        unit: "time" or "steps", what s is.

    Examples:
        >>> schedule = linear(1.0, 0.0, 10, unit="steps")
        >>> isinstance(schedule, Schedule), schedule.unit, schedule(5)
        (True, 'steps', 0.5)
    """

    unit: Unit

    def __post_init__(self) -> None:
        choose("unit", self.unit, UNITS)

    @overload
    def __call__(self, s: float) -> float: ...

    @overload
    def __call__(self, s: torch.Tensor) -> torch.Tensor: ...

    def __call__(self, s: Position) -> Position:
        """The value of the schedule at s."""
        return self._value(s)

    def _value(self, s: Position) -> Position:
        raise NotImplementedError

    def __repr__(self) -> str:
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "unit"}
        text = [f"{name}={value!r}" for name, value in (given | {"unit": self.unit}).items()]
        return f"{type(self).__name__.strip('_').lower()}({', '.join(text)})"


@dataclass(frozen=True, repr=False)
class _Between(Schedule):
    start: float
    end: float
    length: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("start", self.start, low=0.0)
        check_number("end", self.end, low=0.0)
        check_number("length", self.length, low=0.0, strict=True)


class _Linear(_Between):
    def _value(self, s: Position) -> Position:
        return self.start + (self.end - self.start) * _part(s, self.length)


class _Cosine(_Between):
    def _value(self, s: Position) -> Position:
        part = _part(s, self.length)
        # A number gives a number, without a tensor for every step of an eager run.
        wave = torch.cos(math.pi * part) if isinstance(part, torch.Tensor) else math.cos(math.pi * part)
        return self.end + (self.start - self.end) * (1 + wave) / 2


@dataclass(frozen=True, repr=False)
class _Piecewise(Schedule):
    values: tuple[float | torch.Tensor, ...]
    boundaries: tuple[float, ...]

    def _value(self, s: Position) -> Position:
        if not isinstance(s, torch.Tensor):
            # The slack keeps a time that is a sum of steps, such as 0.1 + 0.2 + ..., on the boundary's side.
            return self.values[bisect.bisect_right(self.boundaries, s + 1e-9 * max(1.0, abs(s)))]
        # Detached: the value has no derivative in time where it jumps; float64, since step numbers exceed 2^24 in
        # float32.
        now = s.detach().to(torch.float64)
        now = now + 1e-9 * now.abs().clamp(min=1.0)
        # ``torch.where`` and no branch: under vmap or in a compiled graph the number is unknown to Python.
        value = torch.zeros_like(now) + self.values[0]
        for edge, after in zip(self.boundaries, self.values[1:], strict=True):
            value = torch.where(now >= edge, after, value)
        return value


@dataclass(frozen=True, repr=False)
class _Warmup(Schedule):
    start: float
    then: float | Schedule
    length: float

    def _value(self, s: Position) -> Position:
        after = self.then(s) if isinstance(self.then, Schedule) else self.then
        return self.start + (after - self.start) * _part(s, self.length)


@keywords(elsewhere=_ELSEWHERE)
def linear(start: float, end: float, length: float, unit: Unit = "time") -> Schedule:
    """start + (end - start) min(s / length, 1).

    Args:
        start: the value at s = 0, >= 0.
        end: the value from s = length on, >= 0.
        length: length in time, or in steps.
        unit: what s is: "time", or "steps", the number of the refresh interval from 0 on.

    Examples:
        >>> weight = linear(1.0, 0.0, 4, unit="steps")
        >>> [weight(k) for k in (0, 1, 4, 9)]
        [1.0, 0.75, 0.0, 0.0]
    """
    return _Linear(unit, start, end, length)


@keywords(elsewhere=_ELSEWHERE)
def cosine(start: float, end: float, length: float, unit: Unit = "time") -> Schedule:
    """end + (start - end) (1 + cos(pi min(s / length, 1))) / 2; Loshchilov and Hutter 2017, equation 5, without restarts.

    A step size that falls to 0 *in time* never arrives; give it in steps, and the run's length by ``steps=``.

    Args:
        start: the value at s = 0, >= 0.
        end: the value from s = length on, >= 0.
        length: length in time, or in steps.
        unit: what s is: "time", or "steps", the number of the refresh interval from 0 on.

    Examples:
        >>> step_size = cosine(0.2, 0.0, 100, unit="steps")
        >>> step_size(0), step_size(50)
        (0.2, 0.1)
    """
    return _Cosine(unit, start, end, length)


@keywords(elsewhere=_ELSEWHERE | {"end": "then", "stop": "then"})
def warmup(start: float, then: float | Schedule, length: float, unit: Unit = "time") -> Schedule:
    """start + (then(s) - start) min(s / length, 1): a rise to ``then``, a number or a schedule of the same unit.

    Args:
        start: the value at s = 0; of a step size > 0.
        then: what follows from s = length on.
        length: length in time, or in steps.
        unit: what s is: "time", or "steps", the number of the refresh interval from 0 on.

    Examples:
        >>> step_size = warmup(0.01, cosine(0.1, 0.0, 100, unit="steps"), 10, unit="steps")
        >>> step_size(0), step_size(50)
        (0.01, 0.05)
    """
    check_number("start", start, low=0.0)
    check_number("length", length, low=0.0, strict=True)
    if not isinstance(then, Schedule):
        check_number("then", then, low=0.0)
    elif then.unit != unit:
        argument_error("then", f"a schedule in {then.unit}", f"a number, or a schedule in {unit}, as this one is")
    return _Warmup(unit, start, then, length)


@keywords(elsewhere=dict.fromkeys(("steps", "milestones", "times"), "boundaries, with unit='steps' or 'time'"))
def piecewise(values: Sequence[float | torch.Tensor], boundaries: Sequence[float], unit: Unit = "time") -> Schedule:
    """values[i] from boundaries[i - 1] on, up to boundaries[i].

    Args:
        values: n numbers or tensors (differentiable), >= 0.
        boundaries: n - 1 increasing values of s.
        unit: what s is: "time", or "steps", the number of the refresh interval from 0 on.

    The example is the beginning of ODE-GAN's schedule on CIFAR-10: 0.01 for 500 steps, then 0.04. In time, its first piece ends
    at 500 x 0.01: ``piecewise([0.01, 0.04], [5.0])``.

    Examples:
        >>> step_size = piecewise([0.01, 0.04], [500], unit="steps")
        >>> step_size(499), step_size(500)
        (0.01, 0.04)
    """
    for name, given in {"values": values, "boundaries": boundaries}.items():
        if not isinstance(given, Sequence) or isinstance(given, str):
            argument_error(name, given, "a list of numbers")
    if len(values) != len(boundaries) + 1:
        argument_error("values", list(values), f"one more than the {len(boundaries)} boundaries")
    plain = [check_number("values", value) for value in values]
    # Tensors stay as they are, since gradients flow to them.
    numbers = tuple(v if isinstance(v, torch.Tensor) else number for v, number in zip(values, plain, strict=True))
    edges = tuple(check_constant("boundaries", b) for b in boundaries)
    # bisect and the chain of ``where`` both rely on this order.
    if tuple(sorted(edges)) != edges:
        argument_error("boundaries", list(edges), "increasing")
    return _Piecewise(unit, numbers, edges)


def in_steps(value: object) -> bool:
    """Whether a value is a schedule in steps.

    Examples:
        >>> in_steps(linear(1.0, 0.0, 10, unit="steps")), in_steps(0.1)
        (True, False)
    """
    return isinstance(value, Schedule) and value.unit == "steps"


def at_step(value: Value, number: Position) -> Value | Position:
    """The value of a schedule in steps at this step; anything else is returned unchanged."""
    return value(number) if isinstance(value, Schedule) and in_steps(value) else value


def at_time(value: Position | Callable[[Any], Position], t: Time) -> Position:
    """The value of a function of time at t; a number or a tensor is constant."""
    return value(t) if callable(value) else value


def _part(s: Position, length: float) -> Position:
    """The fraction s / length of the way, within [0, 1]."""
    if isinstance(s, torch.Tensor):
        # Without a derivative in time: a differentiable step size would otherwise act on its own schedule.
        return (s.detach().to(torch.float64) / length).clamp(0.0, 1.0)
    return min(max(s / length, 0.0), 1.0)


def __dir__() -> list[str]:
    return __all__
