"""The step-size advisor: the largest stable step of each solver, and its cost, at states of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from odegan import solvers
from odegan.analysis.spectrum import DEFAULTS, FieldOptions, Spectrum, spectra
from odegan.analysis.stable_step import max_stable_step
from odegan.field.training_field import Penalty
from odegan.games.batch import BatchLike
from odegan.games.game import Game
from odegan.solvers import stability
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_number, choose
from odegan.utils.keywords import keywords

if TYPE_CHECKING:
    from typing_extensions import Unpack

ACCURACY = 1e-2  # of eigenvalues from matrix-vector products; step sizes need no more digits


@dataclass(frozen=True)
class Row:
    """One solver: its largest linearly stable step, and its field evaluations per step and per unit of time."""

    solver: str
    step: float
    stages: int
    cost: float


@dataclass(frozen=True, repr=False)
class Advice:
    """The table, cheapest solver first; ``print``, or a notebook's cell that ends in it, shows it.

    unstable: the fraction of the nonzero eigenvalues that have a positive real part. The flow itself moves away from the state
    along these whatever the step, so that the table considers only the others. ignored: number of eigenvalues that count as
    zero.
    """

    rows: tuple[Row, ...]
    spectra: tuple[Spectrum, ...]
    unstable: float
    ignored: int

    def __getitem__(self, solver: str) -> Row:
        """The row of a solver."""
        table = {row.solver: row for row in self.rows}
        return table[choose("solver", solver, table)]

    def __repr__(self) -> str:
        lines = [f"{'solver':<15} {'largest step':>12} {'evaluations':>11} {'per unit of time':>16}"]
        lines += [f"{r.solver:<15} {r.step:>12.4g} {r.stages:>11} {r.cost:>16.4g}" for r in self.rows]
        partial = [s for s in self.spectra if s.partial]
        of_some = f" (of those computed, {len(partial[0].eigenvalues)} a state)" if partial else ""
        lines.append(
            f"{len(self.spectra)} states; {self.ignored} eigenvalues count as zero; "
            f"{100 * self.unstable:.3g}% of the others{of_some} have a positive real part"
        )
        residuals = [s.residuals.max().item() for s in partial if s.residuals is not None]
        if residuals:
            lines.append(f"largest residual of an eigenvalue: {max(residuals):.1g} of its modulus")
        return "\n".join(lines)


@keywords(FieldOptions, DEFAULTS | {"accuracy": ACCURACY})
@unaffected
def advise(
    game: Game,
    ys: torch.Tensor,
    batches: Sequence[BatchLike] | BatchLike = None,
    penalties: Sequence[Penalty] = (),
    solvers: Sequence[str] | None = None,
    k: int | None = None,
    *,
    tol: float = 1e-6,
    **options: Unpack[FieldOptions],
) -> Advice:
    """For each solver, the largest step that is linearly stable at all given states, and the cost of a unit of time.

    cost = (field evaluations per step) / step: 0 if nothing limits the step, inf if no step is stable. It is the minimal cost
    of not diverging: accuracy may require smaller steps, and far from an equilibrium the linearization only tells how fast the
    field changes. Beyond 500 parameters the table is based on the eigenvalues of largest modulus, which do not always limit the
    step: Euler's limit is 2 |Re lambda| / |lambda|^2, which may be lower for a smaller eigenvalue closer to the imaginary axis.

    Args:
        game: the game.
        ys: (T, P), some states of a run, or one state (P,).
        batches: one per state; None for games in closed form.
        penalties: those of the field.
        solvers: names; default: all of ``odegan.solvers.stability.names()``.
        k: number of eigenvalues of largest modulus; None: all up to 500 parameters, else 10.
        tol: a real part counts as zero below tol |lambda|, and as positive above. (The ``tol`` of
            ``spectrum`` is another one, a threshold for |lambda|, and keeps its default here.)
        options: further arguments of ``odegan.spectrum``: rates, t, progress, and accuracy, here 1e-2 by default.

    Returns:
        ``Advice``, a table that ``print`` shows, cheapest solver first. ``advice["heun2"].step`` is the largest step of a
        solver; ``unstable`` the fraction of the nonzero eigenvalues with positive real part, along which the flow itself moves
        away at any step, so that the table leaves them out; ``ignored`` the number of eigenvalues that count as zero.

    Raises:
        ArgumentError: a wrong argument, or an error of ``odegan.spectrum``.

    Examples:
        >>> import odegan
        >>> rotating = odegan.games.quadratic(torch.tensor([[-1.0, -3.0], [3.0, -1.0]]))
        >>> print(advise(rotating, torch.zeros(2), solvers=["euler", "rk4"]))
        solver          largest step evaluations per unit of time
        rk4                   0.8896           4            4.497
        euler                    0.2           1                5
        1 states; 0 eigenvalues count as zero; 0% of the others have a positive real part
    """
    names = _checked_names(solvers)
    tol = check_number("tol", tol, low=0.0)
    if isinstance(ys, torch.Tensor) and ys.ndim == 1:
        ys = ys[None]
        # A single state comes with a single batch.
        batches = None if batches is None else [cast(BatchLike, batches)]
    if isinstance(ys, torch.Tensor) and not len(ys):
        argument_error("ys", ys, "at least one state")
    # The largest step is read to two digits; more accuracy costs products.
    options.setdefault("accuracy", ACCURACY)
    of_states = cast("Sequence[BatchLike] | None", batches)
    found = tuple(spectra(game, ys, of_states, penalties=penalties, k=k, **options))
    kept = [s.kept for s in found]
    grows = [values.real > tol * values.abs() for values in kept]
    count = sum(len(values) for values in kept)
    stable = [_settled(values[~up], tol) for values, up in zip(kept, grows, strict=True)]
    rows = (_row(name, stable) for name in names)
    return Advice(
        tuple(sorted(rows, key=lambda row: (row.cost, row.solver))),
        found,
        sum(int(up.sum()) for up in grows) / count if count else 0.0,
        sum(s.ignored for s in found),
    )


def _settled(values: torch.Tensor, tol: float) -> torch.Tensor:
    """The eigenvalues, with negligible real parts set to zero."""
    # Rounding puts a rotation's eigenvalues to the right of the axis, where every step would be unstable.
    real = torch.where(values.real.abs() <= tol * values.abs(), 0.0, values.real)
    return torch.complex(real, values.imag)


def _row(name: str, eigenvalues: list[torch.Tensor]) -> Row:
    # One step must be stable at all states.
    step = min(max_stable_step(values, name) for values in eigenvalues)
    stages = solvers.get(name).stages or 1
    return Row(name, step, stages, stages / step if step > 0 else math.inf)


def _checked_names(names: Sequence[str] | None) -> list[str]:
    """The names of the solvers, checked to have a stability function."""
    if names is None:
        return stability.names()
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        argument_error("solvers", names, "a list of names, or None for all that have a stability function")
    for name in names:
        stability.check_solver(name)
    return list(names)
