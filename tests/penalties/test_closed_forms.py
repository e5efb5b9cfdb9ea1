"""Penalties on the Dirac GAN and on linear fields, in closed form."""

import pytest
import torch
from torch.func import jacrev

import odegan
from odegan import penalties
from tests.penalties.penalty_cases import MAKERS, D, dirac


@pytest.mark.parametrize(
    "penalty, damping",
    [
        (penalties.closed_loop(0.3, buffer=0), lambda phi, theta, c: 2 * 0.3 * phi * (c**2 + theta**2)),
        (
            penalties.closed_loop(0.3, "abs", 0),
            lambda phi, theta, c: 0.3 * (abs(c) + abs(theta)) * (1 if phi > 0 else -1),
        ),
        (penalties.r1(0.3), lambda phi, theta, c: 0.3 * phi),
        (penalties.r2(0.3), lambda phi, theta, c: 0.3 * phi),
        (penalties.wgan_gp(0.3), lambda phi, theta, c: 2 * 0.3 * (abs(phi) - 1) * (1 if phi > 0 else -1)),
        (penalties.wgan_gp(0.3, 0.0), lambda phi, theta, c: 2 * 0.3 * phi),
    ],
    ids=["closed_loop", "closed_loop-abs", "r1", "r2", "wgan_gp", "wgan_gp-0"],
)
@pytest.mark.parametrize("c", [0.0, 1.3])
def test_dirac(penalty, damping, c):
    for phi, theta in [(0.4, 0.7), (-1.2, 0.2)]:
        y = torch.tensor([phi, theta], dtype=D)
        expected = torch.tensor([c - theta - damping(phi, theta, c), phi], dtype=D)
        torch.testing.assert_close(odegan.vector_field(dirac(c), [penalty])(0.0, y), expected)


def test_feedback_on_dirac_moves_the_poles():
    """At c != 0 the literal penalty is a feedback of 4 lambda c^2: s^2 + 4 lambda c^2 s + 1. At c = 0 it vanishes."""
    for c in (0.0, 0.8):
        field = odegan.vector_field(dirac(c), [penalties.closed_loop(0.25, buffer=0)])
        jacobian = jacrev(lambda y, field=field: field(0.0, y))(torch.tensor([0.0, c], dtype=D))
        expected = torch.tensor([[-4 * 0.25 * c**2, -1.0], [1.0, 0.0]], dtype=D)
        torch.testing.assert_close(jacobian, expected)


def potential_matrix(size=6, seed=0):
    """A with symmetric diagonal blocks, so that both players have losses; the blocks off it are arbitrary."""
    A = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=D)
    n = size // 2
    A[:n, :n] = A[:n, :n] + A[:n, :n].T
    A[n:, n:] = A[n:, n:] + A[n:, n:].T
    return A / 3


def blocks(A, keep):
    """A with only the named blocks kept, in D and G's halves."""
    out = torch.zeros_like(A)
    n = len(A) // 2
    halves = {"d": slice(0, n), "g": slice(n, None)}
    for row, column in keep:
        out[halves[row], halves[column]] = A[halves[row], halves[column]]
    return out


LINEAR = {  # v = A y: g_D = -(A y)_D, so that 1/2 |g_q|^2 adds -A_qp^T (A y)_q to player p
    "jare": lambda A: A - 0.3 * blocks(A, ["dg", "gd"]).T @ A,
    "consensus": lambda A: A - 0.3 * A.T @ A,
    "reg G2": lambda A: A - 0.3 * blocks(A, ["dg"]).T @ A,
    "reg D2": lambda A: A - 0.3 * blocks(A, ["gd"]).T @ A,
    "drift_cancellation": lambda A: A + 0.15 * A @ A,
    "drift_cancellation self": lambda A: A + 0.15 * blocks(A, ["dd", "gg"]) @ A,
    "drift_cancellation other": lambda A: A + 0.15 * blocks(A, ["dg", "gd"]) @ A,
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_fields(name):
    A = potential_matrix()
    field = odegan.vector_field(odegan.games.quadratic(A), [MAKERS[name](0.3)])
    found = jacrev(lambda y: field(0.0, y))(torch.zeros(6, dtype=D))
    torch.testing.assert_close(found, LINEAR[name](A), rtol=1e-12, atol=1e-12)
