"""The arguments of ``odeint_gan`` that are options of experiments."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from tyro.conf import UseAppendAction

from experiments.framework.penalty_options import PenaltyOptions
from experiments.framework.solver_defaults import ByFamily, by_family, family
from odegan import solvers
from odegan.solvers import baselines
from odegan.training.arguments import parse as parse_options
from odegan.training.combinations import check_combination
from odegan.utils.checks import argument_error

_REFRESH = {"step": None, "stage": "stage", "never": math.inf}


@dataclass
class SolverOptions(PenaltyOptions):
    """How the field is integrated; the options mean what they do in ``odegan.odeint_gan``."""

    solver: str = "rk4_classic"
    """A name of odegan.solvers.names(): euler, heun2, rk4, dopri5, adam, and so on."""
    step_size: float | None = None
    """Length of a fixed step; the learning rate of an optimizer; for adaptive solvers, which choose their own steps, the time
    between fresh minibatches. By default a value that suits the solver here."""
    refresh: str = "step"
    """When minibatches are drawn afresh: step, stage, never, or a time."""
    placement: str | None = None
    """Where penalties act: field, after_step or first_stage. By default a placement that suits the solver here."""
    players: str = "joint"
    """joint, or frozen: each player alone against the opponent at the step's start."""
    rates: tuple[float, float] = (1.0, 1.0)
    """Time scales of the discriminator and the generator."""
    rtol: float = 1e-4
    """Relative tolerance of adaptive solvers."""
    atol: float = 1e-6
    """Absolute tolerance of adaptive solvers."""
    clip: float | None = None
    """Largest norm of each player's gradient; by default unlimited."""
    option: UseAppendAction[tuple[str, ...]] = ()
    """NAME=VALUE, one of the solver's own options, as betas=0.5,0.999; may be repeated. Left out: what suits the
    solver."""

    # The defaults of these four.
    defaults: ClassVar[ByFamily] = by_family(0.1, euler=0.1, adam=2e-4, rmsprop=1e-4)

    def __post_init__(self) -> None:
        """Fill in the experiment's defaults for this solver."""
        own = self.defaults[family(self.solver)]
        self.step_size = own.step_size if self.step_size is None else self.step_size
        self.placement = self.placement or own.placement
        self.penalty = tuple(self.penalty) or own.penalty
        self.option = tuple(self.option) or own.option

    @property
    def h(self) -> float:
        """The step size that the run uses."""
        assert self.step_size is not None
        return self.step_size

    def check(self) -> None:
        """Refuse what ``odeint_gan`` would refuse, before anything is written."""
        # The library's own checks, so that the two cannot disagree.
        check_combination(parse_options(**self.keywords()), has_data=True, members=1)

    def keywords(self) -> dict[str, Any]:
        """The keyword arguments for ``odeint_gan``.

        >>> SolverOptions(solver="dopri5", step_size=0.5, placement="field").keywords()["refresh"]
        0.5
        """
        adaptive = solvers.get(self.solver).adaptive
        refresh = _refresh(self.refresh)
        return {
            "solver": self.solver,
            "step_size": None if adaptive else self.step_size,
            "refresh": self.step_size if adaptive and refresh is None else refresh,
            "placement": self.placement,
            "players": self.players,
            "penalties": self.chosen_penalties(),
            "rates": tuple(self.rates),
            "rtol": self.rtol,
            "atol": self.atol,
            "clip": self.clip,
            "options": dict(map(_assignment, self.option)),
        }


def evaluations_per_step(keywords: dict[str, Any]) -> int:
    """Field evaluations of one fixed step, or of an adaptive solver's cheapest refresh interval.

    keywords: from ``SolverOptions.keywords``.
    """
    facts = solvers.get(keywords["solver"])
    if facts.name in solvers.BASELINES:
        return baselines.evaluations(facts.name, keywords["options"])
    return (facts.stages or 1) + facts.adaptive


def _refresh(text: str) -> float | str | None:
    if text in _REFRESH:
        return _REFRESH[text]
    try:
        return float(text)
    except ValueError:
        argument_error("refresh", text, f"one of {', '.join(_REFRESH)}, or a time")


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    try:
        return name, ast.literal_eval(value if equals else "")
    except (ValueError, SyntaxError):
        argument_error("option", text, "NAME=VALUE with a number, several numbers, True or False")
