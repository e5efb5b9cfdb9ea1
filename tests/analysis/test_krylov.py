"""Eigenvalues from products alone against matrices whose eigenvalues are chosen, and how many products they take."""

import math

import numpy as np
import pytest
import torch

import odegan
from odegan import games
from odegan.analysis import krylov
from odegan.analysis.krylov import largest_eigenvalues
from odegan.nets import MLP
from tests.peers import draw, networks

torch.set_num_threads(1)
D = torch.float64
P = 600  # beyond what is solved densely
K = 10

# What is asked for, and the radius of the disk in which all other eigenvalues lie.
SPECTRA: dict[str, tuple[list[complex], float]] = {
    "separated": ([-9, 8, -7 + 2j, -7 - 2j, 6, -5, 4 + 1j, 4 - 1j, 3, -2], 1.0),
    "repeated": ([-3] * 6 + [2.5] * 4, 1.0),
    "repeated pairs": ([-1 + 3j, -1 - 3j] * 3 + [-2.5] * 4, 1.0),
    "clustered": ([1 - 1e-6 * i for i in range(10)], 0.8),
    "rotation": ([s * (2 - 0.1 * i) * 1j for i in range(5) for s in (1, -1)], 1.0),
    "opposite": ([s * (2 - 0.1 * i) for i in range(5) for s in (1, -1)], 1.0),
    "one circle": ([2, -2, 2j, -2j, 1.2 + 1.6j, 1.2 - 1.6j, -1.6 + 1.2j, -1.6 - 1.2j, 2, -2], 1.0),
    "rank 10": ([-3, 3, 2, 1, -1, 0.5, 1j, -1j, 0.3, 0.2], 0.0),
    "all equal": ([-2] * 10, 2.0),
}


def block_diagonal(values):
    """A real matrix with these eigenvalues, complex ones in conjugate pairs."""
    blocks = [torch.tensor([[v.real]]) if v.imag == 0 else torch.tensor([[v.real, v.imag], [-v.imag, v.real]])
              for v in map(complex, values) if v.imag >= 0]  # fmt: skip
    return torch.block_diag(*blocks).to(D)


def matrix(name, normal):
    """A full (P, P) matrix with the eigenvalues of SPECTRA, normal or not."""
    head, radius = SPECTRA[name]
    source = torch.Generator().manual_seed(3)
    rest = (
        [-2.0] * (P - K) if name == "all equal" else (radius * (2 * torch.rand(P - K, generator=source) - 1)).tolist()
    )
    basis = torch.linalg.qr(torch.randn(P, P, generator=source, dtype=D))[0]
    if not normal:
        basis = basis + 0.3 * torch.randn(P, P, generator=source, dtype=D) / math.sqrt(P)
    return basis @ block_diagonal([*head, *rest]) @ torch.linalg.inv(basis)


def distance(found, expected):
    """The largest distance of an eigenvalue from its own among the expected ones, each of which is taken once."""
    left = [complex(v) for v in expected]
    worst = 0.0
    for value in map(complex, found):
        nearest = min(range(len(left)), key=lambda i, value=value: abs(left[i] - value))
        worst = max(worst, abs(left.pop(nearest) - value))
    return worst


@pytest.mark.parametrize("normal", [True, False], ids=["normal", "non-normal"])
@pytest.mark.parametrize("name", SPECTRA)
def test_known_eigenvalues_with_all_their_copies(name, normal):
    head, _ = SPECTRA[name]
    A = matrix(name, normal)
    found = odegan.spectrum(games.quadratic(A), torch.zeros(P, dtype=D), k=K)
    assert found.partial
    assert distance(found.eigenvalues.tolist(), head) < 1e-6 * max(map(abs, head))
    assert found.residuals.max() <= 1e-8 or name in ("rank 10", "all equal")
    assert found.products <= 350


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("name", ["repeated", "repeated pairs", "one circle"])
def test_copies_are_searched_for(name, dtype):
    """At this accuracy all has converged before rounding brings in a second copy."""
    A = matrix(name, normal=False).to(dtype)
    found = odegan.spectrum(games.quadratic(A), torch.zeros(P, dtype=dtype), k=K, accuracy=1e-3)
    assert distance(found.eigenvalues.tolist(), SPECTRA[name][0]) < 3e-3


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("scale", [1e-30, 1e-14, 1e14, 1e30])
def test_nothing_depends_on_the_scale(scale, dtype):
    head, _ = SPECTRA["repeated pairs"]
    A = matrix("repeated pairs", normal=False)
    for n, k in ((P, K), (K, None)):  # from products, and dense
        B = A if n == P else block_diagonal(head)
        found = odegan.spectrum(games.quadratic((scale * B).to(dtype)), torch.zeros(n, dtype=dtype), k=k, accuracy=1e-5)
        assert distance((found.eigenvalues.to(torch.complex128) / scale).tolist(), head) < 1e-4
        assert found.ignored == 0
        assert found.phase_factor == pytest.approx(3, rel=1e-3)
        assert odegan.max_stable_step(found.eigenvalues, "euler") * scale == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("which", ["modulus", "real"])
def test_order(which):
    """Largest first, of a pair the one above the real axis first, the pairs of one modulus apart; at any scale."""
    values = [3 + 4j, 3 - 4j, -4 + 3j, -4 - 3j, -5, 5, 1, -2]
    expected = {
        "modulus": [3 + 4j, 3 - 4j, -4 + 3j, -4 - 3j, 5, -5, -2, 1],
        "real": [5, 3 + 4j, 3 - 4j, 1, -2, -4 + 3j, -4 - 3j, -5],
    }[which]
    for scale in (1e-14, 1.0, 1e14):
        game = games.quadratic(scale * block_diagonal(values))
        found = odegan.spectrum(game, torch.zeros(len(values), dtype=D), which=which).eigenvalues / scale
        torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype))


def test_largest_real_parts():
    head = [2, 1.9 + 1j, 1.9 - 1j, 1.8, 1.7]
    A = matrix("separated", normal=True) - 10 * torch.eye(P, dtype=D)  # everything far to the left
    A[:5, :] = 0
    A[:, :5] = 0
    A[:5, :5] = block_diagonal(head)
    found = odegan.spectrum(games.quadratic(A), torch.zeros(P, dtype=D), k=5, which="real")
    assert distance(found.eigenvalues.tolist(), head) < 1e-6


def test_a_defective_eigenvalue_to_the_root_of_the_accuracy():
    A = matrix("rank 10", normal=True) * 0.1
    A[:2, :] = 0
    A[:, :2] = 0
    A[:2, :2] = torch.tensor([[2.0, 1.0], [0.0, 2.0]])
    found = odegan.spectrum(games.quadratic(A), torch.zeros(P, dtype=D), k=2)
    assert distance(found.eigenvalues.tolist(), [2, 2]) < 1e-3


def test_a_zero_jacobian():
    found = odegan.spectrum(games.quadratic(torch.zeros(P, P)), torch.zeros(P))
    assert found.eigenvalues.tolist() == [0] * K
    assert found.ignored == K
    assert found.residuals.tolist() == [0] * K
    assert math.isnan(found.phase_factor)


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("accuracy", [1e-1, 1e-3])
def test_residuals_are_true(accuracy, dtype):
    """|A x - lambda x| = r for some unit x only if the smallest singular value of A - lambda is at most r."""
    A = torch.randn(P, P, generator=torch.Generator().manual_seed(0), dtype=D)
    found = odegan.spectrum(games.quadratic(A.to(dtype)), torch.zeros(P, dtype=dtype), k=5, accuracy=accuracy)
    assert found.residuals.max() <= accuracy
    for value, residual in ((found.eigenvalues[i], found.residuals[i]) for i in (0, -1)):
        smallest = torch.linalg.svdvals(A - value.item() * torch.eye(P))[-1]
        assert smallest <= 1.01 * residual * value.abs()


def test_products_are_counted():
    A = matrix("repeated", normal=True)
    calls = []
    found = largest_eigenvalues(
        lambda v: (calls.append(v), A @ v)[1], torch.zeros(P, dtype=D), K, "modulus", 1e-8, 1e-12, lambda *at: None
    )
    assert found.products == len(calls)


@pytest.mark.parametrize("dtype, limit", [(torch.float32, 90), (D, 130)])
def test_a_network_from_its_products_is_the_dense_one(dtype, limit):
    game = odegan.gan(*networks(dtype, width=60))
    y = game.init()
    batch = draw(16, dtype)
    assert game.n_params > 500
    few = odegan.spectrum(game, y, batch)
    dense = odegan.spectrum(game, y.double(), draw(16), k=game.n_params)
    assert (len(few.eigenvalues), few.partial, dense.partial) == (K, True, False)
    assert (dense.products, math.isfinite(dense.conditioning_factor)) == (game.n_params, True)
    expected = dense.eigenvalues[:K].abs()
    tolerance = 2e-3 if dtype == torch.float32 else 1e-7
    torch.testing.assert_close(few.eigenvalues.abs().double(), expected, rtol=tolerance, atol=0)
    assert few.products <= limit
    one = odegan.spectrum(game, y, batch, k=1, accuracy=1e-2)
    assert one.eigenvalues[0].abs().item() == pytest.approx(expected[0].item(), rel=1e-2)
    assert one.products <= 40


# (width of a pair 16-w-w-2 and 2-w-w-1, products): each two evaluations of the field; the rest of the 300 is for vectors.
LARGE = [(218, 100), pytest.param(701, 100, marks=pytest.mark.slow)]


@pytest.mark.parametrize("width, limit", LARGE)
def test_ten_eigenvalues_of_a_large_network(width, limit):
    torch.manual_seed(0)
    game = odegan.gan(MLP((16, width, width, 2)), MLP((2, width, width, 1)))
    source = torch.Generator().manual_seed(0)
    batch = torch.randn(64, 2, generator=source), torch.randn(64, 16, generator=source)
    found = odegan.spectrum(game, game.init(), batch)
    assert found.residuals.max() <= 1e-2
    assert found.products <= limit
    closer = odegan.spectrum(game, game.init(), batch, accuracy=1e-4)
    torch.testing.assert_close(found.eigenvalues.abs(), closer.eigenvalues.abs(), rtol=1e-2, atol=0)
    torch.testing.assert_close(found.eigenvalues[0].abs(), closer.eigenvalues[0].abs(), rtol=1e-4, atol=0)


def test_no_convergence_is_said_in_a_line(monkeypatch):
    monkeypatch.setattr(krylov, "LIMIT", 30)
    game = games.quadratic(torch.randn(P, P, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(odegan.ArgumentError, match=r"^k: got 10; \d+ converged within 30 products; ask for fewer.*$"):
        odegan.spectrum(game, torch.zeros(P), accuracy=1e-6)


def test_the_vectors_stay_orthonormal_as_estimated():
    """A shift matrix is as far from normal as can be: single passes lose all orthogonality within a dozen vectors."""
    A = 2 * torch.eye(P) + torch.diag(torch.ones(P - 1), 1)
    space = krylov._Space(lambda v: A @ v, torch.zeros(P), 60)
    for _ in range(60):
        space.expand()
    gram = space.basis @ space.basis.T - torch.eye(61)
    assert gram.abs().max().item() <= 2 * space.loss <= 2 * math.sqrt(np.finfo(np.float32).eps)
