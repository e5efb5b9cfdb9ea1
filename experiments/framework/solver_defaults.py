"""An experiment's defaults for each solver: the step, the penalty, the solver's own options.

A step size that suits a Runge-Kutta method is no learning rate: Adam with steps of 0.4 turns non-finite within ten steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Solvers with their own defaults; all others have those of Runge-Kutta methods.
FAMILIES = ("euler", "adam", "rmsprop")
RUNGE_KUTTA = "runge_kutta"


@dataclass(frozen=True)
class SolverDefaults:
    """Step size or learning rate, penalties NAME:WEIGHT, their placement, and the solver's options NAME=VALUE."""

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
    """The defaults of an experiment; Adam and RMSProp have no penalty.

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
    """The entry of the defaults that applies to a solver.

    >>> family("adam"), family("heun2"), family("dopri5")
    ('adam', 'runge_kutta', 'runge_kutta')
    """
    return solver if solver in FAMILIES else RUNGE_KUTTA
