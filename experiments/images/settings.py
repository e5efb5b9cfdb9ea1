"""The settings that ``compare`` trains: a preset under solvers, step sizes and penalties, at equal field evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from experiments.framework.solver_defaults import family
from experiments.framework.solver_options import evaluations_per_step
from experiments.images.preset import Preset
from experiments.images.solvers import OPTIMIZERS, with_solver
from odegan import solvers
from odegan.utils.checks import argument_error, check_number


class Cost(NamedTuple):
    """How long each run is: field evaluations (None: those of the preset), and how often it is scored."""

    evaluations: int | None
    reports: int


def evaluations(preset: Preset) -> int:
    """Field evaluations of a preset's own run."""
    return preset.steps * evaluations_per_step(preset.keywords())


def variants(
    preset: Preset, names: Sequence[str], step_sizes: Sequence[float], penalties: Sequence[str], cost: Cost
) -> dict[str, Preset]:
    """Every solver with every step size and every penalty, by a name such as "euler@0.2, r1:1".

    A solver NAME@STEP_SIZE keeps its own step size; without step sizes or penalties each has what suits it.

    >>> from experiments.images.presets import get
    >>> list(variants(get("digits"), ["euler@0.2", "heun2"], [0.2, 0.4], ["none"], Cost(6000, 10)))
    ['euler@0.2, none', 'heun2@0.2, none', 'heun2@0.4, none']
    """
    found = {}
    tried: Sequence[str | None] = penalties or [None]
    sizes: Sequence[float | None] = step_sizes or [None]
    for text, penalty in product(names, tried):
        for size in [None] if "@" in text else sizes:
            named = text if size is None else f"{text}@{size:g}"
            title = named if penalty is None else f"{named}, {penalty}"
            found[title] = at_equal_cost(preset, variant(preset, text, size, penalty), cost)
    return found


def variant(preset: Preset, text: str, step_size: float | None, penalty: str | None) -> Preset:
    """The preset with the solver NAME or NAME@STEP_SIZE, with a step size of ``--step-sizes``, and with a penalty.

    A schedule is scaled so that its longest step is the one given. A step size of ``--step-sizes`` is one of the preset's own
    kind of solver; of an optimizer, the learning rate is the same multiple of what it has otherwise.
    """
    name, at, size = text.partition("@")
    if solvers.get(name).adaptive:
        argument_error("solvers", name, "fixed-step solvers, whose evaluations can be counted beforehand")
    fields = (
        name not in OPTIMIZERS and preset.solver not in OPTIMIZERS
    )  # which have steps of one kind, and so one schedule
    given = bool(at) or step_size is not None
    new = replace(preset, solver=name, option=()) if given and fields else with_solver(preset, name)
    if at:
        new = scaled(new, _number(text, size))
    elif step_size is not None:
        check_number("step_sizes", step_size, low=0.0, strict=True)
        other = name in OPTIMIZERS and family(name) != family(preset.solver)
        longest = max(new.step_size)
        new = scaled(new, longest * step_size / max(preset.step_size) if other else step_size)
    return new if penalty is None else replace(new, penalty=(penalty,))


def scaled(preset: Preset, longest: float) -> Preset:
    """The preset with its schedule scaled so that its longest step is this."""
    factor = longest / max(preset.step_size)
    # Rounded: the product of a factor and a step shows digits such as 0.060000000000000005 in tables and file names.
    new = replace(preset, step_size=tuple(h if factor == 1 else round(h * factor, 12) for h in preset.step_size))
    new.check()
    return new


def at_equal_cost(preset: Preset, new: Preset, cost: Cost) -> Preset:
    """The new preset, as long as field evaluations pay for; its average spans as many evaluations as the preset's own."""
    own = evaluations_per_step(preset.keywords())
    each = evaluations_per_step(new.keywords())
    steps = max(1, (cost.evaluations or evaluations(preset)) // each)
    # A step that costs more evaluations weighs more in an average over evaluations.
    decay = max(0.0, 1 - (1 - preset.decay) * each / own)
    every = math.ceil(steps / cost.reports)
    return replace(new, steps=steps, every=every, decay=decay, averages=preset.averages[:1])


def _number(text: str, size: str) -> float:
    try:
        return check_number("solvers", float(size), low=0.0, strict=True)
    except ValueError:
        argument_error("solvers", text, "NAME or NAME@STEP_SIZE")
