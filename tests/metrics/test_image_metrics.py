"""Image scores against closed forms, brute force and independent implementations; what is stored beside them; the cache."""

import itertools
import math

import pytest
import torch
from torch import nn

from odegan import ArgumentError
from odegan.metrics import (
    Moments,
    frechet_distance,
    inception_score,
    kid,
    moments,
    polynomial_mmd,
    precision_recall,
)
from tests.metrics.evaluation_cases import normal

torch.set_num_threads(1)


def covariance(d, seed):
    root = normal(d, d, seed=seed)
    return root @ root.T / d


# FID.
def test_frechet_distance_of_commuting_covariances():
    basis = torch.linalg.qr(normal(6, 6)).Q
    one, two = torch.rand(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 9
    mean = normal(6, seed=2)
    found = frechet_distance(
        Moments(mean, basis @ one.diag() @ basis.T), Moments(mean + 0.5, basis @ two.diag() @ basis.T)
    )
    assert found == pytest.approx(6 * 0.25 + float((one.sqrt() - two.sqrt()).square().sum()), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_frechet_distance_in_the_plane(seed):
    """For 2 x 2, tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt(det AB))."""
    a = covariance(2, seed)
    b = covariance(2, seed + 50)
    root = (torch.trace(a @ b) + 2 * (a.det() * b.det()).sqrt()).sqrt()
    mean = torch.zeros(2, dtype=torch.float64)
    expected = float(a.trace() + b.trace() - 2 * root)
    assert frechet_distance(Moments(mean, a), Moments(mean, b)) == pytest.approx(expected, rel=1e-11)


def test_frechet_distance_agrees_with_scipy_and_torchmetrics():
    linalg = pytest.importorskip("scipy.linalg")
    fid_module = pytest.importorskip("torchmetrics.image.fid")
    a = covariance(20, 0)
    b = covariance(20, 1)
    mean = normal(20, seed=2)
    found = frechet_distance(Moments(mean, a), Moments(-mean, b))
    root = linalg.sqrtm((a @ b).numpy())
    expected = 4 * mean.square().sum() + a.trace() + b.trace() - 2 * root.trace().real
    assert found == pytest.approx(float(expected), rel=1e-9)
    rows = [normal(90, 20, seed=3) @ a, 1 + normal(70, 20, seed=4) @ b]

    class Rows(nn.Identity):
        num_features = 20

    metric = fid_module.FrechetInceptionDistance(feature=Rows())
    metric.set_dtype(torch.float64)
    metric.update(rows[0], real=True)
    metric.update(rows[1], real=False)
    assert frechet_distance(moments(rows[0]), moments(rows[1])) == pytest.approx(float(metric.compute()), rel=1e-9)


def test_fewer_samples_than_features():
    """Both covariances are singular: the same samples are at distance 0, shifted ones at the shift's square."""
    rows = normal(30, 200)
    assert abs(frechet_distance(moments(rows), moments(rows))) < 1e-11
    assert frechet_distance(moments(rows), moments(rows + 0.1)) == pytest.approx(2.0, rel=1e-10)
    other = normal(25, 200, seed=1)
    # tr (S_r S_f)^(1/2) is the nuclear norm of the product of the centered samples
    centered = [(x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (rows, other)]
    nuclear = torch.linalg.svdvals(centered[0] @ centered[1].T).sum()
    apart = (rows.mean(0) - other.mean(0)).square().sum()
    expected = float(apart + centered[0].square().sum() + centered[1].square().sum() - 2 * nuclear)
    assert frechet_distance(moments(rows), moments(other)) == pytest.approx(expected, rel=1e-6)


def test_moments_in_float32_far_from_the_origin():
    rows = (1e4 + normal(5000, 3)).float()
    found = moments(rows)
    torch.testing.assert_close(found.covariance, torch.cov(rows.double().T), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.mean, rows.double().mean(0), rtol=1e-15, atol=0)
    assert found.mean.dtype == torch.float64


def test_gaussian_samples_reach_the_distance_of_their_laws():
    a = covariance(3, 7)
    b = covariance(3, 8)
    n = 200_000
    x, y = (normal(n, 3, seed=s) @ torch.linalg.cholesky(c).T for s, c in ((1, a), (2, b)))
    zero = torch.zeros(3, dtype=torch.float64)
    expected = frechet_distance(Moments(zero, a), Moments(zero + 1, b))
    assert frechet_distance(moments(x), moments(y + 1)) == pytest.approx(expected, rel=0.02)


# KID.
def cubic(a, b, d):
    """E (x.y / d + 1)^3 for independent x ~ N(a, I), y ~ N(b, I), from the first three moments of x.y."""
    dot = float(a @ b)
    squares = float(a @ a + b @ b)
    second = d + squares + dot**2
    third = dot**3 + 3 * dot * squares + (3 * d + 6) * dot
    return third / d**3 + 3 * second / d**2 + 3 * dot / d + 1


def test_the_mmd_has_no_bias():
    """Its mean over many pairs of five samples is the squared MMD of the two Gaussians."""
    d = 4
    n = 5
    a, b = torch.tensor([[0.5, 0, -1, 0.2], [0.1, 1, 0, 0.3]], dtype=torch.float64)
    expected = cubic(a, a, d) + cubic(b, b, d) - 2 * cubic(a, b, d)
    x = a + normal(20_000, n, d, seed=1)
    y = b + normal(20_000, n, d, seed=2)
    values = torch.tensor([polynomial_mmd(one, two) for one, two in zip(x, y, strict=True)], dtype=torch.float64)
    assert abs(values.mean() - expected) < 4 * values.std() / len(values) ** 0.5
    assert abs(values.mean() - expected) < 0.1 * expected  # such that a bias of 1 / n would show


def test_the_mmd_is_its_definition():
    x = normal(4, 3)
    y = normal(5, 3, seed=1).float()

    def kernel(one, two):
        return (sum(float(p) * float(q) for p, q in zip(one, two, strict=True)) / 3 + 1) ** 3

    within = [sum(kernel(p, q) for p, q in itertools.permutations(z, 2)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    across = sum(kernel(p, q) for p in x for q in y) / 20
    assert polynomial_mmd(x, y) == pytest.approx(sum(within) - 2 * across, rel=1e-12)
    torchmetrics = pytest.importorskip("torchmetrics.image.kid")
    assert polynomial_mmd(x, x + y[:4]) == pytest.approx(float(torchmetrics.poly_mmd(x, x + y[:4])), rel=1e-12)


def test_kid_averages_over_subsets():
    x = normal(60, 3)
    y = 0.3 + normal(50, 3, seed=1)
    whole = kid(x, y[:50], subsets=2, subset_size=50)
    assert (whole.value != whole.std, kid(x, y, 3, 20, seed=5)) == (True, kid(x, y, 3, 20, seed=5))
    assert kid(x, y, 3, 20, seed=6) != kid(x, y, 3, 20, seed=5)
    assert kid(x[:50], y, subsets=4, subset_size=50).value == pytest.approx(polynomial_mmd(x[:50], y), rel=1e-12)
    assert kid(x[:50], y, subsets=4, subset_size=50).std < 1e-12
    many = kid(x, y, subsets=3000, subset_size=10)
    # subsets of finite sets estimate the sets' own unbiased value without bias too
    assert abs(many.value - polynomial_mmd(x, y)) < 4 * many.std / 3000**0.5
    y[3, 1] = math.nan
    assert math.isnan(kid(x, y, subsets=2, subset_size=50).value)


# Inception Score.
def test_inception_score_of_known_answers():
    assert inception_score(torch.zeros(50, 7)).value == pytest.approx(1, abs=1e-12)
    sure = torch.eye(5).repeat(20, 1) * 1e3
    assert inception_score(sure, 10) == pytest.approx((5, 0), abs=1e-12)
    assert inception_score(torch.where(sure > 0, 0, -math.inf), 1).value == pytest.approx(5, abs=1e-12)
    assert inception_score(sure[torch.arange(100) % 5 == 0], 2).value == pytest.approx(1, abs=1e-12)
    # half say (q, 1 - q) and half (1 - q, q): exp(log 2 - H(q))
    q = 0.8
    logits = torch.tensor([[q, 1 - q], [1 - q, q]], dtype=torch.float64).log().repeat(30, 1) + 3.0
    expected = 2 * math.exp(q * math.log(q) + (1 - q) * math.log(1 - q))
    assert inception_score(logits, 3).value == pytest.approx(expected, rel=1e-12)
    # parts of one answer each: 1 in every part, though the whole has two answers
    parts = torch.tensor([[50.0, 0.0]] * 6 + [[0.0, 50.0]] * 6)
    assert inception_score(parts, 2).value == pytest.approx(1)
    assert inception_score(parts, 1).value == pytest.approx(2)
    assert inception_score(torch.cat([parts[:6], parts[3:9]]), 2) == pytest.approx((1.5, 0.5))
    assert math.isnan(inception_score(torch.tensor([[1.0, math.nan], [0.0, 1.0]]), 1).value)


def test_inception_score_is_its_definition():
    logits = 2 * normal(24, 6)
    p = logits.softmax(1)
    values = [
        math.exp(sum(float((row * (row / part.mean(0)).log()).sum()) for row in part) / len(part))
        for part in p.split(8)
    ]
    found = inception_score(logits, 3)
    assert found.value == pytest.approx(sum(values) / 3, rel=1e-12)
    assert found.std == pytest.approx(float(torch.tensor(values, dtype=torch.float64).std(correction=0)), rel=1e-9)


# Precision and recall.
def brute_force(real, fake, k):
    def share(points, centers):
        distance = [[math.dist(p, c) for c in centers.tolist()] for p in centers.tolist()]
        radii = [sorted(row)[k] for row in distance]
        inside = [
            any(math.dist(p, c) <= r for c, r in zip(centers.tolist(), radii, strict=True)) for p in points.tolist()
        ]
        return sum(inside) / len(inside)

    return share(fake, real), share(real, fake)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_precision_and_recall_are_their_definition(k):
    real = normal(40, 2)
    fake = 0.8 + 0.5 * normal(30, 2, seed=1)
    found = precision_recall(real, fake, k, chunk=7)
    assert found == pytest.approx(brute_force(real, fake, k))
    assert 0 < found.precision <= 1
    assert precision_recall(fake, real, k) == (found.recall, found.precision)


def test_precision_and_recall_of_constructed_sets():
    real = torch.cat([normal(50, 2), 100 + normal(50, 2, seed=1)])
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 1e4) == (0, 0)
    one_mode = 0.3 * normal(60, 2, seed=2)
    assert precision_recall(real, one_mode).precision == 1  # all it makes is real
    assert precision_recall(real, one_mode).recall < 0.5  # and half of the data are never made
    wide = torch.cat([real, 5000 + normal(300, 2, seed=3)])
    assert precision_recall(real, wide) == pytest.approx((100 / 400, 1))


def test_duplicates_and_samples_that_are_not_finite():
    real = 1000 + normal(8, 5).repeat_interleave(8, 0)
    assert precision_recall(real, real) == (1, 1)  # radii of 0
    assert precision_recall(real, real + 1e-6) == (0, 0)
    fake = real.clone()
    fake[::2, 1] = math.inf
    fake[1::4, 0] = math.nan
    assert precision_recall(real, fake) == (0.25, 1)  # two of every eight are left, with balls that reach other points
    fake[4:] = math.nan
    assert precision_recall(real, fake) == (1 / 64, 0)  # one is left: it has no third neighbor, and so no ball


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: moments(x[:1]), r"^features: got .* shape \(1, 3\)"),
        (lambda x: kid(x, x, subset_size=9), r"^subset_size: got 9; it must be from 2 to 8"),
        (lambda x: kid(x, x, subsets=0, subset_size=3), r"^subsets: got 0"),
        (lambda x: polynomial_mmd(x, x[:, :2]), r"^real, fake: got \(\(8, 3\), \(8, 2\)\)"),
        (lambda x: inception_score(x[0]), r"^logits: got .* shape \(3,\)"),
        (lambda x: inception_score(x, 9), r"^splits: got 9; it must be from 1 to 8"),
        (lambda x: precision_recall(x, x[:3], 3), r"^k: got 3; it must be from 1 to 2"),
        (lambda x: precision_recall(x, x[:, :2]), r"^real, fake: got \(\(8, 3\), \(8, 2\)\)"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(torch.zeros(8, 3))
