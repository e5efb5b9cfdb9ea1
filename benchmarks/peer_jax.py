"""JAX: ODE-GAN's step from the same definitions, jitted, as a scan of steps and a step at a time; vmapped over members."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import problems
from benchmarks.worker import Task

Layers = list[tuple[jax.Array, jax.Array]]


def layers(flat: jax.Array, sizes: Sequence[int]) -> Layers:
    """Flat parameters as weights (out, in) and biases."""
    made = []
    at = 0
    for n_in, n_out in pairwise(sizes):
        weight = flat[at : at + n_out * n_in].reshape(n_out, n_in)
        made.append((weight, flat[at + n_out * n_in : at + n_out * (n_in + 1)]))
        at += n_out * (n_in + 1)
    return made


def players(y: Any) -> tuple[Layers, Layers]:
    """y (P,) -> (D's layers, G's)."""
    n = sum(n_out * (n_in + 1) for n_in, n_out in pairwise(problems.DISC))
    return layers(y[:n], problems.DISC), layers(y[n:], problems.GEN)


def flat(y: Any) -> jax.Array:
    """The inverse of ``players``, over leading dimensions."""
    leaves = jax.tree.leaves(y)
    lead = leaves[1].shape[:-1]
    return jnp.concatenate([leaf.reshape(*lead, -1) for leaf in leaves], -1)


def forward(network: Layers, x: jax.Array) -> jax.Array:
    """Linear layers with ReLU between."""
    for weight, bias in network[:-1]:
        x = jax.nn.relu(x @ weight.T + bias)
    return x @ network[-1][0].T + network[-1][1]


def disc_loss(disc: Layers, gen: Layers, real: jax.Array, latent: jax.Array) -> jax.Array:
    """The discriminator's logistic loss."""
    fake = forward(disc, forward(gen, latent))
    return jax.nn.softplus(-forward(disc, real)).mean() + jax.nn.softplus(fake).mean()


def gen_loss(disc: Layers, gen: Layers, real: jax.Array, latent: jax.Array) -> jax.Array:
    """The generator's non-saturating loss."""
    return jax.nn.softplus(-forward(disc, forward(gen, latent))).mean()


def field(y: Any, real: jax.Array, latent: jax.Array) -> Any:
    """Minus both gradients; XLA shares the forward passes."""
    gradients = jax.grad(disc_loss, 0)(*y, real, latent), jax.grad(gen_loss, 1)(*y, real, latent)
    return jax.tree.map(jnp.negative, gradients)


def penalty(y: Any, real: jax.Array, latent: jax.Array) -> Layers:
    """d/d theta_D of the squared norm of the generator's gradient."""

    def squared(disc: Layers) -> jax.Array:
        gradient = jax.grad(gen_loss, 1)(disc, y[1], real, latent)
        return sum((g**2).sum() for g in jax.tree.leaves(gradient))

    return jax.grad(squared)(y[0])


def step(y: Any, real: jax.Array, latent: jax.Array) -> Any:
    """Classical RK4, and the penalty after the step."""
    h = problems.STEP_SIZE

    def ahead(by: float, slope: Any) -> Any:
        return jax.tree.map(lambda a, b: a + by * b, y, slope)

    k1 = field(y, real, latent)
    k2 = field(ahead(h / 2, k1), real, latent)
    k3 = field(ahead(h / 2, k2), real, latent)
    k4 = field(ahead(h, k3), real, latent)
    disc, gen = ahead(h / 6, jax.tree.map(lambda a, b, c, d: a + 2 * b + 2 * c + d, k1, k2, k3, k4))
    gradient = penalty(y, real, latent)
    return jax.tree.map(lambda a, b: a - h * problems.WEIGHT * b, disc, gradient), gen


def mog16(steps: int, scan: bool = True, members: int = 0) -> Task:
    """A unit is one step of one member; minibatches are drawn on the device, within the compiled step."""
    problem = problems.mog16(members)
    data = jnp.asarray(problem.data)

    def drawn(y: Any, key: jax.Array) -> Any:
        rows, noise = jax.random.split(key)
        real = data[jax.random.randint(rows, (problems.BATCH,), 0, len(data))]
        return step(y, real, jax.random.normal(noise, (problems.BATCH, problems.LATENT)))

    def body(carry: Any, _: None) -> Any:
        y, key = carry
        key, own = jax.random.split(key)
        moved = jax.vmap(drawn)(y, jax.random.split(own, members)) if members else drawn(y, own)
        return (moved, key), None

    several = jax.jit(lambda carry: jax.lax.scan(body, carry, None, length=steps)[0], donate_argnums=0)
    single = jax.jit(lambda carry: body(carry, None)[0], donate_argnums=0)
    split = jax.vmap(players) if members else players
    state = [(split(jnp.asarray(problem.y0)), jax.random.key(0))]

    def work() -> None:
        carry = state.pop()
        if scan:
            carry = several(carry)
        else:
            for _ in range(steps):
                carry = single(carry)
        state.append(jax.block_until_ready(carry))

    def outcome() -> np.ndarray:
        one = jax.jit(jax.vmap(step) if members else step)
        return np.asarray(flat(one(split(jnp.asarray(problem.y0)), problem.real, problem.latent)))

    return Task(work, steps * max(members, 1), outcome, lambda: {"backend": jax.default_backend()})
