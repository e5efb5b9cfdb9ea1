"""diffrax: the same field, jitted, by its Dormand-Prince pair."""

from __future__ import annotations

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peer_jax, problems
from benchmarks.worker import Task


def dopri5(tol: float, end: float) -> Task:
    """mog16's field with one minibatch throughout; rtol = tol and atol = tol / 100; a unit is one run."""
    problem = problems.mog16()
    real = jnp.asarray(problem.real)
    latent = jnp.asarray(problem.latent)
    term = diffrax.ODETerm(lambda t, y, args: peer_jax.field(y, real, latent))
    control = diffrax.PIDController(rtol=tol, atol=tol / 100)

    @jax.jit
    def solve(y0: Any) -> Any:
        return diffrax.diffeqsolve(
            term, diffrax.Dopri5(), 0.0, end, None, y0, stepsize_controller=control, max_steps=100_000
        )

    y0 = peer_jax.players(jnp.asarray(problem.y0))

    def outcome() -> np.ndarray:
        return np.asarray(peer_jax.flat(jax.tree.map(lambda y: y[0], solve(y0).ys)))

    # Six evaluations a step, the seventh being the next one's first, and the two at the start.
    return Task(
        lambda: jax.block_until_ready(solve(y0).ys),
        1,
        outcome,
        lambda: {"evaluations": 2 + 6 * int(solve(y0).stats["num_steps"])},
    )
