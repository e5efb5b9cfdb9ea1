"""Eigenvalues of the training field's Jacobian: what rotates, what attracts, and how unevenly."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.func import jacrev, vjp

from odegan.field.vector_field import vector_field
from odegan.games.game import Game, check_game
from odegan.utils.checks import ArgumentError, choose, fail, number, whole

WHICH = {"modulus": "LM", "real": "LR"}
CHUNK = 64  # rows of a dense Jacobian that are computed at once


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of the Jacobian of the training field at one point.

    eigenvalues: (P,) complex, or (k,) for a partial spectrum; those of largest modulus (or real part) first, in the
    precision of y. tol: an eigenvalue counts as zero when |lambda| <= tol max|lambda|.
    """

    eigenvalues: torch.Tensor
    tol: float
    partial: bool = False

    @property
    def kept(self) -> torch.Tensor:
        """The eigenvalues that do not count as zero."""
        size = self.eigenvalues.abs()
        return self.eigenvalues[size > self.tol * size.max()]

    @property
    def ignored(self) -> int:
        """How many eigenvalues count as zero and are left out of both factors."""
        return len(self.eigenvalues) - len(self.kept)

    @property
    def phase_factor(self) -> float:
        """max |Im| / |Re|; inf where an eigenvalue is imaginary to within tol; nan where all count as zero.

        Of a partial spectrum: a lower bound, the largest ratio among the eigenvalues that were computed.
        """
        kept = self.kept
        if not len(kept):
            return math.nan
        real, imaginary = kept.real.abs(), kept.imag.abs()
        real = torch.where(real <= self.tol * kept.abs(), 0.0, real)
        return torch.where(imaginary == 0, 0.0, imaginary / real).max().item()

    @property
    def conditioning_factor(self) -> float:
        """max |lambda| / min |lambda|; nan for a partial spectrum, which does not have the smallest ones."""
        size = self.kept.abs()
        return math.nan if self.partial or not len(size) else (size.max() / size.min()).item()


def spectrum(
    game: Game,
    y: torch.Tensor,
    batch: Any = None,
    penalties: Sequence[Any] = (),
    k: int | None = None,
    which: str = "modulus",
    *,
    rates: tuple[Any, Any] = (1.0, 1.0),
    t: Any = 0.0,
    tol: float | None = None,
    accuracy: float = 1e-8,
) -> Spectrum:
    """Eigenvalues of J = d f / d y, f = ``vector_field(game, penalties, rates=rates)``, at y (P,).

    Args:
        game: the game.
        y: (P,), one state; pass y.double(), and a batch in double precision, for more than six digits.
        batch: what the field sees besides y; None for games in closed form.
        penalties: from ``odegan.penalties``; they are part of the field.
        k: None: all P of them, from a dense Jacobian (P^2 numbers). A number: the k of largest modulus or real part
            by ARPACK on products w -> w^T J, each one backward pass through one stored evaluation of the field; the memory is
            that evaluation's and max(4 k, 20) vectors of P float64 numbers.
        which: of a partial spectrum, "modulus" or "real", the largest; the smallest modulus is dense only, ARPACK does
            not converge to it. One of a complex pair may be left out as the (k + 1)-th.
        rates: time scales of the discriminator and of the generator.
        t: the time, for weights that depend on it.
        tol: eigenvalues of modulus below tol max|lambda| count as zero, as ReLU networks have many. Default
            eps^(2/3): 4e-11 in float64, 2e-5 in float32.
        accuracy: ARPACK's, relative to |lambda|.

    Returns:
        ``Spectrum``: eigenvalues, phase_factor, conditioning_factor, ignored.

    Raises:
        ArgumentError: a wrong argument; ARPACK did not converge; the Jacobian is not finite.

    Source: the factors are those of Nie and Patel 2019 (JARE), section 3.

    Examples:
        >>> import odegan
        >>> eig = spectrum(odegan.games.dirac("wasserstein", c=1.0, feedback=1.0), torch.tensor([0.0, 1.0]))
        >>> eig.eigenvalues
        tensor([-0.5000+0.8660j, -0.5000-0.8660j])
        >>> round(eig.phase_factor, 4), round(eig.conditioning_factor, 4), eig.ignored
        (1.7321, 1.0, 0)
    """
    check_game(game)
    _check_state(game, y)
    choose("which", which, WHICH)
    number("accuracy", accuracy, low=0.0)
    tol = torch.finfo(y.dtype).eps ** (2 / 3) if tol is None else number("tol", tol, low=0.0)
    function, y = vector_field(game, penalties, rates=rates), y.detach()

    def at(state: torch.Tensor) -> torch.Tensor:
        return function(t, state, batch)

    count = None if k is None else whole("k", k, low=1)
    if count is None or count >= len(y) - 1:  # ARPACK finds at most P - 2
        found = _dense(jacrev(at, chunk_size=CHUNK)(y), which)[:count]
    else:
        found = _iterated(at, y, count, which, accuracy)
    eigenvalues = torch.from_numpy(found).to(y.dtype.to_complex())
    return Spectrum(eigenvalues, tol, partial=count is not None and count < len(y))


def spectra(game: Game, ys: torch.Tensor, batches: Sequence[Any] | None = None, **options: Any) -> list[Spectrum]:
    """The spectrum at each state of a trajectory, ys (T, P), as ``Solution.ys`` has it.

    Args:
        game: the game.
        ys: (T, P).
        batches: T of them, one for each state; None for games in closed form.
        options: of ``spectrum``.

    Examples:
        >>> import odegan
        >>> [s.phase_factor for s in spectra(odegan.games.bilinear(), torch.zeros(2, 2))]
        [inf, inf]
    """
    check_game(game)
    if not isinstance(ys, torch.Tensor) or ys.ndim != 2:
        fail("ys", ys, f"of shape (T, {game.n_params}), the states of one run")
    if batches is not None and not isinstance(batches, Sequence):
        fail("batches", type(batches).__name__, "None, or a list: one for each state")
    every: Sequence[Any] = [None] * len(ys) if batches is None else batches
    if len(every) != len(ys):
        fail("batches", f"{len(every)} of them", f"None, or {len(ys)}: one for each state")
    for name in options:
        choose("options", name, _OPTIONS)
    return [spectrum(game, y, batch, **options) for y, batch in zip(ys, every, strict=True)]


_OPTIONS = tuple(inspect.signature(spectrum).parameters)[3:]


def _check_state(game: Game, y: Any) -> None:
    if not isinstance(y, torch.Tensor) or y.shape != (game.n_params,) or not y.is_floating_point():
        fail(
            "y", y, f"one state, floating point, of shape ({game.n_params},); take one member of an ensemble at a time"
        )


def _dense(jacobian: torch.Tensor, which: str) -> np.ndarray:
    """All eigenvalues of J (P, P), in float64, largest first."""
    matrix = jacobian.detach().double().cpu()
    if not bool(torch.isfinite(matrix).all()):
        raise ArgumentError(
            "y: the field's Jacobian is not finite there; it must be at a finite point of a smooth field"
        )
    return _ordered(torch.linalg.eigvals(matrix).numpy(), which)


def _iterated(at: Any, y: torch.Tensor, k: int, which: str, accuracy: float) -> np.ndarray:
    """The k largest eigenvalues of J^T, which are J's, from products with it."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    pull = vjp(at, y)[1]

    def product(w: np.ndarray) -> np.ndarray:
        image = pull(torch.from_numpy(np.ascontiguousarray(w.reshape(-1))).to(y))[0].double().cpu().numpy()
        if not np.isfinite(image).all():
            raise ArgumentError("y: the field's Jacobian is not finite there; it must be at a finite point")
        return image

    operator = LinearOperator((len(y), len(y)), matvec=product, dtype=np.float64)
    vectors = min(len(y), max(4 * k, 20))  # twice scipy's: half as many products for eigenvalues that are close in size
    start = torch.randn(len(y), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    try:
        found = eigs(operator, k=k, which=WHICH[which], v0=start, ncv=vectors, tol=accuracy, return_eigenvectors=False)
    except ArpackNoConvergence as error:
        reached = len(error.eigenvalues)
        raise ArgumentError(
            f"k: got {k}; ARPACK converged to {reached} of them, ask for fewer, or for a larger accuracy than {accuracy:g}"
        ) from error
    return _ordered(found, which)


def _ordered(values: np.ndarray, which: str) -> np.ndarray:
    """Largest modulus (or real part) first; of a pair the one above the real axis."""
    size = np.round(np.abs(values) if which == "modulus" else values.real, 12)
    return values[np.lexsort((-values.imag, -size))].astype(np.complex128)
