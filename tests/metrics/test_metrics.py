"""The metrics against closed forms, hand-made cases and each other."""

import math

import pytest
import torch
from torch import nn

from odegan.metrics import (
    coverage,
    extract_features,
    fid,
    mixture_scores,
)
from odegan.metrics import mixture as mixture_module

torch.set_num_threads(1)

GRID = torch.cartesian_prod(*2 * [torch.tensor([-1.5, -0.5, 0.5, 1.5])])


def mixture_samples(n: int, seed: int, modes: torch.Tensor = GRID, sigma: float = 0.02) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(len(modes), (n,), generator=generator)
    return modes[which] + sigma * torch.randn(n, 2, generator=generator)


def test_the_mixture_itself_scores_its_closed_form():
    n = 200_000
    radius = 2.0
    covered, quality, kl = mixture_scores(mixture_samples(n, 0), GRID, 0.02, radius=radius)
    expected = 1 - math.exp(-(radius**2) / 2)
    assert covered == 16
    assert abs(quality - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    # 2 n KL is chi-square with K - 1 degrees of freedom: mean 15, standard deviation sqrt(30)
    assert abs(2 * n * expected * float(kl) - 15) < 4 * math.sqrt(30)
    assert abs(mixture_scores(mixture_samples(n, 1), GRID, 0.02).quality - (1 - math.exp(-12.5))) < 3e-5


def test_hand_made_scores():
    modes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    # 3 + 1 good samples, one just inside and one just outside 5 sigma, and one far off
    samples = torch.tensor([[0, 0], [0, 0], [0.0499, 0], [0.9501, 0.0], [0.0, 0.949], [9, 9]])
    scores = mixture_scores(samples, modes, sigma=0.01, share=1 / 6)
    assert scores.modes_covered == 2
    assert float(scores.quality) == pytest.approx(4 / 6)
    assert float(scores.histogram_kl) == pytest.approx(0.75 * math.log(3) + 0.25 * math.log(1))
    assert mixture_scores(samples, modes, sigma=0.01, share=1 / 6 + 1e-6).modes_covered == 1
    assert mixture_scores(samples, modes, sigma=0.01, radius=5.2).quality == 5 / 6


def test_one_percent_of_samples_is_exactly_enough():
    for n in range(100, 3000, 100):
        samples = torch.full((n, 2), 50.0)
        samples[: n // 100] = 0.0
        assert mixture_scores(samples, GRID - 0.5, 0.02).modes_covered == 1
        samples[0] = 50.0
        assert mixture_scores(samples, GRID - 0.5, 0.02).modes_covered == 0


def test_collapse_and_no_good_sample_have_the_largest_divergence():
    for samples in (GRID[:1].expand(50, 2), torch.full((50, 2), 7.0), torch.full((50, 2), math.nan)):
        scores = mixture_scores(samples, GRID, 0.02)
        assert float(scores.histogram_kl) == pytest.approx(math.log(16))
        assert scores.modes_covered == float(scores.quality) == float(samples[0, 0] == -1.5)


def test_members_and_chunks_score_as_single_runs(monkeypatch):
    members = torch.stack([mixture_samples(300, s, GRID[: 4 * (s + 1)]) for s in range(4)])
    together = mixture_scores(members, GRID, 0.02)
    assert together.modes_covered.tolist() == [4, 8, 12, 16]
    for e, samples in enumerate(members):
        for alone, joint in zip(mixture_scores(samples, GRID, 0.02), together, strict=True):
            assert alone.shape == ()
            assert alone == joint[e]
    monkeypatch.setattr(mixture_module, "_CHUNK", 77)
    assert all(torch.equal(a, b) for a, b in zip(mixture_scores(members, GRID, 0.02), together, strict=True))


def test_small_distances_far_from_the_origin_are_exact():
    modes = GRID + 1000
    samples = (modes + 0.0625).expand(4, 16, 2).reshape(-1, 2)
    assert mixture_scores(samples, modes, sigma=0.02, radius=5.0).quality == 1
    assert mixture_scores(samples, modes, sigma=0.02, radius=4.0).quality == 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"samples": torch.zeros(3)}, r"^samples: got .* shape \(3,\); it must be of shape \(n, d\) or \(E, n, d\)"),
        ({"samples": torch.zeros(0, 2)}, r"^samples: got .* shape \(0, 2\)"),
        ({"modes": torch.zeros(4, 3)}, r"^modes: got .* shape \(4, 3\); it must be of shape \(K, 2\)"),
        ({"sigma": 0.0}, r"^sigma: got 0.0; it must be a finite number > 0"),
        ({"radius": -1.0}, r"^radius: got -1.0"),
        ({"share": 0.0}, r"^share: got 0.0"),
        ({"share": 1.5}, r"^share: got 1.5"),
    ],
)
def test_mixture_refuses(change, message):
    arguments = {"samples": torch.zeros(5, 2), "modes": GRID, "sigma": 0.02} | change
    with pytest.raises(ValueError, match=message):
        mixture_scores(**arguments)


def test_features_are_those_of_evaluation_mode_and_modes_are_restored():
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(0.5))
    net[1].eval()
    images = torch.randn(30, 1, 8, 8)
    rows = extract_features(net, images, batch_size=7)
    assert rows.dtype == torch.float64
    torch.testing.assert_close(rows.float(), images.flatten(1) / math.sqrt(1 + 1e-5))
    assert [m.training for m in net] == [True, False, True]
    assert net[1].num_batches_tracked == 0


def gaussian_distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    """The Frechet distance by symmetric square roots, from eigenvalues in float64."""
    difference = (real.mean(0) - fake.mean(0)).square().sum()
    cov_real = torch.cov(real.T)
    cov_fake = torch.cov(fake.T)
    values, vectors = torch.linalg.eigh(cov_real)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    middle = torch.linalg.eigvalsh(root @ cov_fake @ root).clamp(min=0).sqrt().sum()
    return float(difference + cov_real.trace() + cov_fake.trace() - 2 * middle)


def test_fid_of_gaussians():
    torch.manual_seed(0)
    real = torch.randn(400, 12, dtype=torch.float64) @ torch.randn(12, 12, dtype=torch.float64) + 3
    fake = torch.randn(300, 12, dtype=torch.float64) @ torch.randn(12, 12, dtype=torch.float64)
    expected = gaussian_distance(real, fake)
    assert fid(nn.Identity(), real, fake) == pytest.approx(expected, rel=1e-10)
    assert fid(nn.Identity(), real, fake, batch_size=7) == pytest.approx(expected, rel=1e-10)
    # along one axis the formula is (m_r - m_f)^2 + (s_r - s_f)^2
    line = torch.randn(50, 1, dtype=torch.float64)
    line = (line - line.mean()) / line.std()
    assert fid(nn.Identity(), 2 * line + 1, 5 * line - 3) == pytest.approx(16 + 9, rel=1e-12)


def test_fid_refuses():
    with pytest.raises(ValueError, match=r"^fake: got .* shape \(1, 3\); it must be at least 2"):
        fid(nn.Identity(), torch.zeros(5, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"^real: got .* shape \(0, 3\)"):
        fid(nn.Identity(), torch.zeros(0, 3), torch.zeros(5, 3))
    with pytest.raises(
        ValueError, match=r"^features: got .* shape \(5, 1, 3\); it must be a module that returns \(n, d\)"
    ):
        extract_features(nn.Identity(), torch.zeros(5, 1, 3))
    with pytest.raises(ValueError, match=r"^images: got .* shape \(0, 3\)"):
        extract_features(nn.Identity(), torch.zeros(0, 3))


def clusters(n: int, seed: int, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """n points in each of some far apart unit Gaussians in 3-D, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(n)
    centers = torch.zeros(classes, 3)
    centers[:, 0] = 100.0 * torch.arange(classes)
    return centers[labels] + torch.randn(len(labels), 3, generator=generator), labels


def test_coverage_of_copies_of_far_points_and_of_one_class():
    real, labels = clusters(40, 0)
    every = coverage(real, real, labels)
    assert every.per_class.tolist() == [1.0] * 10
    assert every.overall == 1
    assert coverage(real, real + 1e4, labels).per_class.tolist() == [0.0] * 10
    some = coverage(real, real[labels == 3], labels)
    assert some.per_class.tolist() == [float(c == 3) for c in range(10)]
    assert some.overall == pytest.approx(0.1)
    assert coverage(real, real.new_full((5, 3), math.nan), labels).overall == 0
    assert coverage(real, real[:0], labels).overall == 0
    broken = torch.cat([real[labels == 2], real.new_tensor([[math.nan, 0, 0], [math.inf, 0, 0]])])
    assert coverage(real, broken, labels).per_class.tolist() == [float(c == 2) for c in range(10)]


def test_copies_cover_duplicates():
    real = 1000 + torch.randn(8, 5, generator=torch.Generator().manual_seed(0)).double().repeat_interleave(8, 0)
    labels = torch.zeros(64, dtype=torch.int64)
    assert coverage(real, real, labels).overall == 1
    assert coverage(real, real + 1e-6, labels).overall == 0


def test_coverage_is_hand_computable_on_a_line():
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])  # 2nd-neighbor distances 3, 2, 3, 9
    labels = torch.tensor([0, 0, 1, 1])
    result = coverage(real, torch.tensor([[-2.5]]), labels, k=2)
    assert result.per_class.tolist() == [0.5, 0.0]
    assert coverage(real, torch.tensor([[19.0]]), labels, k=2).per_class.tolist() == [0.0, 0.5]
    assert coverage(real, torch.tensor([[19.01]]), labels, k=2).overall == 0
    assert coverage(real, torch.tensor([[19.0]]), labels, k=1).overall == 0


def test_coverage_of_the_same_distribution_is_its_expectation():
    n = 150
    m = 100
    k = 3
    values = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        real = torch.randn(n, 2, generator=generator)
        fake = torch.randn(m, 2, generator=generator)
        values.append(coverage(real, fake, torch.zeros(n, dtype=torch.int64), k=k, chunk=64).overall)
    expected = 1 - math.prod((n - i) / (m + n - i) for i in range(1, k + 1))
    scores = torch.tensor(values)
    assert abs(scores.mean() - expected) < 4 * scores.std() / math.sqrt(len(scores))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": 0}, r"^k: got 0; it must be from 1 to 5"),
        ({"k": 6}, r"^k: got 6; it must be from 1 to 5"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, r"^labels: got .* shape \(5,\); it must be of shape \(6,\)"),
        (
            {"labels": torch.tensor([0, 0, 1, 1, 3, 3])},
            r"^labels: got \[0, 1, 3\]; it must be classes 0..C-1, each present",
        ),
        ({"fake_features": torch.zeros(4, 2)}, r"^fake_features: got .* shape \(4, 2\); it must be of shape \(m, 3\)"),
    ],
)
def test_coverage_refuses(change, message):
    real = torch.randn(6, 3)
    arguments = {
        "real_features": real,
        "fake_features": real,
        "labels": torch.arange(2).repeat(3),
        "k": 1,
    } | change
    with pytest.raises(ValueError, match=message):
        coverage(**arguments)
