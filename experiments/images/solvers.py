"""A preset under another solver."""

from __future__ import annotations

from dataclasses import replace

from experiments.framework.solver_defaults import ByFamily, by_family, family
from experiments.images.preset import Preset

OPTIMIZERS = ("adam", "rmsprop")
# Steps of fields and learning rates of optimizers, for a preset whose own solver is of another kind.
PUBLISHED = by_family(0.02, euler=0.01, adam=2e-4, rmsprop=1e-4)
DIGITS = by_family(0.4, ("generator_gradient:0.05",), euler=0.2, adam=1e-3, rmsprop=1e-3)
BY_NETWORKS: dict[str, ByFamily] = {"digits": DIGITS}


def with_solver(preset: Preset, solver: str) -> Preset:
    """The preset with a solver's own step size and options, where it is another kind of solver than the preset's.

    Optimizers take no penalty unless the preset itself has an optimizer: a penalty's weight is meant for one kind.

    >>> from experiments.images.presets import get
    >>> adam = with_solver(get("digits"), "adam")
    >>> adam.step_size, adam.penalty, with_solver(get("digits"), "rk4").step_size
    ((0.001,), (), (0.4,))
    """
    if solver == preset.solver:
        return preset
    if family(solver) == family(preset.solver):
        return replace(preset, solver=solver, option=())
    own = BY_NETWORKS.get(preset.networks, PUBLISHED)[family(solver)]
    new = replace(preset, solver=solver, step_size=(own.step_size,), change=(), option=own.option)
    if solver in OPTIMIZERS and preset.solver not in OPTIMIZERS:
        return replace(new, penalty=own.penalty, placement=own.placement)
    return new
