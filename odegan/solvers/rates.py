"""Rates: the players' time scales, which multiply the field, or an optimizer's step."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TypeAlias

import torch

from odegan.solvers.torchdiffeq_backend import Scalar
from odegan.utils.checks import argument_error, check_arity, check_number

ConstantRates: TypeAlias = tuple[float | torch.Tensor, float | torch.Tensor]
Rate: TypeAlias = float | torch.Tensor | Callable[[Scalar], float | torch.Tensor]
Rates: TypeAlias = tuple[Rate, Rate]


def check_rates(rates: Rates) -> Rates:
    """The pair of rates, each a finite number or one-element tensor >= 0, or a function of time."""
    if not isinstance(rates, tuple | list) or len(rates) != 2:
        argument_error("rates", rates, "a pair (discriminator's, generator's)")
    for rate in rates:
        if callable(rate):
            check_arity("rates", rate, 1, "numbers or functions of time")
        else:
            check_number("rates", rate, low=0.0)
    return rates[0], rates[1]


def check_constant_rates(rates: ConstantRates) -> ConstantRates:
    """The pair of rates, refused where one is a function of time."""
    for rate in check_rates(rates):
        if callable(rate):
            argument_error("rates", rate, "numbers or tensors here, not functions of time")
    return rates[0], rates[1]


def of_both(v: torch.Tensor, rates: Rates, n_disc: int, t: Scalar) -> torch.Tensor:
    """Each player's part of v (..., P) times the player's rate at time t."""
    # The usual case, in which slicing and joining would copy the whole field.
    if all(_is_one(rate) for rate in rates):
        return v
    return torch.cat([times(v[..., :n_disc], rates[0], t), times(v[..., n_disc:], rates[1], t)], dim=-1)


def times(part: torch.Tensor, rate: Rate, t: Scalar) -> torch.Tensor:
    """One player's part times its rate at time t, without a multiplication for the usual rate 1."""
    value = rate(t) if callable(rate) else rate
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        # A rate may be a float64 tensor on the CPU: as it is, it would raise the part's dtype, or wait for the device.
        return value.to(part, non_blocking=True).reshape(()) * part
    if not isinstance(value, Real):
        argument_error("rates", value, f"functions of time whose values are numbers; this is one at t = {t:g}")
    return part if value == 1 else value * part


def _is_one(rate: Rate) -> bool:
    return isinstance(rate, int | float) and rate == 1
