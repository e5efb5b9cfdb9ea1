"""The optimizers that GANs are usually trained with, as solvers: their table, their memory and the cost of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from odegan.solvers.optimizers import adam, named_memory, rmsprop
from odegan.solvers.rates import Rates
from odegan.solvers.solver import Solver
from odegan.solvers.torchdiffeq_backend import Scalar
from odegan.solvers.update_rules import (
    Memory,
    Modified,
    Step,
    StepContext,
    Stepped,
    alternating,
    extragradient,
    optimistic,
)
from odegan.utils.checks import argument_error, check_bool, check_constant, check_int

Options = Mapping[str, Any]

_DECAY = ("weight_decay",)
_TURNS = ("alternating", "disc_steps", *_DECAY)
FACTS = {
    solver.name: solver
    for solver in [
        Solver(
            "alternating",
            order=1,
            stages=2,
            remarks="D's step, then G's against the new D",
            options=("disc_steps", *_DECAY),
            torchdiffeq=False,
            in_turn=True,
        ),
        Solver(
            "extragradient",
            order=1,
            stages=2,
            remarks="a step with the field at the Euler point",
            options=_DECAY,
            torchdiffeq=False,
        ),
        Solver(
            "optimistic",
            order=1,
            stages=1,
            remarks="h (2 v_k - v_{k-1}); carries v between steps",
            options=_DECAY,
            torchdiffeq=False,
            carries_stage=True,
        ),
        Solver(
            "adam",
            order=None,
            stages=1,
            remarks="step_size is the learning rate",
            options=("betas", "eps", *_TURNS),
            torchdiffeq=False,
            normalizes=True,
        ),
        Solver(
            "rmsprop",
            order=None,
            stages=1,
            remarks="step_size is the learning rate",
            options=("alpha", "eps", *_TURNS),
            torchdiffeq=False,
            normalizes=True,
        ),
    ]
}
BASELINES = frozenset(FACTS)
_MAKERS: dict[str, Callable[..., Step]] = {
    "alternating": alternating,
    "extragradient": extragradient,
    "optimistic": optimistic,
    "adam": adam,
    "rmsprop": rmsprop,
}
_MEMORY = {"optimistic": ("velocity", "count"), "adam": ("first", "second", "count"), "rmsprop": ("second",)}


def make(name: str, options: Options, rates: Rates = (1.0, 1.0)) -> Step:
    """The step function of a baseline.

    Args:
        name: a name of ``FACTS``.
        options: those that the solver's facts list. ``weight_decay`` is the L2 term of torch.optim's SGD, Adam and RMSprop (not
            AdamW's decoupled one): weight_decay theta is added to the gradient before the update rule is applied.
        rates: rates of D and of G: player p's step is multiplied by rates[p], a number, a tensor or a function of time. The
            context's field must not contain them.
    """
    own = dict(options)
    if "disc_steps" in own:
        check_int("disc_steps", own["disc_steps"], low=1)
        # Only Adam and RMSProp have both forms; "alternating" always takes turns.
        if FACTS[name].normalizes and not own.get("alternating"):
            argument_error(
                "disc_steps", own["disc_steps"], f"given with alternating=True: a joint step of {name} has no turns"
            )
    check_bool("alternating", own.get("alternating", False))
    decay = check_constant("weight_decay", own.pop("weight_decay", 0.0), low=0.0)
    if FACTS[name].normalizes:
        # A rate within the field would cancel, since the rule divides by the size of the gradient.
        return _with_field(_MAKERS[name](**own, rates=rates), decay, (1.0, 1.0))
    return _with_field(_MAKERS[name](**own), decay, rates)


def _with_field(step: Step, weight_decay: float, rates: Rates) -> Step:
    """The step on a modified field. Multiplying the field by the rates is right only for rules that are linear in it."""

    def modified(context: StepContext, t: Scalar, h: Scalar, y: torch.Tensor, memory: Memory) -> Stepped:
        return step(Modified(context, weight_decay, rates), t, h, y, memory)

    return modified


def initial_memory(name: str, options: Options, y: torch.Tensor, n_disc: int) -> Memory:
    """The method's memory at the start of a run from y (..., P)."""

    def zeros(like: torch.Tensor) -> Memory:
        # At least float32: in bfloat16 0.999 is 1, so that the second moment would stay zero.
        wide = torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))
        # The count is a tensor, so that a compiled step is not specialized to its value, and a float, as in torch.optim.
        count = wide.new_zeros(())
        return {key: count if key == "count" else wide.clone() for key in _MEMORY.get(name, ())}

    # In turn, D takes disc_steps updates for each of G's, so each player counts its own.
    if options.get("alternating", False):
        return named_memory(zeros(y[..., :n_disc]), "disc.") | named_memory(zeros(y[..., n_disc:]), "gen.")
    return zeros(y)


class Cost(NamedTuple):
    """Number of gradients in one step: ``disc`` of D's loss with respect to theta_D, ``gen`` of G's to theta_G.

    The joint field takes one of each.

    Examples:
        >>> sum(cost("alternating", {"disc_steps": 5}))
        6
    """

    disc: int
    gen: int


def cost(name: str, options: Options) -> Cost:
    """The cost of one step of the solver ``name``, with its own ``options``.

    Examples:
        >>> cost("alternating", {"disc_steps": 5}), cost("extragradient", {})
        (Cost(disc=5, gen=1), Cost(disc=2, gen=2))
    """
    # Extragradient evaluates the field at y and at the extrapolated point.
    joint = 2 if name == "extragradient" else 1
    return Cost(options.get("disc_steps", 1), 1) if _in_turn(name, options) else Cost(joint, joint)


def stages(name: str, options: Options) -> int:
    """Number of minibatches that one step reads with ``refresh="stage"``."""
    found = cost(name, options)
    return found.disc + found.gen if _in_turn(name, options) else found.disc


def evaluations(name: str, options: Options) -> int:
    """Evaluations of the joint field in one step, as ``nfe`` counts them.

    If the players move in turn, this is the number of D's gradients; G's gradient completes one of these evaluations.
    """
    return max(cost(name, options))


def _in_turn(name: str, options: Options) -> bool:
    return FACTS[name].in_turn or bool(options.get("alternating", False))
