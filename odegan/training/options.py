"""The options of a run, parsed once: names looked up, numbers checked, senseless combinations refused."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from odegan import solvers
from odegan.field.schedules import Schedule, in_steps
from odegan.field.training_field import Penalty, Rates, check_rates
from odegan.solvers import baselines
from odegan.training.time_grid import to_float
from odegan.utils.checks import argument_error, check_bool, check_int, check_number, choose
from odegan.utils.distributed import Ranks, ranks

PLACEMENTS = ("field", "after_step", "first_stage")
PLAYERS = ("joint", "frozen")
ON_NONFINITE = ("raise", "stop")

_SCIPY = ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")
_POSITIVE = {"first_step", "min_step", "max_step", "safety", "ifactor", "dfactor"}  # torchdiffeq's options

SHORTEST = 1e-6  # part of a run's length: a step size that is a function of time and falls below it goes nowhere

StepSize = float | torch.Tensor | Schedule | Callable[[float], float]


@dataclass(frozen=True)
class Options:
    """What Stepper, odeint_gan and the experiments' command line share. Made by ``parse``."""

    solver: solvers.Solver
    step_size: StepSize | None
    refresh: float | str | None
    rates: Rates
    penalties: tuple[Penalty, ...]
    placement: str
    players: str
    rtol: Any
    atol: Any
    clip: float | None
    solver_options: dict[str, Any] = field(default_factory=dict)
    compile: bool | str = False
    micro_batch: int | None = None
    ranks: Ranks | None = None
    checkpoint_steps: int | None = None  # refresh intervals whose graph is made again in the backward pass
    horizon: float = 0.0  # a run's length in time, where its end is one
    projects: bool = False  # whether the game has a projection: the caller, who knows the game, says so

    def step_at(self, t: float, number: int) -> Any:
        """The size of the step of this number, from time t: a number, or the tensor that was given."""
        if not callable(self.step_size):
            return self.step_size
        counted = in_steps(self.step_size)
        h = self.step_size(number if counted else t)
        where = f"step {number}" if counted else f"t = {t:g}"
        check_number(f"step_size at {where}", h, low=0.0, strict=True)
        if not counted and to_float(h) < SHORTEST * self.horizon:
            argument_error(
                f"step_size at {where}",
                h,
                f"at least {SHORTEST:g} of the run's length {self.horizon:g}, whose end it would hardly reach; a schedule that "
                "falls to zero goes in steps: odegan.schedules with unit='steps', and steps=... instead of t",
            )
        return h

    @property
    def counts_steps(self) -> bool:
        """Whether a rate or a penalty's weight is a schedule in steps."""
        return any(in_steps(value) for value in [*self.rates, *(getattr(p, "weight", None) for p in self.penalties)])

    @property
    def field_rates(self) -> Rates:
        """The rates within the field: a baseline has them multiply its step instead, where Adam's rule would cancel them."""
        return (1.0, 1.0) if self.solver.name in solvers.BASELINES else self.rates

    @functools.cached_property
    def stages(self) -> int:
        """How many minibatches one refresh interval reads."""
        if self.refresh != "stage":
            return 1
        name = self.solver.name
        return (
            baselines.stages(name, self.solver_options) if name in solvers.BASELINES else int(self.solver.stages or 1)
        )

    def penalties_act(self, placement: str) -> bool:
        """Whether there are penalties, and they act there."""
        return bool(self.penalties) and self.placement == placement

    @functools.cached_property
    def evaluations(self) -> int:
        """Field evaluations of one fixed step: of both players, or of the one evaluated most often."""
        name = self.solver.name
        if name in solvers.BASELINES:
            return baselines.evaluations(name, self.solver_options)
        return int(self.solver.stages or 1)

    @functools.cached_property
    def several_steps(self) -> bool:
        """Whether a refresh interval holds more than one fixed step."""
        return isinstance(self.refresh, int | float) and self.refresh != math.inf

    @property
    def remembers(self) -> bool:
        """Whether a penalty keeps samples between steps."""
        return any(getattr(penalty, "replay", None) is not None for penalty in self.penalties)

    def one_call(self, has_data: bool) -> bool:
        """Whether the whole run is one call of torchdiffeq's solver on one smooth field."""
        plain = self.players == "joint" and (self.placement == "field" or not self.penalties)
        plain = plain and not self.remembers and not self.projects and not self.counts_steps
        plain = plain and self.checkpoint_steps is None
        still = self.refresh == math.inf or (not has_data and self.refresh is None)
        return self.solver.torchdiffeq and plain and still


def parse(
    *,
    solver: str = "rk4",
    step_size: StepSize | None = None,
    refresh: float | str | None = None,
    rates: Rates = (1.0, 1.0),
    penalties: Sequence[Penalty] = (),
    placement: str = "field",
    players: str = "joint",
    rtol: Any = 1e-4,
    atol: Any = 1e-6,
    options: dict[str, Any] | None = None,
    clip: float | None = None,
    compile: bool | str = False,
    micro_batch: int | None = None,
    distributed: bool = False,
    projects: bool = False,
) -> Options:
    """Check every argument by itself; see ``odeint_gan`` for their meaning."""
    facts = solvers.get(solver)
    options = _options(facts, options)
    if "step_size" in options:
        if step_size is not None:
            argument_error("options", "step_size", "left out when the argument step_size is given")
        step_size = options.pop("step_size")
    _check_step_size(facts, step_size, options)
    if isinstance(refresh, str):
        near = " (did you mean 'stage'?)" if difflib.get_close_matches(refresh, ["stage"]) else ""
        if refresh != "stage":
            argument_error("refresh", refresh, f"None (every step), 'stage', math.inf (never) or a time > 0{near}")
    elif refresh is not None and refresh != math.inf:
        check_number("refresh", refresh, low=0.0, strict=True)
    _check_multiple(refresh, step_size)
    _check_tolerances(rtol, atol)
    if not isinstance(compile, bool | str):
        argument_error("compile", compile, "True, False, or the name of a torch.compile backend")
    if isinstance(compile, str) and compile not in torch.compiler.list_backends(exclude_tags=()):
        choose("compile", compile, torch.compiler.list_backends())
    if facts.name in solvers.BASELINES:
        baselines.make(facts.name, options)
    return Options(
        solver=facts,
        step_size=step_size,
        refresh=refresh,
        rates=check_rates(rates),
        penalties=tuple(penalties)
        if isinstance(penalties, tuple | list)
        else argument_error("penalties", penalties, "a list"),
        placement=choose("placement", placement, PLACEMENTS),
        players=choose("players", players, PLAYERS),
        rtol=rtol,
        atol=atol,
        clip=None if clip is None else check_number("clip", clip, low=0.0, strict=True),
        solver_options=options,
        compile=compile,
        micro_batch=None if micro_batch is None else check_int("micro_batch", micro_batch, low=1),
        ranks=ranks() if check_bool("distributed", distributed) else None,
        projects=projects,
    )


def _options(facts: solvers.Solver, options: dict[str, Any] | None) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        argument_error("options", options, "a dict or None")
    allowed = [*facts.options, *(() if facts.adaptive else ("step_size",))]
    for key in options:
        if not allowed:
            argument_error("options", key, f"empty: {facts.name} takes none")
        choose(f"options of {facts.name}", key, allowed)
    choose("options interp", options.get("interp", "linear"), ["linear", "cubic"])
    check_bool("options perturb", options.get("perturb", False))
    if facts.name == "scipy_solver":
        choose("options solver", options.get("solver", "LSODA"), _SCIPY)
    if not callable(options.get("grid_constructor", max)):
        argument_error("options grid_constructor", options["grid_constructor"], "a function (func, y0, t) -> grid")
    for key in _POSITIVE & options.keys():
        if options[key] is not None and options[key] != math.inf:
            check_number(f"options {key}", options[key], low=0.0, strict=key != "min_step")
    for key in ("max_num_steps", "max_order", "max_iters"):
        if key in options:
            check_int(f"options {key}", options[key], low=1)
    return dict(options)


def _check_step_size(facts: solvers.Solver, step_size: Any, options: dict[str, Any]) -> None:
    if facts.adaptive:
        if step_size is not None:
            argument_error(
                "step_size",
                step_size,
                f"left out: {facts.name} chooses its own (a first one is options={{'first_step': h}})",
            )
    elif "grid_constructor" in options:
        if step_size is not None:
            argument_error("step_size", step_size, "left out when options has a grid_constructor")
    elif step_size is None:
        argument_error("step_size", None, f"a number > 0 or a function of time: {facts.name} takes fixed steps")
    elif not callable(step_size):
        check_number("step_size", step_size, low=0.0, strict=True)


def _check_multiple(refresh: Any, step_size: Any) -> None:
    """A fixed refresh interval holds a whole number of fixed steps."""
    if isinstance(refresh, str) or refresh in (None, math.inf) or step_size is None or callable(step_size):
        return
    h = to_float(step_size)
    steps = float(refresh) / h
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-9 * steps:
        argument_error("refresh", refresh, f"a whole multiple of step_size = {h:g}")


def _check_tolerances(rtol: Any, atol: Any) -> None:
    """Each a number >= 0, or a tensor of them, one a parameter; not both zero anywhere."""
    for name, tolerance in {"rtol": rtol, "atol": atol}.items():
        if not (isinstance(tolerance, torch.Tensor) and tolerance.numel() > 1):
            check_number(name, tolerance, low=0.0)
        elif not (torch.isfinite(tolerance) & (tolerance >= 0)).all():
            argument_error(name, "a negative or non-finite number in it", "finite numbers >= 0")
    relative, absolute = (torch.as_tensor(tolerance, dtype=torch.float64).detach().cpu() for tolerance in (rtol, atol))
    same = 1 in (relative.numel(), absolute.numel()) or relative.shape == absolute.shape
    if same and bool(((relative == 0) & (absolute == 0)).any()):
        argument_error("rtol, atol", (0, 0), "such that not both are 0: no step would be small enough")
