"""Stability functions read off the solvers' own steps, and the largest stable step, against closed forms."""

import cmath
import math
import random

import pytest
import torch
from numpy.polynomial import Chebyshev, Polynomial

import odegan
from odegan import solvers
from odegan.analysis import stable_step
from odegan.solvers import stability
from tests.peers import FIXED

torch.set_num_threads(1)
D = torch.float64
NAMES = stability.names()
TAYLOR = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4, "rk4_classic": 4, "ralston": 2, "bosh3": 3}
EXTRA = {"dopri5": {6: 1 / 600}, "extragradient": {2: 1.0}}
# h on the negative real axis and on the imaginary axis for |lambda| = 1.
REAL = {"euler": 2.0, "midpoint": 2.0, "heun2": 2.0, "heun3": 2.51274532661833, "rk4": 2.785293563405282}
REAL |= {
    "ralston": 2.0,
    "rk4_classic": REAL["rk4"],
    "bosh3": REAL["heun3"],
    "dopri5": 3.3065678926,
    "extragradient": 1.0,
}
IMAGINARY = {"euler": 0.0, "midpoint": 0.0, "heun2": 0.0, "heun3": math.sqrt(3), "rk4": 2 * math.sqrt(2)}
IMAGINARY |= {"ralston": 0.0, "rk4_classic": IMAGINARY["rk4"], "bosh3": IMAGINARY["heun3"], "extragradient": 1.0}


def points(n=40):
    """Complex numbers in a square, (n,)."""
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=D)
    return torch.view_as_complex(2 * z)


def polynomial(name, z):
    order = TAYLOR.get(name, solvers.get(name).order)
    series = sum(z**k / math.factorial(k) for k in range(order + 1))
    return series + sum(c * z**k for k, c in EXTRA.get(name, {}).items())


def test_who_has_a_stability_function():
    assert set(FIXED) < set(NAMES)
    assert set(NAMES) == {*FIXED, "bosh3", "dopri5", "dopri8", "extragradient"}


@pytest.mark.parametrize("name", [*TAYLOR, *EXTRA])
def test_stability_function(name):
    z = points()
    torch.testing.assert_close(odegan.stability_function(name)(z), polynomial(name, z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_polynomial_is_the_function(name):
    z = points()
    coefficients = torch.as_tensor(stability.polynomial(name))
    from_polynomial = sum(c * z**k for k, c in enumerate(coefficients))
    torch.testing.assert_close(odegan.stability_function(name)(z), from_polynomial, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_stability_function_is_a_step_of_the_solver(name):
    """On y' = A y with A the real form of z, through odeint_gan, with steps of length 1."""
    z = complex(-0.6, 0.7)
    game = odegan.games.quadratic(torch.tensor([[z.real, -z.imag], [z.imag, z.real]], dtype=D))
    adaptive = solvers.get(name).adaptive
    size = {"options": {"first_step": 1.0, "min_step": 1.0, "max_step": 1.0}} if adaptive else {"step_size": 1.0}
    y = odegan.odeint_gan(game, torch.tensor([1.0, 0.0], dtype=D), [0.0, 3.0], solver=name, **size).y
    expected = odegan.stability_function(name)(z).item() ** 3
    assert complex(*y.tolist()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", REAL)
def test_largest_step_on_the_real_axis(name):
    assert odegan.max_stable_step([-4.0], name) == pytest.approx(REAL[name] / 4, rel=1e-10)


@pytest.mark.parametrize("name", IMAGINARY)
def test_largest_step_on_the_imaginary_axis(name):
    assert odegan.max_stable_step([4j, -4j], name) == pytest.approx(IMAGINARY[name] / 4, rel=1e-12)


@pytest.mark.parametrize("eigenvalue", [-1.0, -3 + 4j, -1e-3 + 1j, -1e-8 + 1j])
def test_euler_has_a_formula(eigenvalue):
    expected = 2 * abs(complex(eigenvalue).real) / abs(eigenvalue) ** 2
    assert odegan.max_stable_step([eigenvalue], "euler") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("solver, b", [("euler", math.sqrt(199)), ("heun2", 54.96), ("rk4", 283.6)])
def test_the_rotational_fields_thresholds(solver, b):
    assert odegan.max_stable_step([complex(-1, b), complex(-1, -b)], solver) == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_stable_up_to_the_step_and_not_beyond(name):
    source = random.Random(0)
    function = odegan.stability_function(name)
    up_to = torch.linspace(0, 1, 2001, dtype=D)
    for _ in range(20):
        eigenvalue = cmath.rect(10 ** source.uniform(-2, 2), source.uniform(math.pi / 2, math.pi))
        h = odegan.max_stable_step([eigenvalue], name)
        assert function(h * eigenvalue * up_to).abs().max() <= 1 + 1e-9
        assert function(torch.tensor(h * eigenvalue * (1 + 1e-5))).abs() > 1


def test_smallest_over_the_eigenvalues():
    assert odegan.max_stable_step([-1.0, -10.0, 0.1j], "rk4") == pytest.approx(REAL["rk4"] / 10)
    both = odegan.max_stable_step(torch.tensor([-1.0, 0.5j, -0.5j], dtype=torch.complex128), "heun3")
    assert both == pytest.approx(min(REAL["heun3"], 2 * math.sqrt(3)))


@pytest.mark.parametrize("name", NAMES)
def test_zero_and_infinity_are_answers(name):
    assert odegan.max_stable_step([], name) == math.inf
    assert odegan.max_stable_step([0.0, 0j], name) == math.inf
    assert odegan.max_stable_step([1e-3], name) == 0.0
    assert odegan.max_stable_step([-1.0, 1e-3 + 5j], name) == 0.0
    assert odegan.max_stable_step([-1.0, 1e-14, 0.0], name) > 0.5  # a rounded zero
    assert isinstance(odegan.max_stable_step([-1.0], name), float)


def test_heun_near_the_imaginary_axis_is_decided_by_the_lowest_coefficient():
    assert odegan.max_stable_step([1e-3j], "heun2") == 0.0  # |R|^2 = 1 + y^4 / 4 rounds to 1 for small steps
    expected = (8 * 1e-6) ** (1 / 3)  # -2 e h + h^4 / 4 = 0
    assert odegan.max_stable_step([-1e-6 + 1j], "heun2") == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("degree", [2, 3, 5])
def test_touching_the_unit_circle_is_not_leaving_it(degree, monkeypatch):
    """R(z) = T_s(1 + z / s^2), T_s Chebyshev's polynomial, touches +-1 s - 1 times on its stable interval (-2 s^2, 0)."""
    in_z = Chebyshev.basis(degree)(Polynomial([1.0, 1 / degree**2]))
    monkeypatch.setattr(stable_step, "polynomial", lambda solver: in_z.coef)
    assert odegan.max_stable_step([-1.0], "euler") == pytest.approx(2 * degree**2, rel=1e-8)


def test_precision_of_the_eigenvalues_counts():
    noisy = torch.tensor([3e-7 + 1j, 1e-6 - 0.0j], dtype=torch.complex64)
    assert odegan.max_stable_step(noisy, "rk4") == pytest.approx(IMAGINARY["rk4"], rel=1e-5)
    assert odegan.max_stable_step(noisy.to(torch.complex128), "rk4") == 0.0
    assert odegan.max_stable_step([1.0, -1e-4], "rk4", tol=1.0) == math.inf


def test_region():
    region = odegan.stability_region("rk4", extent=(-4.0, 1.0, -3.0, 3.0), resolution=61)
    assert region.real.shape == region.imag.shape == (61,)
    assert region.modulus.shape == (61, 61)
    i = 17
    j = 40
    z = complex(region.real[j], region.imag[i])
    assert region.modulus[i, j].item() == pytest.approx(abs(polynomial("rk4", z)))
    area = (region.modulus <= 1).double().mean().item() * 30
    assert 12 < area < 15  # the region of the fourth-order methods
    assert torch.equal(odegan.stability_region("euler").modulus, odegan.stability_region("euler").modulus.flip(0))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: odegan.max_stable_step([-1.0], "rk5"), "solver: got 'rk5'"),
        (lambda: odegan.max_stable_step([math.nan], "rk4"), "eigenvalues: got [nan]"),
        (lambda: odegan.max_stable_step("all", "rk4"), "eigenvalues: got 'all'"),
        (lambda: odegan.max_stable_step([-1.0], "rk4", tol=-1), "tol: got -1"),
        (lambda: odegan.stability_region("rk4", extent=(0, 1)), "extent: got (0, 1)"),
        (lambda: odegan.stability_region("rk4", extent=(1, 0, 0, 1)), "extent: got"),
        (lambda: odegan.stability_region("rk4", resolution=1), "resolution: got 1"),
    ],
)
def test_wrong_arguments(call, words):
    with pytest.raises(odegan.ArgumentError, match=r".") as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in solvers.names() if name not in NAMES])
def test_others_are_refused_with_a_reason(name):
    for call in (odegan.stability_function, odegan.stability_region, lambda n: odegan.max_stable_step([-1.0], n)):
        with pytest.raises(odegan.ArgumentError, match=f"solver: '{name}' has no stability function: it"):
            call(name)
