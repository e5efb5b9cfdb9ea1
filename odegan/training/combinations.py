"""Options that make no sense together, each with the sentence that refuses it; every other combination works."""

from __future__ import annotations

import math
from collections.abc import Callable

from odegan import solvers
from odegan.training.options import Options
from odegan.utils.checks import ArgumentError


def check_combination(options: Options, has_data: bool, members: int | None) -> None:
    """Refuse options that make no sense together, or in a run with or without data, or of an ensemble.

    Args:
        options: parsed.
        has_data: whether the run draws minibatches.
        members: number of members of an ensemble; None: a single run.

    Raises:
        ArgumentError: in one line, with what came and what to do.
    """
    for applies, sentence in REFUSED:
        # In order: the first sentence is the one that the user reads, so the more specific ones stand first.
        if applies(options.solver, options, has_data, members):
            raise ArgumentError(sentence.format(solver=options.solver.name, refresh=options.refresh))


# Which combinations of placement, players, refresh, adaptive, ensemble and data make no sense, each with its sentence.
_Test = Callable[[solvers.Solver, Options, bool, "int | None"], bool]
REFUSED: list[tuple[_Test, str]] = [
    (
        lambda s, a, data, members: a.checkpoint_steps is not None and not s.fixed_one_step and s.torchdiffeq,
        "checkpoint_steps: got it with {solver}; gradients are computed again along fixed steps, so choose a fixed-step "
        "Runge-Kutta solver or a baseline",
    ),
    (
        lambda s, a, data, members: s.torchdiffeq and not s.one_step and a.counts_steps,
        "penalties, rates: got a schedule in steps with {solver}, which keeps a history of one smooth field; choose a one-step "
        "solver",
    ),
    (
        lambda s, a, data, members: s.adaptive and data and a.refresh is None,
        "refresh: got None with the adaptive solver {solver} and data; give the time between fresh minibatches, or math.inf "
        "for one fixed minibatch",
    ),
    (
        lambda s, a, data, members: s.adaptive and a.refresh == "stage",
        "refresh: got 'stage' with the adaptive solver {solver}; its error estimate compares stages of one field, so give a "
        "number or math.inf",
    ),
    (
        lambda s, a, data, members: not data and a.refresh == "stage",
        "refresh: got 'stage' without data; there is no minibatch to refresh",
    ),
    (
        lambda s, a, data, members: a.remembers and s.torchdiffeq and not s.one_step,
        "penalties: got replay buffers with {solver}, which keeps a history of one smooth field; choose a one-step solver, "
        "or buffer=0",
    ),
    (
        lambda s, a, data, members: a.remembers and not data,
        "penalties: got replay buffers without data; use buffer=0",
    ),
    (
        lambda s, a, data, members: a.projects and s.torchdiffeq and not s.one_step,
        "solver: got {solver}, which keeps a history of one smooth field, with a game that has a projection between steps; "
        "choose a one-step solver",
    ),
    (
        lambda s, a, data, members: s.torchdiffeq and not s.one_step and not a.one_call(data),
        "solver: {solver} keeps a history of one smooth field; use it with players='joint', placement='field' and "
        "refresh=math.inf (or no data), or choose a one-step solver",
    ),
    (
        lambda s, a, data, members: bool(a.penalties) and a.placement == "first_stage" and not s.fixed_one_step,
        "placement: got 'first_stage' with {solver}, which has no first stage of its own in every step; use a fixed-step "
        "Runge-Kutta solver, or placement='field'",
    ),
    (
        lambda s, a, data, members: (
            bool(a.penalties) and a.placement == "first_stage" and solvers.first_stage_weight(s.name) == 0
        ),
        "placement: got 'first_stage' with {solver}, whose first stage has weight b_1 = 0; use another solver or placement",
    ),
    (
        lambda s, a, data, members: (
            s.adaptive
            and a.refresh in (None, math.inf)
            and (
                a.players == "frozen"
                or (bool(a.penalties) and a.placement == "after_step")
                or a.remembers
                or a.projects
            )
        ),
        "refresh: got {refresh} with the adaptive solver {solver} and something that happens once an interval "
        "(players='frozen', placement='after_step', a penalty with replay buffers, or a game with a projection); give the "
        "interval's length",
    ),
    (
        lambda s, a, data, members: a.players == "frozen" and s.name in solvers.BASELINES,
        "players: got 'frozen' with {solver}, which already says who moves when; use a Runge-Kutta solver",
    ),
    (
        lambda s, a, data, members: "grid_constructor" in a.solver_options and not a.one_call(data),
        "options: got grid_constructor in a run that goes interval by interval; give step_size, a number or a function of time",
    ),
    (
        lambda s, a, data, members: callable(a.step_size) and s.torchdiffeq and not s.one_step,
        "step_size: got a function of time with {solver}, which needs a uniform grid; give a number",
    ),
    (
        lambda s, a, data, members: (
            bool({"step_t", "jump_t", "dtype", "norm"} & a.solver_options.keys()) and not a.one_call(data)
        ),
        "options: got step_t, jump_t, dtype or norm in a run that goes interval by interval; they are for runs on one "
        "smooth field",
    ),
    (
        lambda s, a, data, members: members is not None and "norm" in a.solver_options,
        "options: got norm for an ensemble; its members share the largest of their own RMS norms",
    ),
    (
        lambda s, a, data, members: a.compile is not False and s.opaque,
        "compile: got True with {solver}, whose steps cannot be compiled; leave it out",
    ),
    (
        lambda s, a, data, members: not data and (a.micro_batch is not None or a.ranks is not None),
        "micro_batch, distributed: got one of them without data; there is no batch to divide",
    ),
    (
        lambda s, a, data, members: a.ranks is not None and s.opaque,
        "distributed: got True with {solver}, whose steps processes cannot share; use another adaptive solver",
    ),
    (
        lambda s, a, data, members: s.adaptive and a.counts_steps,
        "penalties, rates: got a schedule in steps with the adaptive solver {solver}, which takes as many as it needs; give "
        "one in time",
    ),
    (
        lambda s, a, data, members: a.ranks is not None and a.compile is not False and a.counts_steps,
        "penalties, rates: got a schedule in steps with distributed and compile; leave compile out, or give it in time",
    ),
]
