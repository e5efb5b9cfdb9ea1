"""Eigenvalues of the training field's Jacobian: what rotates, what attracts, and how unevenly."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from torch.func import jacrev, vjp

from odegan.analysis.krylov import MEASURES, Report, in_order, largest_eigenvalues, room_for
from odegan.analysis.progress import progress_line
from odegan.analysis.state import check_state, complete_batch
from odegan.field.ensemble import Time
from odegan.field.training_field import Penalty
from odegan.field.vector_field import vector_field
from odegan.games.batch import BatchLike, as_batch
from odegan.games.explained import explained
from odegan.games.game import Game, check_game
from odegan.solvers.rates import Rates
from odegan.utils.ambient import unaffected
from odegan.utils.checks import ArgumentError, argument_error, check_int, check_number, choose
from odegan.utils.keywords import keywords

if TYPE_CHECKING:
    from typing_extensions import Unpack

DENSE = 500  # most parameters for which all eigenvalues are computed by default
FEW = 10  # default number of eigenvalues beyond that
CHUNK = 64  # rows of a dense Jacobian computed at once
ACCURACY = {torch.float64: 1e-8}
COARSE = 1e-2  # default accuracy below float64


@dataclass(frozen=True, repr=False)
class Spectrum:
    """Eigenvalues of the Jacobian J of the training field at one point.

    Attributes:
        eigenvalues: (P,) complex, or (k,) for a partial spectrum, in the precision of y; the largest modulus (or real part)
            comes first.
        tol: an eigenvalue counts as zero if |lambda| <= tol max|lambda|.
        partial: whether eigenvalues are missing, because only the k largest were computed.
        products: number of products with J^T, each of which costs about two evaluations of the field.
        residuals: (k,), |J^T x - lambda x| / |lambda| for the unit vector x found with each lambda, which is then exact for a
            matrix that differs from J by this fraction of |lambda|; None for a dense solution, where the residual is rounding.

    Examples:
        >>> found = Spectrum(torch.tensor([-1 + 2j, -1 - 2j, 0j]), tol=1e-6)
        >>> found.phase_factor, found.ignored
        (2.0, 1)
    """

    eigenvalues: torch.Tensor
    tol: float
    partial: bool = False
    products: int = 0
    residuals: torch.Tensor | None = None

    def __repr__(self) -> str:
        shown = [f"{z.real:.4g}{z.imag:+.4g}i" for z in self.eigenvalues[:3].tolist()]
        of = f"the {len(self.eigenvalues)} largest" if self.partial else f"all {len(self.eigenvalues)} eigenvalues"
        more = ", ..." if len(self.eigenvalues) > 3 else ""
        return f"Spectrum({of}: {', '.join(shown)}{more}; phase factor {self.phase_factor:.4g}, {self.ignored} ignored)"

    @property
    def kept(self) -> torch.Tensor:
        """The eigenvalues that do not count as zero."""
        size = self.eigenvalues.abs()
        return self.eigenvalues[size > self.tol * size.max()]

    @property
    def ignored(self) -> int:
        """Number of eigenvalues that count as zero and are left out of both factors."""
        return len(self.eigenvalues) - len(self.kept)

    @property
    def phase_factor(self) -> float:
        """max |Im| / |Re|; inf if an eigenvalue is imaginary to within tol; nan if all count as zero.

        For a partial spectrum this is a lower bound, the maximum over the computed eigenvalues.
        """
        kept = self.kept
        if not len(kept):
            return math.nan
        real = kept.real.abs()
        imaginary = kept.imag.abs()
        # A rotation's real part is rounding, and a division by it would give a large number that means nothing.
        real = torch.where(real <= self.tol * kept.abs(), 0.0, real)
        return torch.where(imaginary == 0, 0.0, imaginary / real).max().item()

    @property
    def conditioning_factor(self) -> float:
        """max |lambda| / min |lambda|; nan for a partial spectrum, which lacks the smallest eigenvalues."""
        size = self.kept.abs()
        return math.nan if self.partial or not len(size) else (size.max() / size.min()).item()


class FieldOptions(TypedDict, total=False):
    """The arguments of ``spectrum`` that ``odegan.advise`` passes on."""

    which: str
    rates: Rates
    t: Time
    accuracy: float | None
    progress: bool | str | None


class SpectrumOptions(FieldOptions, total=False):
    """The arguments of ``spectrum`` after the batch."""

    penalties: Sequence[Penalty]
    k: int | None
    tol: float | None


@keywords()
@unaffected
def spectrum(
    game: Game,
    y: torch.Tensor,
    batch: BatchLike = None,
    penalties: Sequence[Penalty] = (),
    k: int | None = None,
    which: str = "modulus",
    *,
    rates: Rates = (1.0, 1.0),
    t: Time = 0.0,
    tol: float | None = None,
    accuracy: float | None = None,
    progress: bool | str | None = None,
) -> Spectrum:
    """Eigenvalues of J = d f / d y, f = ``vector_field(game, penalties, rates=rates)``, at y (P,).

    Up to 500 parameters they are computed from the dense J. Beyond, the k largest are computed from products w -> w^T J by a
    Krylov-Schur method (``odegan.analysis.krylov``). Each product is one backward pass through a stored evaluation of the field
    and costs about two evaluations; the memory is that of the evaluation plus max(3 k, k + 30) + 1 vectors like y. Copies of a
    repeated eigenvalue are searched for, and found if they clearly exceed the eigenvalues that are not requested; in a cluster
    of nearly equal moduli one may be missed. The smallest eigenvalues need the dense J.

    Args:
        game: the game.
        y: (P,), one state; pass y.double() for more than six digits.
        batch: the field's batch, taken in y's precision and on its device; None for games in closed form. If it has no
            buffers, spectral norm's u and v are converged at y.
        penalties: from ``odegan.penalties``; they are part of the field.
        k: number of eigenvalues. None: all up to 500 parameters, else 10. P: all, from the dense J (P^2 numbers and some
            25 P^3 operations).
        which: for a partial spectrum, the largest by "modulus" or by "real" part. The k-th and (k + 1)-th may be a complex
            pair, of which only one is returned.
        rates: time scales of the discriminator and of the generator.
        t: the time, for weights that depend on it.
        tol: eigenvalues of modulus below tol max|lambda| count as zero; ReLU networks have many. Default
            eps^(2/3): 4e-11 in float64, 2e-5 in float32.
        accuracy: for eigenvalues from products, the largest residual |J^T x - lambda x| / |lambda|, |x| = 1. Default 1e-8 in
            float64, 1e-2 in lower precision. The error of an eigenvalue is at most this times its condition number, and often
            much smaller. Cheapest is k=1, accuracy=1e-2: the largest modulus to one percent.
        progress: show a line that counts products; a string is its label. None: only after five seconds.

    Returns:
        ``Spectrum``: eigenvalues, residuals, products, phase_factor, conditioning_factor, ignored.

    Raises:
        ArgumentError: a wrong argument; no convergence; the Jacobian is not finite.

    Source: Nie and Patel 2019 (JARE), section 3, for the two factors.

    Examples:
        >>> import odegan
        >>> eig = spectrum(odegan.games.dirac("wasserstein", c=1.0, feedback=1.0), torch.tensor([0.0, 1.0]))
        >>> eig.eigenvalues
        tensor([-0.5000+0.8660j, -0.5000-0.8660j])
        >>> round(eig.phase_factor, 4), round(eig.conditioning_factor, 4), eig.ignored
        (1.7321, 1.0, 0)
    """
    check_game(game)
    y = check_state("y", game, y)
    choose("which", which, MEASURES)
    default = ACCURACY.get(y.dtype, COARSE)
    accuracy = default if accuracy is None else check_number("accuracy", accuracy, low=0.0)
    # Eigenvalues of defective blocks move by roots of the rounding: eps itself would count them as nonzero.
    tol = torch.finfo(y.dtype).eps ** (2 / 3) if tol is None else check_number("tol", tol, low=0.0)
    size = len(y)
    default_count = size if size <= DENSE else FEW
    count = default_count if k is None else min(check_int("k", k, low=1), size)
    function = vector_field(game, penalties, rates=rates)
    batch = complete_batch(game, y, batch)

    def at(state: torch.Tensor) -> torch.Tensor:
        return function(t, state, batch)

    def found() -> Spectrum:
        with progress_line(progress, "spectrum", count) as report:
            # A Krylov space of half the dimension costs as much as the dense Jacobian, and is less exact.
            if size <= DENSE or room_for(count) > size // 2:
                return _dense(at, y, count, which, tol)
            return _iterated(at, y, count, which, tol, accuracy, report)

    return explained("field's Jacobian", found, game.prepared, y, as_batch(batch))


DEFAULTS = {name: one.default for name, one in inspect.signature(spectrum).parameters.items()}


@keywords(SpectrumOptions, DEFAULTS)
@unaffected
def spectra(
    game: Game, ys: torch.Tensor, batches: Sequence[BatchLike] | None = None, **options: Unpack[SpectrumOptions]
) -> list[Spectrum]:
    """The spectrum at each state of a trajectory, ys (T, P), as ``Solution.ys`` has it.

    Args:
        game: the game.
        ys: (T, P).
        batches: one per state; None for games in closed form.
        options: further arguments of ``spectrum``: penalties, k, which, rates, t, tol, accuracy, progress.

    Examples:
        >>> import odegan
        >>> [s.phase_factor for s in spectra(odegan.games.bilinear(), torch.zeros(2, 2))]
        [inf, inf]
    """
    check_game(game)
    if not isinstance(ys, torch.Tensor) or ys.ndim != 2:
        argument_error("ys", ys, f"of shape (T, {game.n_params}), the states of one run")
    if batches is not None and not isinstance(batches, Sequence):
        argument_error("batches", type(batches).__name__, "None, or a list: one for each state")
    every: Sequence[BatchLike] = [None] * len(ys) if batches is None else batches
    if len(every) != len(ys):
        argument_error("batches", f"{len(every)} of them", f"None, or {len(ys)}: one for each state")
    return [spectrum(game, y, batch, **options) for y, batch in zip(ys, every, strict=True)]


Function = Callable[[torch.Tensor], torch.Tensor]


def _dense(at: Function, y: torch.Tensor, count: int, which: str, tol: float) -> Spectrum:
    """The ``count`` largest eigenvalues of the dense J (P, P), computed in float64."""
    # Reverse mode in chunks: forward mode would go through nested vjps, and all rows at once through all memory.
    matrix = jacrev(at, chunk_size=CHUNK)(y).detach().double().cpu()
    if not bool(torch.isfinite(matrix).all()):
        raise ArgumentError(
            "y: the field's Jacobian is not finite there; it must be at a finite point of a smooth field"
        )
    values = torch.linalg.eigvals(matrix).numpy()
    values = values[in_order(values, MEASURES[which])][:count]
    eigenvalues = torch.from_numpy(values).to(y.dtype.to_complex())
    return Spectrum(eigenvalues, tol, partial=count < len(y), products=len(y))


def _iterated(
    at: Function, y: torch.Tensor, count: int, which: str, tol: float, accuracy: float, report: Report
) -> Spectrum:
    """The largest eigenvalues of J^T, which are those of J, from products with J^T."""
    # J^T, whose products reuse one stored evaluation; products with J would need a forward-mode pass each.
    transpose = vjp(at, y)[1]
    # The Krylov space in float32 at least: in bfloat16 no vector would stay orthogonal.
    like = y if y.dtype == torch.float64 else y.float()
    with torch.no_grad():  # products need no further graph
        found = largest_eigenvalues(lambda w: transpose(w.to(y))[0].to(like), like, count, which, accuracy, tol, report)
    sizes = abs(found.values)
    residuals = found.residuals / np.maximum(sizes, max(tol * sizes.max(), np.finfo(float).tiny))
    eigenvalues = torch.from_numpy(found.values).to(y.dtype.to_complex())
    return Spectrum(eigenvalues, tol, partial=True, products=found.products, residuals=torch.from_numpy(residuals))
