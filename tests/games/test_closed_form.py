"""Games with closed forms: the Dirac GAN and the isotropic Gaussian, against independent formulas and quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.func import hessian, jacfwd, jacrev

import odegan
from odegan import games, losses

torch.set_num_threads(1)
D = torch.float64


def s(u):
    return np.logaddexp(0.0, u)


def relu(u):
    return max(0.0, u)


# The losses of one real logit r and one generated logit f, written out again.
SCALAR = {
    "minimax": (lambda r, f: s(-r) + s(f), lambda r, f: -s(f)),
    "non_saturating": (lambda r, f: s(-r) + s(f), lambda r, f: s(-f)),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "hinge": (lambda r, f: relu(1 - r) + relu(1 + f), lambda r, f: -f),
    "least_squares": (lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2, lambda r, f: (f - 1) ** 2 / 2),
    "relativistic": (lambda r, f: s(f - r), lambda r, f: s(r - f)),
}


def tensor(*values):
    return torch.tensor(values, dtype=D)


def numbers(pair):
    return [x.item() for x in pair]


def test_every_loss_is_here():
    assert set(SCALAR) == set(losses.names())


# The Dirac GAN.
@pytest.mark.parametrize("loss", SCALAR)
def test_dirac_losses(loss):
    c = 0.7
    feedback = 0.3
    phi = -1.3
    theta = 2.1
    disc, gen = (part(phi * c, phi * theta) for part in SCALAR[loss])
    found = numbers(games.dirac(loss, c, feedback).losses(tensor(phi, theta)))
    assert found == pytest.approx([disc + feedback * phi**2 / 2, gen], abs=1e-14)


@pytest.mark.parametrize("feedback", [0.0, 0.5, 2.0, 5.0])
def test_dirac_flow(feedback):
    game = games.dirac("wasserstein", 0.8, feedback)
    y0 = tensor(0.3, -0.4)
    t = torch.linspace(0, 4, 5, dtype=D)
    field = odegan.vector_field(game)
    torch.testing.assert_close(field(0.0, y0), tensor(0.8 + 0.4 - feedback * 0.3, 0.3))
    sol = odegan.odeint_gan(game, y0, t, solver="rk4", step_size=0.0125)
    torch.testing.assert_close(sol.ys, game.solution(t, y0), rtol=0, atol=1e-8)
    torch.testing.assert_close(game.solution(40.0, y0)[1].item(), 0.8, rtol=0, atol=2.0 if feedback == 0 else 1e-3)


def test_dirac_flows_only_where_they_are_known():
    assert all((games.dirac(name, 1.0).solution is None) == (name != "wasserstein") for name in losses.names())


def test_dirac_hinge_is_wasserstein_between_its_kinks():
    y = tensor(0.6, 1.2)
    hinge, linear = (odegan.vector_field(games.dirac(name, 1.0))(0.0, y) for name in ("hinge", "wasserstein"))
    torch.testing.assert_close(hinge, linear)
    beyond = odegan.vector_field(games.dirac("hinge", 1.0))(0.0, tensor(3.0, 1.2))
    assert beyond[0] == -1.2


def test_dirac_players():
    game = games.dirac("minimax", 0.5)
    y = tensor(2.0, 3.0)
    assert game.sample(y, 4).tolist() == [[3.0]] * 4
    assert game.critic(y[:1], tensor(1.0, -1.0)[:, None]).tolist() == [2.0, -2.0]
    assert game.real(None).item() == 0.5
    assert game.fake(y[1:], None).item() == 3.0
    assert game.init().tolist() == [1.0, 1.0]
    assert torch.equal(game.init(3), game.init(3))


def test_dirac_takes_a_users_pair():
    pair = (lambda real, fake: (fake - 2 * real).mean(), lambda real, fake: (real * fake).mean())
    assert numbers(games.dirac(pair, 0.5).losses(tensor(2.0, 3.0))) == [4.0, 6.0]


# The isotropic Gaussian.
V = tensor(0.4, -0.9)
SIGMA = 0.7
SMOOTH = [name for name in SCALAR if name != "hinge"]
PHI = tensor(0.1, 0.6)
TWIN = (  # the relativistic losses as a user's pair: goes through the rule in two dimensions
    lambda real, fake: torch.nn.functional.softplus(fake - real).mean(),
    lambda real, fake: torch.nn.functional.softplus(real - fake).mean(),
)


def by_line(function, first, second, variance):
    """E function(u, w) for independent u, w ~ N(first or second, variance), by scipy, for functions of u, of w or w - u."""
    spread = math.sqrt(variance)

    def weighted(z, values):
        return values(z) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    def mean(values):
        return quad(weighted, -12, 12, args=(values,), epsabs=1e-13, epsrel=1e-13, limit=400, points=[0.0])[0]

    return function(mean, first, second, spread)


LINE = {
    "minimax": (
        lambda E, r, f, d: E(lambda z: s(-r - d * z)) + E(lambda z: s(f + d * z)),
        lambda E, r, f, d: -E(lambda z: s(f + d * z)),
    ),
    "wasserstein": (lambda E, r, f, d: f - r, lambda E, r, f, d: -f),
    "hinge": (
        lambda E, r, f, d: E(lambda z: relu(1 - r - d * z)) + E(lambda z: relu(1 + f + d * z)),
        lambda E, r, f, d: -f,
    ),
    "least_squares": (
        lambda E, r, f, d: E(lambda z: (r + d * z - 1) ** 2 / 2) + E(lambda z: (f + d * z) ** 2 / 2),
        lambda E, r, f, d: E(lambda z: (f + d * z - 1) ** 2 / 2),
    ),
    "relativistic": (
        lambda E, r, f, d: E(lambda z: s(f - r + math.sqrt(2) * d * z)),
        lambda E, r, f, d: E(lambda z: s(r - f + math.sqrt(2) * d * z)),
    ),
}
LINE["non_saturating"] = (LINE["minimax"][0], lambda E, r, f, d: E(lambda z: s(-f - d * z)))


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-3, 1.0, 7.0])
@pytest.mark.parametrize("loss", SCALAR)
def test_gaussian_values(loss, size):
    theta = size * tensor(0.6, 0.8)
    found = numbers(games.gaussian(V, SIGMA, loss).losses(torch.cat([theta, PHI])))
    at = ((theta @ V).item(), (theta @ PHI).item(), SIGMA**2 * size**2)
    tolerance = 1e-8 if loss == "hinge" else 1e-11  # quad's, at the kinks
    assert found == pytest.approx([by_line(part, *at) for part in LINE[loss]], rel=tolerance, abs=tolerance)


def in_the_plane(loss):
    """(theta, phi) -> (disc, gen) by a Gauss-Hermite rule over x in the plane: fixed nodes, so smooth in theta."""
    points, weights = np.polynomial.hermite_e.hermegauss(30)
    z = torch.tensor(np.stack(np.meshgrid(points, points), -1).reshape(-1, 2))
    w = torch.tensor(np.outer(weights, weights).reshape(-1) / (2 * math.pi))
    pair = losses.get("relativistic" if loss is TWIN else loss)

    def mean(part, theta, phi):
        real = (V + SIGMA * z) @ theta
        fake = (phi + SIGMA * z) @ theta
        if pair.gen_sees_real:  # the difference of independent ones has twice the variance
            real = torch.zeros_like(real)
            fake = (phi - V + math.sqrt(2) * SIGMA * z) @ theta
        return w @ torch.vmap(lambda r, f: part(r[None], f[None]))(real, fake)

    return lambda y: torch.stack([mean(pair.disc, y[:2], y[2:]), mean(pair.gen, y[:2], y[2:])])


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-4, 0.5])
@pytest.mark.parametrize("loss", [*SMOOTH, TWIN], ids=[*SMOOTH, "pair"])
def test_gaussian_derivatives_up_to_the_third(loss, size):
    game = games.gaussian(V, SIGMA, loss)
    reference = in_the_plane(loss)
    y = torch.cat([size * tensor(0.6, 0.8), PHI])

    def found(y):
        return torch.stack(game.losses(y))

    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(found(y), reference(y), **close)
    torch.testing.assert_close(jacrev(found)(y), jacrev(reference)(y), **close)
    torch.testing.assert_close(jacrev(jacrev(found))(y), jacrev(jacrev(reference))(y), **close)
    third = jacrev(jacrev(jacrev(reference)))(y)
    torch.testing.assert_close(jacrev(jacrev(jacrev(found)))(y), third, **close)
    if loss is not TWIN:
        torch.testing.assert_close(jacfwd(jacfwd(jacrev(found)))(y), third, **close)


def test_gaussian_second_derivatives_at_zero_are_not_lost():
    """What goes wrong with |theta|: the Hessian of E s(-theta^T x) at 0 is (sigma^2 I + v v^T) / 4."""
    game = games.gaussian(V, SIGMA)
    found = hessian(lambda theta: game.losses(torch.cat([theta, torch.zeros(2, dtype=D)]))[0])(torch.zeros(2, dtype=D))
    expected = (2 * SIGMA**2 * torch.eye(2, dtype=D) + torch.outer(V, V)) / 4
    torch.testing.assert_close(found, expected)


def test_gaussian_hinge_derivatives():
    game = games.gaussian(V, SIGMA, "hinge")

    def disc(y):
        return game.losses(y)[0]

    at_zero = torch.cat([torch.zeros(2, dtype=D), PHI])
    torch.testing.assert_close(jacrev(disc)(at_zero)[:2], PHI - V)
    expected = torch.zeros(4, 4, dtype=D)
    expected[:2, 2:] = torch.eye(2, dtype=D)
    expected[2:, :2] = torch.eye(2, dtype=D)
    torch.testing.assert_close(hessian(disc)(at_zero), expected)
    for size in (0.2, 3.0):
        y = torch.cat([size * tensor(0.6, 0.8), PHI]).requires_grad_()
        assert torch.autograd.gradcheck(disc, y)
        assert torch.autograd.gradgradcheck(disc, y)


@pytest.mark.parametrize("loss", SCALAR)
def test_gaussian_by_sampling(loss):
    n = 200_000
    y = tensor(0.5, -0.3, 0.2, 0.1)
    source = torch.Generator().manual_seed(0)
    real = V + SIGMA * torch.randn(n, 2, generator=source, dtype=D)
    batch = odegan.Batch(real, torch.randn(n, 2, generator=source, dtype=D))
    sampled = games.gaussian(V, SIGMA, loss, "sampling")
    exact = games.gaussian(V, SIGMA, loss)
    for found, expected in zip(sampled.losses(y, batch), exact.losses(y), strict=True):
        assert abs(found - expected) < 6 / math.sqrt(n)
    difference = odegan.vector_field(sampled)(0.0, y, batch) - odegan.vector_field(exact)(0.0, y)
    assert difference.abs().max() < 10 / math.sqrt(n)
    few = odegan.Batch(real[:3], batch.latent[:3])
    logits = (few.real @ y[:2]).tolist(), ((y[2:] + SIGMA * few.latent) @ y[:2]).tolist()
    by_hand = [np.mean([part(r, f) for r, f in zip(*logits, strict=True)]) for part in SCALAR[loss]]
    assert numbers(sampled.losses(y, few)) == pytest.approx(by_hand)


def test_gaussian_wasserstein_flow():
    game = games.gaussian(V, SIGMA, "wasserstein")
    y0 = game.init(1)
    t = torch.linspace(0, 3, 4, dtype=D)
    sol = odegan.odeint_gan(game, y0, t, solver="rk4", step_size=0.0125)
    torch.testing.assert_close(sol.ys, game.solution(t, y0), rtol=0, atol=1e-8)


def test_gaussian_trains_to_its_equilibrium():
    game = games.gaussian([0.5, 1.0], 1.5)
    ensemble = torch.stack([game.init(), game.init(seed=1)])
    sol = odegan.odeint_gan(game, ensemble, [0.0, 40.0], solver="rk4", step_size=0.5)
    assert (sol.y - torch.tensor([0.0, 0.0, 0.5, 1.0])).abs().max() < 1e-3
    alone = odegan.odeint_gan(game, ensemble[1], [0.0, 40.0], solver="rk4", step_size=0.5)
    torch.testing.assert_close(sol.y[1], alone.y, rtol=0, atol=1e-5)


def test_gaussian_players():
    game = games.gaussian([0.0, 2.0], 0.7)
    torch.testing.assert_close(game.init(), torch.tensor([0.05, 0.05, 0.05, 2.05]))
    y = torch.tensor([1.0, 2.0, 3.0, -1.0])
    x = game.sample(y, 20_000, seed=1)
    torch.testing.assert_close(x.mean(0), y[2:], rtol=0, atol=0.03)
    torch.testing.assert_close(x.std(0), torch.tensor([0.7, 0.7]), rtol=0, atol=0.03)
    assert game.critic(y[:2], x[:3]).tolist() == (x[:3] @ y[:2]).tolist()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: games.dirac("hing", 1.0), "did you mean 'hinge'"),
        (lambda: games.dirac("hinge", "one"), "c: got 'one'"),
        (lambda: games.dirac("hinge", 1.0, feedback=-1.0), "feedback: got -1.0"),
        (lambda: games.gaussian([[1.0]], 1.0), "v: got"),
        (lambda: games.gaussian(["a"], 1.0), "v: got"),
        (lambda: games.gaussian([float("nan")], 1.0), "v: got"),
        (lambda: games.gaussian([1.0], 0.0), "sigma: got 0.0"),
        (lambda: games.gaussian([1.0], 1.0, expectation="sample"), "did you mean 'sampling'"),
        (lambda: games.gaussian([1.0], 1.0, "minimax", "sampling").losses(torch.ones(2)), "batch: got None"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(odegan.ArgumentError, match=r".") as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", odegan.losses.names())
def test_a_loss_of_the_table_is_the_same_by_name_and_as_an_object(name):
    y = tensor(1.0, -0.5, 0.3, 0.2)
    by_name, as_object = (games.gaussian([1.0, 2.0], 0.7, loss) for loss in (name, odegan.losses.get(name)))
    torch.testing.assert_close(by_name.losses(y), as_object.losses(y), rtol=0, atol=0)
