"""What an experiment takes for a solver where the command line says nothing: the step, the penalty, the solver's own options.

A step that suits a Runge-Kutta method is no learning rate: Adam with steps of 0.4 turns non-finite within ten of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Solvers that need a default of their own; all others are taken as Runge-Kutta methods.
FAMILIES = ("euler", "adam", "rmsprop")
RUNGE_KUTTA = "runge_kutta"


@dataclass(frozen=True)
class SolverDefaults:
    """Step size or learning rate, penalties NAME:WEIGHT, where they act, and the solver's options NAME=VALUE."""

    step_size: float
    penalty: tuple[str, ...] = ()
    placement: str = "after_step"
    option: tuple[str, ...] = ()


ByFamily = Mapping[str, SolverDefaults]


def by_family(
    step_size: float,
    penalty: tuple[str, ...] = (),
    placement: str = "after_step",
    *,
    euler: float,
    adam: float,
    rmsprop: float,
) -> ByFamily:
    """The defaults of an experiment: the penalty belongs to the steps of the field, and the optimizers go without.

    >>> by_family(0.4, ("r1:1",), euler=0.2, adam=2e-4, rmsprop=1e-4)["adam"].option
    ('betas=0.5,0.999',)
    """
    return {
        RUNGE_KUTTA: SolverDefaults(step_size, penalty, placement),
        "euler": SolverDefaults(euler, penalty, placement),
        "adam": SolverDefaults(adam, placement="field", option=("betas=0.5,0.999",)),
        "rmsprop": SolverDefaults(rmsprop, placement="field"),
    }


def family(solver: str) -> str:
    """Which entry of the defaults belongs to a solver.

    >>> family("adam"), family("heun2"), family("dopri5")
    ('adam', 'runge_kutta', 'runge_kutta')
    """
    return solver if solver in FAMILIES else RUNGE_KUTTA
