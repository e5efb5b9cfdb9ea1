"""The spectrum of the field against closed forms; matrix-free against dense; the path angle."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import odegan
from odegan import games, penalties
from tests import forked
from tests.analysis.networks import D
from tests.peers import draw, networks, smooth_game

torch.set_num_threads(1)


def by_size(values):
    """The same eigenvalues in an order of their own, for comparison."""
    return sorted((complex(v) for v in values), key=lambda v: (round(v.real, 8), round(v.imag, 8)))


def same(found, expected, tolerance):
    found = by_size(found)
    expected = by_size(expected)
    return len(found) == len(expected) and all(
        abs(a - b) < tolerance * max(1, abs(b)) for a, b in zip(found, expected, strict=True)
    )


def roots(trace, determinant):
    """Of x^2 - trace x + determinant."""
    root = complex(trace**2 - 4 * determinant) ** 0.5
    return [(trace + root) / 2, (trace - root) / 2]


# (trace, determinant) of the block of a, with h = 1/2: the table of the paper.
H = 0.5
METHODS = {
    "none": ([], lambda a, g: (-a, H**2)),
    "reg-G2": (["reg"], lambda a, g: (-(a + g * H**2), H**2)),
    "consensus": (
        ["consensus"],
        lambda a, g: (-(a + 2 * g * H**2 + g * a**2), H**2 + g * a * H**2 + g**2 * H**4),
    ),
    "JARE": (["jare"], lambda a, g: (-(a + 2 * g * H**2), H**2 + g**2 * H**4)),
}


def penalized(method, gamma):
    extra = {"player": "gen", "norm": "opponent"} if method == "reg-G2" else {}
    return [getattr(penalties, name)(gamma, **extra) for name in METHODS[method][0]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("method", METHODS)
def test_gaussian_at_its_equilibrium(method, seed):
    source = torch.Generator().manual_seed(seed)
    n = 1 + seed
    v = 2 * torch.randn(n, generator=source, dtype=D)
    sigma = 0.3 + 2 * torch.rand((), generator=source, dtype=D).item()
    gamma = 10 ** (3 * torch.rand((), generator=source, dtype=D).item() - 1)
    game = games.gaussian(v, sigma)
    found = odegan.spectrum(game, torch.cat([torch.zeros(n, dtype=D), v]), penalties=penalized(method, gamma))
    blocks = [sigma**2 / 2] * (n - 1) + [(sigma**2 + (v @ v).item()) / 2]
    expected = [x for a in blocks for x in roots(*METHODS[method][1](a, gamma))]
    assert same(found.eigenvalues, expected, 1e-6)
    assert found.ignored == 0
    ratio = max(abs(x.imag) / abs(x.real) for x in expected)
    assert found.phase_factor == pytest.approx(ratio, rel=1e-5, abs=1e-6)
    sizes = [abs(x) for x in expected]
    assert found.conditioning_factor == pytest.approx(max(sizes) / min(sizes), rel=1e-5)


SPOT = [("none", 10.0, 398, None), ("reg-G2", 10.0, 4.9e3, None), ("consensus", 10.0, 1.2e5, None)]
SPOT += [("JARE", 10.0, 3.5, 0.0), ("none", 0.02, None, 50), ("JARE", 0.02, None, 0.0)]


@pytest.mark.parametrize("method, a, conditioning, phase", SPOT)
def test_the_papers_numbers(method, a, conditioning, phase):
    game = games.gaussian(torch.zeros(1, dtype=D), math.sqrt(2 * a))
    found = odegan.spectrum(game, torch.zeros(2, dtype=D), penalties=penalized(method, 100.0))
    if conditioning is not None:
        assert found.conditioning_factor == pytest.approx(conditioning, rel=0.04)  # two digits
    if phase is not None:
        assert found.phase_factor == pytest.approx(phase, rel=1e-3)


# loss: (damping at c, frequency): the field's polynomial is s^2 + damping s + frequency^2.
DIRAC = {
    "minimax": (lambda c: c**2 / 2, 0.5),
    "non_saturating": (lambda c: c**2 / 2, 0.5),
    "wasserstein": (lambda c: 0.0, 1.0),
    "hinge": (lambda c: 0.0, 1.0),
    "relativistic": (lambda c: 0.0, 0.5),
}


@pytest.mark.parametrize("feedback", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("c", [0.0, 1.3])
@pytest.mark.parametrize("loss", DIRAC)
def test_dirac_at_its_equilibrium(loss, c, feedback):
    damping, frequency = DIRAC[loss]
    found = odegan.spectrum(games.dirac(loss, c, feedback), torch.tensor([0.0, c], dtype=D))
    assert same(found.eigenvalues, roots(-(damping(c) + feedback), frequency**2), 1e-6)


@pytest.mark.parametrize("c", [0.0, 1.3])
def test_dirac_with_the_literal_penalty(c):
    """lambda (D(c)^2 + D(theta)^2) damps like a feedback of 4 lambda c^2: not at all at c = 0."""
    weight = 0.4
    y = torch.tensor([0.0, c], dtype=D)
    for penalty in (
        penalties.closed_loop(weight, buffer=0),
        lambda game: (lambda phi, theta, batch, t: weight * (phi**2 * (c**2 + theta**2)).sum(), None),
    ):
        found = odegan.spectrum(games.dirac("wasserstein", c), y, penalties=[penalty])
        assert same(found.eigenvalues, roots(-4 * weight * c**2, 1.0), 1e-6)
        assert math.isinf(found.phase_factor) == (c == 0)


def diagonal(*values):
    return games.quadratic(torch.diag(torch.tensor(values, dtype=D)))


def test_factors_ignore_what_is_zero_and_say_how_many():
    found = odegan.spectrum(diagonal(-4.0, 1e-14, 0.0, -2.0), torch.zeros(4, dtype=D))
    assert (found.ignored, found.conditioning_factor, found.phase_factor) == (2, 2.0, 0.0)
    assert [abs(x) for x in found.eigenvalues.tolist()] == [4.0, 2.0, 1e-14, 0.0]
    strict = odegan.spectrum(diagonal(-4.0, 1e-14, 0.0, -2.0), torch.zeros(4, dtype=D), tol=0.0)
    assert (strict.ignored, strict.conditioning_factor) == (1, 4e14)
    nothing = odegan.spectrum(diagonal(0.0, 0.0), torch.zeros(2, dtype=D))
    assert nothing.ignored == 2
    assert math.isnan(nothing.phase_factor)
    assert math.isnan(nothing.conditioning_factor)


def test_a_rounded_real_part_makes_the_phase_factor_infinite():
    game = games.quadratic(torch.tensor([[-1e-13, -1.0], [1.0, -1e-13]], dtype=D))
    assert odegan.spectrum(game, torch.zeros(2, dtype=D)).phase_factor == math.inf
    assert odegan.spectrum(game, torch.zeros(2, dtype=D), tol=1e-14).phase_factor == pytest.approx(1e13)


def test_order_of_the_eigenvalues():
    y = torch.zeros(4, dtype=D)
    assert odegan.spectrum(diagonal(-4.0, 1.0, 3.0, -2.0), y).eigenvalues.real.tolist() == [-4.0, 3.0, -2.0, 1.0]
    real = odegan.spectrum(diagonal(-4.0, 1.0, 3.0, -2.0), y, which="real")
    assert real.eigenvalues.real.tolist() == [3.0, 1.0, -2.0, -4.0]
    assert odegan.spectrum(diagonal(-4.0, 1.0, 3.0, -2.0), y, k=3).eigenvalues.real.tolist() == [-4.0, 3.0, -2.0]


def test_rates_and_time():
    y = torch.zeros(2, dtype=D)
    bilinear = odegan.spectrum(games.bilinear(), y, rates=(4.0, 9.0))
    assert same(bilinear.eigenvalues, [6j, -6j], 1e-12)
    eig = odegan.spectrum(games.bilinear(), y, penalties=[penalties.consensus(lambda t: t)], t=0.5)
    assert same(eig.eigenvalues, [-0.5 + 1j, -0.5 - 1j], 1e-12)


def test_along_a_trajectory():
    game = smooth_game()
    ys = torch.randn(3, 4, dtype=D, generator=torch.Generator().manual_seed(0))
    found = odegan.spectra(game, ys)
    assert len(found) == 3
    for y, each in zip(ys, found, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda y: odegan.vector_field(game)(0.0, y), y)
        assert same(each.eigenvalues, torch.linalg.eigvals(jacobian), 1e-10)


WIDE = odegan.gan(*networks(width=52))  # beyond what is solved densely


@pytest.mark.parametrize("given", [[], [penalties.generator_gradient(2.0)]], ids=["plain", "penalized"])
@pytest.mark.parametrize("which", ["modulus", "real"])
def test_matrix_free_is_dense(which, given):
    y = WIDE.init()
    batch = draw()
    dense = odegan.spectrum(WIDE, y, batch, given, which=which, k=WIDE.n_params)
    few = odegan.spectrum(WIDE, y, batch, given, k=6, which=which)
    assert len(dense.eigenvalues) == WIDE.n_params > 500
    assert few.partial
    assert not dense.partial
    assert few.products < 250
    # of a complex pair on the edge either may come
    assert same(few.eigenvalues[:5].real, dense.eigenvalues[:5].real, 1e-6)
    assert same(few.eigenvalues[:5].imag.abs(), dense.eigenvalues[:5].imag.abs(), 1e-6)
    assert math.isnan(few.conditioning_factor)


def test_relu_networks_have_singular_jacobians():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    discriminator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)).double()
    game = odegan.gan(generator, discriminator)
    found = odegan.spectrum(game, game.init(), draw(4))
    assert found.ignored > 10
    assert found.conditioning_factor < 1e11


LARGE = """
import re, sys, torch, odegan
from torch import nn
torch.set_num_threads(1)
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
def run(width):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))
    discriminator = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))
    game = odegan.gan(generator, discriminator)
    batch = torch.randn(8, 2), torch.randn(8, 4)
    found = odegan.spectrum(game, game.init(), batch, k=2, accuracy=1e-3)
    return game.n_params, found.eigenvalues.abs().max().item()
run(16)
before = peak()
for width in map(int, sys.argv[1:]):
    n, largest = run(width)
    print(n, peak() - before, largest)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory that Linux reports")
def test_large_games_take_memory_linear_in_the_parameters():
    """33 vectors of float32 and one stored evaluation: some hundred bytes a parameter, not P^2."""
    done = forked.run("-c", LARGE, 320, 640)
    assert done.returncode == 0, done.stderr[-2000:]
    sizes, bytes_taken, largest = zip(*(map(float, line.split()) for line in done.stdout.splitlines()), strict=True)
    assert sizes[0] > 100_000
    assert sizes[1] > 400_000
    slope = (bytes_taken[1] - bytes_taken[0]) / (sizes[1] - sizes[0])
    assert 33 * 4 < slope < 70 * 4
    assert bytes_taken[0] < 100 * 4 * sizes[0]  # with what is loaded on the way; still far below P^2
    assert all(0 < x < math.inf for x in largest)


def test_wide_network_against_its_gradients_alone():
    """With a linear discriminator and generator of n each the Jacobian has rank 4 (two rank-2 blocks): known eigenvalues."""
    n = 60_000
    source = torch.Generator().manual_seed(0)
    x, z = (torch.randn(n, generator=source, dtype=D) / math.sqrt(n) for _ in range(2))
    game = odegan.Game(  # disc_loss = s(-<d, x>) + s(<d, x> <g, z>): all that matters is u = <d, x>, w = <g, z>
        lambda d, g, b: nn.functional.softplus(-(d @ x)) + nn.functional.softplus((d @ x) * (g @ z)),
        lambda d, g, b: nn.functional.softplus(-(d @ x) * (g @ z)),
        n,
        n,
    )
    small = odegan.Game(
        lambda u, w, b: (nn.functional.softplus(-u) + nn.functional.softplus(u * w)).sum(),
        lambda u, w, b: nn.functional.softplus(-u * w).sum(),
        1,
        1,
    )
    y = torch.randn(2 * n, generator=source, dtype=D)
    reduced = torch.stack([y[:n] @ x, y[n:] @ z])
    rates = (x @ x).item(), (z @ z).item()
    expected = odegan.spectrum(small, reduced, rates=rates).eigenvalues
    found = odegan.spectrum(game, y, k=2)
    assert same(found.eigenvalues, expected, 1e-6)


Y = torch.zeros(2, dtype=D)


def rough_game(n):
    """One whose field has no derivative at zero."""
    return odegan.Game(lambda d, g, batch: (d * g.sqrt()).sum(), lambda d, g, batch: (g * d.sqrt()).sum(), n, n)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: odegan.spectrum(games.bilinear(), torch.zeros(3, 2)), "y: got a float32 tensor of shape (3, 2)"),
        (lambda: odegan.spectrum(games.bilinear(), torch.zeros(3)), "y: got a float32 tensor of shape (3,)"),
        (lambda: odegan.spectrum(games.bilinear(), Y, which="modul"), "did you mean 'modulus'"),
        (lambda: odegan.spectrum(games.bilinear(), Y, k=0), "k: got 0"),
        (lambda: odegan.spectrum(games.bilinear(), Y, tol=-1.0), "tol: got -1.0"),
        (lambda: odegan.spectrum("bilinear", Y), "game: got 'bilinear'"),
        (lambda: odegan.spectrum(smooth_game(), torch.full((4,), math.nan, dtype=D)), "y: got 'a non-finite number"),
        (lambda: odegan.spectrum(rough_game(2), torch.zeros(4, dtype=D)), "y: the field's Jacobian"),
        (lambda: odegan.spectrum(rough_game(300), torch.zeros(600, dtype=D), k=2), "y: the field's Jacobian"),
        (lambda: odegan.spectra(games.bilinear(), Y), "ys: got"),
        (lambda: odegan.spectra(games.bilinear(), Y[None], [None, None]), "batches: got"),
        (lambda: odegan.path_angle(games.bilinear(), Y, Y), "end: got"),
        (lambda: odegan.path_angle(games.bilinear(), Y, torch.zeros(3)), "end: got"),
        (lambda: odegan.path_angle(games.bilinear(), Y, Y + 1, n=1), "n: got 1"),
        (lambda: odegan.path_angle(games.bilinear(), Y, Y + 1, span=1.0), "span: got 1.0"),
    ],
)
def test_wrong_arguments(call, words):
    with pytest.raises(odegan.ArgumentError, match=r".") as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
