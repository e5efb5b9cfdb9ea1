"""The proximal step: the inner problem of a minimizing movement, solved by scipy to a tolerance."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from odegan.utils.ambient import unaffected
from odegan.utils.autodiff import gradient_and_value

DESCENT = 1e-3  # relative gradient below which Newton's method takes over
MOST = 200  # most iterations of each method
ROUNDING = 16 * float(np.finfo(np.float64).eps)


class Proximal(NamedTuple):
    """A solved inner problem.

    Attributes:
        u: the minimizer (n,).
        residual: |gradient| there over |gradient| at the start.
        evaluations: number of gradients evaluated.
        solved: whether the tolerance was reached.
    """

    u: torch.Tensor
    residual: float
    evaluations: int
    solved: bool


@unaffected
def proximal(
    loss: Callable[[torch.Tensor], torch.Tensor],
    v: torch.Tensor,
    scale: torch.Tensor,
    tolerance: float,
    rest: float = 0.0,
) -> Proximal:
    """argmin_u 1/2 sum_i ((u_i - v_i) / scale_i)^2 + loss(u), the minimum downhill from v.

    The unknown is x, with u = v + rho scale x and rho = |scale grad loss(v)|. Divided by rho^2, the objective's gradient
    is x + (scale / rho) grad loss: of norm 1 at the start x = 0, with a Hessian near the identity for small scales.

    L-BFGS-B descends until that norm is 1e-3, which leads to a minimum rather than a saddle. ``newton_krylov`` then reduces the
    norm to the tolerance. A minimizer alone cannot, because it compares values of the loss, whose rounding hides gradients
    below about 1e-8.

    Args:
        loss: u (n,) -> scalar, differentiable.
        v: (n,) float64.
        scale: (n,) > 0.
        tolerance: the gradient's norm ends below this, or below rest / rho.
        rest: the size of a gradient that is only rounding; if rho does not exceed it, v is returned.

    Examples:
        >>> v, scale = torch.tensor([3.0]).double(), torch.tensor([0.5]).double().sqrt()
        >>> proximal(lambda u: (u**2).sum() / 2, v, scale, 1e-10).u.round(decimals=9)  # v / (1 + scale^2)
        tensor([2.], dtype=torch.float64)
    """
    # Imported here, because scipy.optimize takes half a second to import and nothing else needs it.
    from scipy.optimize import NoConvergence, minimize, newton_krylov

    evaluations = 0

    def scaled_gradient(u: torch.Tensor) -> tuple[torch.Tensor, float]:
        nonlocal evaluations
        evaluations += 1
        gradient, value = gradient_and_value(loss, u)
        return scale * gradient, float(value)

    gradient, base = scaled_gradient(v)
    rho = float(gradient.norm())
    if not math.isfinite(rho) or not math.isfinite(base):
        return Proximal(v, math.nan, evaluations, False)
    if rho <= max(rest, np.finfo(np.float64).tiny ** 0.5):
        return Proximal(v, 1.0, evaluations, True)
    goal = max(tolerance, rest / rho)

    def point(x: NDArray[np.float64]) -> torch.Tensor:
        return v + rho * scale * torch.from_numpy(x).to(v)

    def objective(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        gradient, value = scaled_gradient(point(x))
        return float(x @ x) / 2 + (value - base) / rho**2, x + gradient.cpu().numpy() / rho

    # L-BFGS-B compares the largest entry of the gradient, hence the root; ftol 0: it must not stop on the loss's rounding.
    limits = {"gtol": max(goal, DESCENT) / math.sqrt(len(v)), "ftol": 0.0, "maxiter": MOST}
    with np.errstate(all="ignore"):  # a loss without a minimum diverges to infinity
        low = minimize(objective, np.zeros(len(v)), jac=True, method="L-BFGS-B", options=limits)
        x = low.x
        if np.linalg.norm(low.jac) > goal:
            with contextlib.suppress(NoConvergence, ValueError):  # ValueError: numbers that are not finite
                x = newton_krylov(lambda x: objective(x)[1], x, f_tol=goal, maxiter=MOST, tol_norm=np.linalg.norm)
        value, end = objective(x)
    residual = float(np.linalg.norm(end))
    # Newton may converge to a saddle or a maximum, which lies above the descent's result.
    rounding = 1e3 * ROUNDING * (1 + abs(base) / rho**2)
    return Proximal(point(x), residual, evaluations, residual <= goal and value <= float(low.fun) + rounding)
