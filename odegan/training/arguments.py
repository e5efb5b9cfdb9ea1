"""The arguments that ``odeint_gan`` and ``Stepper`` share: their defaults, and the checks of each."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from odegan import solvers
from odegan.field.training_field import Penalty
from odegan.solvers import baselines
from odegan.solvers.rates import Rates, check_rates
from odegan.training.options import Options, StepSize, Tolerance, check_length
from odegan.training.time_grid import to_float
from odegan.utils.checks import (
    argument_error,
    check_arity,
    check_bool,
    check_constant,
    check_function,
    check_int,
    check_number,
    choose,
)
from odegan.utils.distributed import ranks
from odegan.utils.keywords import name_here

if TYPE_CHECKING:
    from typing_extensions import Unpack

# What other libraries call an option of a baseline.
_ELSEWHERE = {
    **dict.fromkeys(("n_critic", "critic_steps", "d_steps", "n_dis"), "disc_steps"),
    **dict.fromkeys(("lr", "learning_rate"), "step_size"),
    **dict.fromkeys(("beta1", "beta2"), "betas"),
}

PLACEMENTS = ("field", "after_step", "first_stage")
PLAYERS = ("joint", "frozen")

_SCIPY = ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")
_POSITIVE = {"first_step", "min_step", "max_step", "safety", "ifactor", "dfactor"}  # torchdiffeq's options
_BOUNDS = {"safety": (0.0, 1.0), "dfactor": (0.0, 1.0), "ifactor": (1.0, math.inf)}


class Arguments(TypedDict, total=False):
    """The shared arguments; see ``odeint_gan`` for their meaning."""

    solver: str
    step_size: StepSize | None
    refresh: float | str | None
    rates: Rates
    penalties: Sequence[Penalty]
    placement: str
    players: str
    rtol: Tolerance
    atol: Tolerance
    options: dict[str, Any] | None
    clip: float | None
    compile: bool | str
    micro_batch: int | None
    distributed: bool


DEFAULTS: Arguments = {
    "solver": "rk4",
    "step_size": None,
    "refresh": None,
    "rates": (1.0, 1.0),
    "penalties": (),
    "placement": "field",
    "players": "joint",
    "rtol": 1e-4,
    "atol": 1e-6,
    "options": None,
    "clip": None,
    "compile": False,
    "micro_batch": None,
    "distributed": False,
}


def parse(projects: bool = False, **given: Unpack[Arguments]) -> Options:
    """Check every argument individually. projects: whether the game has a projection."""
    # Defaults are in one place, so that a stepper and a run with the same arguments agree.
    known: Arguments = {**DEFAULTS, **given}
    solver = solvers.get(known["solver"])
    options = _solver_options(solver, known["options"])
    step_size = known["step_size"]
    if "step_size" in options:
        if step_size is not None:
            argument_error("options", "step_size", "left out when the argument step_size is given")
        # torchdiffeq's own place for it; both spellings mean the same here.
        step_size = options.pop("step_size")
    _check_step_size(solver, step_size, options)
    _check_refresh(known["refresh"], step_size)
    _check_tolerances(known["rtol"], known["atol"])
    _check_compile(known["compile"])
    if solver.name in solvers.BASELINES:
        baselines.make(solver.name, options)  # refuses values that the optimizer cannot take
    penalties = known["penalties"]
    clip = known["clip"]
    micro_batch = known["micro_batch"]
    if not isinstance(penalties, tuple | list):
        argument_error("penalties", penalties, "a list")
    return Options(
        solver=solver,
        step_size=step_size.reshape(()) if isinstance(step_size, torch.Tensor) else step_size,
        refresh=known["refresh"],
        rates=check_rates(known["rates"]),
        penalties=tuple(penalties),
        placement=choose("placement", known["placement"], PLACEMENTS),
        players=choose("players", known["players"], PLAYERS),
        rtol=known["rtol"],
        atol=known["atol"],
        clip=None if clip is None else check_constant("clip", clip, low=0.0, strict=True),
        solver_options=options,
        compile=known["compile"],
        micro_batch=None if micro_batch is None else check_int("micro_batch", micro_batch, low=1),
        ranks=ranks() if check_bool("distributed", known["distributed"]) else None,
        projects=projects,
    )


def refuse_assignment(name: str, value: object, arguments: Collection[str]) -> None:
    """Refuse to set an argument of an existing stepper, as one sets ``param_group["lr"]``: nothing would read it."""
    here = name_here(name, arguments)
    if here is None or isinstance(value, Options):
        return
    what = "given" if here == name else f"given as {here}"
    scheduled = here.startswith(("step_size", "rates", "penalties"))
    remedy = "give a schedule (odegan.schedules), or make a new stepper" if scheduled else "make a new one"
    argument_error(name, value, f"{what} when the stepper is made: {remedy} that goes on from this one's state")


def _solver_options(solver: solvers.Solver, options: dict[str, Any] | None) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        argument_error("options", options, "a dict or None")
    # Unknown options only warn in torchdiffeq, and a misspelled one would go unnoticed.
    allowed = [*solver.options, *(() if solver.adaptive else ("step_size",))]
    for key in options:
        if not allowed:
            argument_error("options", key, f"empty: {solver.name} takes none")
        choose(f"options of {solver.name}", key, allowed, _ELSEWHERE)
    choose("options interp", options.get("interp", "linear"), ["linear", "cubic"])
    check_bool("options perturb", options.get("perturb", False))
    if solver.name == "scipy_solver":
        choose("options solver", options.get("solver", "LSODA"), _SCIPY)
    if "grid_constructor" in options:
        check_function("options grid_constructor", options["grid_constructor"], 3, "a function (func, y0, t) -> grid")
    for key in _POSITIVE & options.keys():
        if options[key] is not None and options[key] != math.inf:
            check_number(f"options {key}", options[key], low=0.0, strict=key != "min_step")
    for key, (least, most) in _BOUNDS.items():
        if options.get(key) is not None and not least <= to_float(options[key]) <= most:
            argument_error(f"options {key}", options[key], f"between {least:g} and {most:g}, or no step would fit")
    for key in ("max_num_steps", "max_order", "max_iters"):
        if key in options:
            check_int(f"options {key}", options[key], low=1)
    if options.get("norm") is not None:
        check_arity("options norm", options["norm"], 1, "a function of a tensor")
    return dict(options)


def _check_step_size(solver: solvers.Solver, step_size: StepSize | None, options: dict[str, Any]) -> None:
    if solver.adaptive:
        if step_size is not None:
            argument_error(
                "step_size",
                step_size,
                f"left out: {solver.name} chooses its own (a first one is options={{'first_step': h}})",
            )
    elif "grid_constructor" in options:
        if step_size is not None:
            argument_error("step_size", step_size, "left out when options has a grid_constructor")
    elif step_size is None:
        argument_error("step_size", None, f"a number > 0 or a function of time: {solver.name} takes fixed steps")
    elif callable(step_size):
        check_arity("step_size", step_size, 1, "a number > 0 or a function of time")
    elif isinstance(step_size, tuple | list):
        argument_error(
            "step_size", step_size, "a number > 0; two learning rates are rates=(a, b), its factors for D and G"
        )
    else:
        check_number("step_size", step_size, low=0.0, strict=True)


def _check_refresh(refresh: float | str | None, step_size: StepSize | None) -> None:
    """None, "stage", math.inf, or a time > 0 that is a whole number of fixed steps."""
    if isinstance(refresh, str):
        near = " (did you mean 'stage'?)" if difflib.get_close_matches(refresh, ["stage"]) else ""
        if refresh != "stage":
            argument_error("refresh", refresh, f"None (every step), 'stage', math.inf (never) or a time > 0{near}")
        return
    if refresh is None or refresh == math.inf:
        return
    check_number("refresh", refresh, low=0.0, strict=True)
    if step_size is None or callable(step_size):
        return
    check_length(step_size, float(refresh))
    h = to_float(step_size)
    steps = float(refresh) / h
    # Relative, since 0.3 / 0.1 is not 3 in binary.
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-9 * steps:
        argument_error("refresh", refresh, f"a whole multiple of step_size = {h:g}")


def _check_compile(compile: bool | str) -> None:
    if not isinstance(compile, bool | str):
        argument_error("compile", compile, "True, False, or the name of a torch.compile backend")
    # Debugging backends are hidden from the list without exclude_tags, and worth naming only where the user did.
    if isinstance(compile, str) and compile not in torch.compiler.list_backends(exclude_tags=()):
        choose("compile", compile, torch.compiler.list_backends())


def _check_tolerances(rtol: Tolerance, atol: Tolerance) -> None:
    """Each a number >= 0, or a tensor of them, one per parameter; not both zero anywhere."""
    for name, tolerance in {"rtol": rtol, "atol": atol}.items():
        if not (isinstance(tolerance, torch.Tensor) and tolerance.numel() > 1):
            check_number(name, tolerance, low=0.0)
        elif not (torch.isfinite(tolerance) & (tolerance >= 0)).all():
            argument_error(name, "a negative or non-finite number in it", "finite numbers >= 0")
    relative, absolute = (torch.as_tensor(tolerance, dtype=torch.float64).detach().cpu() for tolerance in (rtol, atol))
    same = 1 in (relative.numel(), absolute.numel()) or relative.shape == absolute.shape
    if same and bool(((relative == 0) & (absolute == 0)).any()):
        argument_error("rtol, atol", (0, 0), "such that not both are 0: no step would be small enough")
