"""Linear fields: the bilinear game and y' = A y."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.players import Players
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_array, check_int, stated_dtype
from odegan.utils.random_streams import reseed

Times = torch.Tensor | Sequence[float] | float


def bilinear() -> Game:
    """The zero-sum game x y: disc_loss = x y, gen_loss = -x y, y = (x, y).

    The field is (-y, x): the flow rotates by one radian per unit of time and conserves x^2 + y^2. ``game.solution(t, y0)`` is
    its solution R(t) y0. Source: the standard example of a game in which simultaneous gradient steps diverge at every step
    size.

    Examples:
        >>> game = bilinear()
        >>> game.gradients(torch.tensor([2.0]), torch.tensor([3.0]))
        (tensor([3.]), tensor([-2.]))
    """
    rotation = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    return Game(
        lambda x, y, batch: (x * y).sum(),
        lambda x, y, batch: -(x * y).sum(),
        1,
        1,
        solution=lambda t, y0: flow(rotation, t, y0),
        init=lambda seed: start(2, seed),
        name="bilinear",
    )


@unaffected
def quadratic(A: torch.Tensor | Sequence[Sequence[float]], n_disc: int | None = None) -> Game:
    """The game whose field is linear: v(y) = A y, with A (P, P); the first n_disc parameters are the discriminator's.

    With A = [[A_DD, A_DG], [A_GD, A_GG]] the losses are loss_p = -(1/2 theta_p^T A_pp theta_p + theta_p^T A_pq theta_q).
    If a block A_pp is not symmetric, no loss has this field; the game therefore has its own gradients -A y, and its losses see
    only the symmetric part. Solution: y(t) = exp(t A) y0, ``game.solution(t, y0)``.

    Args:
        A: (P, P) matrix, P >= 1.
        n_disc: number of the discriminator's parameters; default P // 2.

    Examples:
        >>> game = quadratic(torch.tensor([[-1.0, 2.0], [-2.0, -1.0]]))
        >>> d, g = game.gradients(*game.split(torch.tensor([1.0, 0.0])))
        >>> -d, -g
        (tensor([-1.]), tensor([-2.]))
    """
    matrix = check_array("A", A, 2, "a square matrix (P, P) of finite numbers")
    size = len(matrix)
    if matrix.shape != (size, size):
        argument_error("A", A, "a square matrix (P, P) of finite numbers")
    own = stated_dtype(A)
    n_disc = size // 2 if n_disc is None else check_int("n_disc", n_disc)
    if n_disc > size:
        argument_error("n_disc", n_disc, f"at most P = {size}")

    def gradients(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None = None) -> Players:
        image = matrix.to(theta_d) @ torch.cat([theta_d, theta_g])
        return -image[:n_disc], -image[n_disc:]

    def loss(theta: torch.Tensor, other: torch.Tensor, rows: slice, columns: slice) -> torch.Tensor:
        ours = matrix.to(theta)[rows]
        # The quadratic form sees the symmetric part of A_pp alone: the antisymmetric one is in the gradients only.
        return -(theta @ (ours[:, rows] @ theta) / 2 + theta @ (ours[:, columns] @ other))

    first = slice(0, n_disc)
    second = slice(n_disc, size)
    return Game(
        lambda d, g, batch: loss(d, g, first, second),
        lambda d, g, batch: loss(g, d, second, first),
        n_disc,
        size - n_disc,
        gradients=gradients,
        solution=lambda t, y0: flow(matrix, t, y0),
        init=lambda seed: start(size, seed).to(own),
        name="quadratic",
    )


def flow(A: torch.Tensor, t: Times, y0: torch.Tensor) -> torch.Tensor:
    """exp(t A) y0, (P,) for t () and (T, P) for t (T,)."""
    # In the dtype of A: a flow in float64 serves as the reference for runs in float32.
    times = torch.as_tensor(t, dtype=A.dtype, device=A.device)
    return (torch.linalg.matrix_exp(times[..., None, None] * A) @ y0.to(A)).to(y0)


def start(size: int, seed: int | None) -> torch.Tensor:
    """An initial state (size,): all ones, or standard normal numbers for a given seed."""
    if seed is None:
        return torch.ones(size)
    return torch.randn(size, generator=reseed(torch.Generator(), seed))
