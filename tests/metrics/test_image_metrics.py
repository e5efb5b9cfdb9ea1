"""Image scores against closed forms, brute force and independent implementations; what is stored beside them; the cache."""

import itertools
import json
import math

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import odegan
from odegan import ArgumentError, ExponentialAverage, UniformAverage
from odegan.games.sampling import GameSampler
from odegan.metrics import (
    Moments,
    evaluation,
    fid,
    frechet_distance,
    inception_score,
    kid,
    moments,
    polynomial_mmd,
    precision_recall,
    scores,
)
from odegan.metrics.features import Extractor
from odegan.utils.random_streams import generator

torch.set_num_threads(1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
    a, b = covariance(2, seed), covariance(2, seed + 50)
    root = (torch.trace(a @ b) + 2 * (a.det() * b.det()).sqrt()).sqrt()
    mean = torch.zeros(2, dtype=torch.float64)
    expected = float(a.trace() + b.trace() - 2 * root)
    assert frechet_distance(Moments(mean, a), Moments(mean, b)) == pytest.approx(expected, rel=1e-11)


def test_frechet_distance_agrees_with_scipy_and_torchmetrics():
    linalg = pytest.importorskip("scipy.linalg")
    fid_module = pytest.importorskip("torchmetrics.image.fid")
    a, b, mean = covariance(20, 0), covariance(20, 1), normal(20, seed=2)
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
    a, b, n = covariance(3, 7), covariance(3, 8), 200_000
    x, y = (normal(n, 3, seed=s) @ torch.linalg.cholesky(c).T for s, c in ((1, a), (2, b)))
    zero = torch.zeros(3, dtype=torch.float64)
    expected = frechet_distance(Moments(zero, a), Moments(zero + 1, b))
    assert frechet_distance(moments(x), moments(y + 1)) == pytest.approx(expected, rel=0.02)


# KID.
def cubic(a, b, d):
    """E (x.y / d + 1)^3 for independent x ~ N(a, I), y ~ N(b, I), from the first three moments of x.y."""
    dot, squares = float(a @ b), float(a @ a + b @ b)
    second = d + squares + dot**2
    third = dot**3 + 3 * dot * squares + (3 * d + 6) * dot
    return third / d**3 + 3 * second / d**2 + 3 * dot / d + 1


def test_the_mmd_has_no_bias():
    """Its mean over many pairs of five samples is the squared MMD of the two Gaussians."""
    d, n = 4, 5
    a, b = torch.tensor([[0.5, 0, -1, 0.2], [0.1, 1, 0, 0.3]], dtype=torch.float64)
    expected = cubic(a, a, d) + cubic(b, b, d) - 2 * cubic(a, b, d)
    x, y = a + normal(20_000, n, d, seed=1), b + normal(20_000, n, d, seed=2)
    values = torch.tensor([polynomial_mmd(one, two) for one, two in zip(x, y, strict=True)], dtype=torch.float64)
    assert abs(values.mean() - expected) < 4 * values.std() / len(values) ** 0.5
    assert abs(values.mean() - expected) < 0.1 * expected  # such that a bias of 1 / n would show


def test_the_mmd_is_its_definition():
    x, y = normal(4, 3), normal(5, 3, seed=1).float()

    def kernel(one, two):
        return (sum(float(p) * float(q) for p, q in zip(one, two, strict=True)) / 3 + 1) ** 3

    within = [sum(kernel(p, q) for p, q in itertools.permutations(z, 2)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    across = sum(kernel(p, q) for p in x for q in y) / 20
    assert polynomial_mmd(x, y) == pytest.approx(sum(within) - 2 * across, rel=1e-12)
    torchmetrics = pytest.importorskip("torchmetrics.image.kid")
    assert polynomial_mmd(x, x + y[:4]) == pytest.approx(float(torchmetrics.poly_mmd(x, x + y[:4])), rel=1e-12)


def test_kid_averages_over_subsets():
    x, y = normal(60, 3), 0.3 + normal(50, 3, seed=1)
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
    real, fake = normal(40, 2), 0.8 + 0.5 * normal(30, 2, seed=1)
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


# Evaluation.
REAL = torch.rand(90, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1


def uniform(n, seed):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) * 1.8 - 0.9


class Net(nn.Module):
    """Features and logits; counts the images it sees."""

    def __init__(self, seed=0):
        super().__init__()
        self.first, self.last = nn.Linear(16, 6), nn.Linear(6, 3)
        for p in self.parameters():
            p.data.copy_(normal(*p.shape, seed=seed))
        self.drop, self.seen = nn.Dropout(0.5), 0

    def forward(self, images):
        self.seen += len(images)
        features = self.drop(self.first(images.flatten(1)).tanh())
        return features, 4 * self.last(features)


def evaluate(names=tuple(evaluation.SCORES), sampler=uniform, data=REAL, **given):
    known = {
        "extractor": given.get("extractor") or Net(),
        "n": 70,
        "normalization": "none",
        "batch_size": 32,
        "progress": False,
    }
    return scores(sampler, data, names, **known | given)


def test_all_that_a_score_depends_on_is_stored_beside_it():
    net = Net()
    found = evaluate(extractor=net, seed=3, split="train")
    assert list(found) == ["fid", "kid", "inception_score", "precision", "recall"]
    common = {
        "extractor": "Net",
        "resize": "none",
        "n": 70,
        "n_real": 90,
        "split": "train",
        "normalization": "none",
        "batch_size": 32,
        "seed": 3,
        "data": found["fid"]["data"],
    }
    own = {
        "fid": set(),
        "kid": {"std", "subsets", "subset_size"},
        "inception_score": {"std", "splits"},
        "precision": {"k"},
        "recall": {"k"},
    }
    for name, score in found.items():
        assert score.keys() == common.keys() | {"value"} | own[name]
        assert {key: score[key] for key in common} == common
        assert math.isfinite(score["value"])
    assert json.loads(json.dumps(found)) == found
    assert net.training  # left as it was


def test_values_are_those_of_the_single_metrics():
    net, found = Net().eval(), evaluate(seed=3)
    fake = torch.cat([uniform(32, evaluation.stream_seed(3, "evaluation", k)) for k in range(3)])[:70]
    with torch.no_grad():
        (real, _), (made, logits) = net(REAL), net(fake)
    assert found["fid"]["value"] == pytest.approx(fid(nn.Identity(), real, made), rel=1e-4)
    assert found["kid"]["value"] == pytest.approx(kid(real, made, 100, 70, seed=3).value, rel=1e-3)
    assert found["inception_score"]["value"] == pytest.approx(inception_score(logits, 10).value, rel=1e-5)
    assert (found["precision"]["value"], found["recall"]["value"]) == precision_recall(real, made)


def test_the_same_seed_gives_the_same_scores_whoever_reads():
    first, net = evaluate(seed=1), Net()
    state = torch.get_rng_state()
    assert evaluate(seed=1, extractor=net) == first
    labeled = evaluate(seed=1, extractor=net, data=TensorDataset(REAL, torch.arange(90)), workers=2)
    assert labeled["fid"]["value"] == first["fid"]["value"]
    assert torch.equal(torch.get_rng_state(), state)
    assert evaluate(seed=2)["fid"]["value"] != first["fid"]["value"]
    part = evaluate(("fid",), n_real=40, seed=1)["fid"]
    assert part["n_real"] == 40
    assert part["value"] != first["fid"]["value"]


@pytest.mark.parametrize("names", [("fid",), ("precision", "kid"), tuple(evaluation.SCORES)])
def test_real_statistics_are_computed_once(names, tmp_path):
    plain = evaluate(names)
    first, second = Net(), Net()
    assert evaluate(names, extractor=first, cache=tmp_path / "new") == plain
    assert evaluate(names, extractor=second, cache=tmp_path / "new") == plain
    assert second.seen == 70  # the samples alone
    assert first.seen >= 90 + 70
    assert all(path.suffix == ".pt" for path in (tmp_path / "new").iterdir())


def test_whatever_changes_the_statistics_is_another_entry(tmp_path):
    evaluate(("fid",), cache=tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    other = REAL.clone()
    other[50, 0, 1, 1] += 0.01
    changes = [
        {"extractor": Net(seed=1)},
        {"data": other},
        {"n_real": 40},
        {"extractor": lambda images: images.flatten(1)},
        {"extractor": lambda images: 2 * images.flatten(1)},
    ]
    for count, change in enumerate(changes, start=2):
        assert evaluate(("fid",), cache=tmp_path, **change) == evaluate(("fid",), **change)
        assert len({path.name for path in tmp_path.iterdir()}) == count
    assert names < {path.name for path in tmp_path.iterdir()}


def truncate(path):
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    "spoil",
    [truncate, lambda path: path.write_bytes(b""), lambda path: torch.save({"odegan_checkpoint": 0}, path)],
    ids=["truncated", "empty", "foreign"],
)
def test_a_damaged_cache_is_computed_again(spoil, tmp_path):
    plain = evaluate(("fid",), cache=tmp_path)
    (path,) = tmp_path.iterdir()
    spoil(path)
    with pytest.warns(UserWarning, match=r"^checkpoint: got .*\.pt.*; the statistics are computed again"):
        assert evaluate(("fid",), cache=tmp_path) == plain
    net = Net()
    assert evaluate(("fid",), cache=tmp_path, extractor=net) == plain
    assert net.seen == 70


class Counted(Dataset):
    """Images one at a time; counts how often one is read."""

    def __init__(self, images):
        self.images, self.read = images, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        self.read += 1
        return self.images[i]


def changed(item, by=0.01):
    images = REAL.clone()
    images[item, 0, 1, 1] += by
    return Counted(images)


@pytest.mark.parametrize("item", [0, 1, 44, 45, 73, 88, 89])
def test_every_real_image_counts(item, tmp_path):
    """An entry of all the images but one is not taken, wherever that one is."""
    before = evaluate(("fid",), data=Counted(REAL), cache=tmp_path)["fid"]
    after = evaluate(("fid",), data=changed(item), cache=tmp_path)["fid"]
    assert after == evaluate(("fid",), data=changed(item))["fid"]
    assert after["data"] != before["data"]
    assert len(list(tmp_path.iterdir())) == 2


def test_images_that_are_not_used_do_not_count(tmp_path):
    rows = torch.randperm(90, generator=generator(0, "real", 0))
    first = evaluate(("fid",), data=Counted(REAL), n_real=40, cache=tmp_path)
    assert evaluate(("fid",), data=changed(int(rows[60])), n_real=40, cache=tmp_path) == first
    assert len(list(tmp_path.iterdir())) == 1
    evaluate(("fid",), data=changed(int(rows[20])), n_real=40, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


class OneByOne(nn.Module):
    """Extractors that agree on the first image, and on every image but the dark ones."""

    def __init__(self, dark):
        super().__init__()
        self.register_buffer("dark", torch.tensor(dark))

    def forward(self, images):
        features = images.flatten(1)
        return torch.where(features[:, 3:4] < -0.9, self.dark * features, features)


def test_an_extractor_is_known_by_its_state_and_not_by_what_it_makes_of_an_image(tmp_path):
    assert REAL[0, 0, 0, 3] > -0.9
    assert (REAL[:, 0, 0, 3] < -0.9).any()
    found = [evaluate(("fid",), extractor=OneByOne(dark), cache=tmp_path) for dark in (1.0, 3.0)]
    assert found == [evaluate(("fid",), extractor=OneByOne(dark)) for dark in (1.0, 3.0)]
    assert found[0] != found[1]


def test_data_of_a_stated_fingerprint_are_not_read_again(tmp_path):
    first, second = Counted(REAL), Counted(REAL)
    found = evaluate(("fid",), data=first, cache=tmp_path, fingerprint="noise, first edition")
    assert first.read == 1 + 90  # one to know the shape
    assert evaluate(("fid",), data=second, cache=tmp_path, fingerprint="noise, first edition") == found
    assert second.read == 1
    other = evaluate(("fid",), data=second, cache=tmp_path, fingerprint="noise, second edition")
    assert second.read == 1 + 1 + 90
    assert other["fid"]["value"] == found["fid"]["value"]
    assert other["fid"]["data"] != found["fid"]["data"]


def test_data_that_say_what_they_are_are_not_read_again(tmp_path):
    class Known(Counted):
        def __odegan_fingerprint__(self):
            return "known"

    evaluate(("fid",), data=Known(REAL), cache=tmp_path)
    known = Known(REAL)
    evaluate(("fid",), data=known, cache=tmp_path)
    assert known.read == 1


def test_another_ones_entry_is_not_taken(tmp_path):
    plain = evaluate(("fid",), cache=tmp_path)
    (path,) = tmp_path.iterdir()
    evaluate(("fid",), cache=tmp_path, extractor=Net(seed=1))
    (other,) = set(tmp_path.iterdir()) - {path}
    path.write_bytes(other.read_bytes())
    assert evaluate(("fid",), cache=tmp_path) == plain


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 768 vs 662")])
def test_a_full_disk_costs_the_cache_alone(error, tmp_path, monkeypatch):
    def full(*given):
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match=r"^cache: .*\.pt' could not be written \(.+\)"):
        found = evaluate(("fid",), cache=tmp_path)
    assert found == evaluate(("fid",))
    assert list(tmp_path.iterdir()) == []


def test_an_extractor_of_ones_own_name():
    named = Extractor("squares", "none, pixels", lambda images: images.flatten(1).square(), torch.device("cpu"))
    found = evaluate(("fid",), extractor=named)["fid"]
    assert (found["extractor"], found["resize"]) == ("squares", "none, pixels")


def test_samples_that_are_not_finite():
    def broken(n, seed):
        images = uniform(n, seed)
        images[3] = math.nan
        return images

    found = evaluate(sampler=broken)
    assert all(math.isnan(found[name]["value"]) for name in ("fid", "kid", "inception_score"))
    assert 0 < found["precision"]["value"] < 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"names": ("FDI",)}, r"^names: got 'FDI'; it must be one of fid, kid, inception_score, precision, recall"),
        ({"names": ("fidd",)}, r"^names: .*did you mean 'fid'"),
        ({"normalization": None}, r"^normalization: got None; it must be one of none, batch, running"),
        ({"n": 1}, r"^n: got 1"),
        ({"n_real": 91}, r"^n_real: got 91; it must be at most 90, the images there are"),
        ({"batch_size": 0}, r"^batch_size: got 0"),
        ({"data": 3}, r"^dataset: got 3; it must be a tensor"),
        ({"data": REAL[:1]}, r"^dataset: got .*at least 2 images"),
        (
            {"sampler": lambda n, seed: torch.zeros(n, 3, 4, 4)},
            r"^sampler: .* to images \(n, 1, 4, 4\), as the data are",
        ),
        ({"sampler": lambda n, seed: 0}, r"^sampler: got 0"),
        ({"extractor": lambda x: x}, r"^extractor: got .* a function to features \(n, d\), one row for each image"),
        ({"extractor": lambda x: x.flatten(1)}, r"^names: got 'inception_score'; .* returns \(features, logits\)"),
        ({"workers": -1}, r"^workers: got -1"),
        ({"fingerprint": ""}, r"^fingerprint: got ''; it must be None, or a string that says what the data are"),
        ({"cache": 3}, r"^cache: got 3; it must be a folder, or None"),
        ({"cache": __file__}, r"^cache: got .*test_image_metrics.py'; it must be a folder, or None"),
    ],
)
def test_evaluation_refuses(change, message):
    with pytest.raises(ArgumentError, match=message):
        evaluate(**change)


def test_image_data_are_evaluated_without_their_random_parts(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from odegan.data import images

    for i, x in enumerate(REAL[:20]):
        image.fromarray(((x[0] + 1) * 127.5).round().byte().numpy()).save(tmp_path / f"{i:02d}.png")
    plain = images(tmp_path, size=4, channels=1)
    restless = images(tmp_path, size=4, channels=1, flip=True, dequantize=True)
    found = [evaluate(data=data) for data in (plain, restless)]
    assert found[0] == found[1]
    assert found[0]["fid"]["split"] == "train"


# Samples of games, and batch normalization.
def normalized_run(average):
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 16), nn.Unflatten(1, (1, 4, 4))
    )
    game = odegan.gan(generator, nn.Sequential(nn.Flatten(), nn.Linear(16, 1)))
    t = torch.tensor([0.0, 2.0])
    given = {"data": REAL, "latent": 3, "batch_size": 30, "solver": "adam", "step_size": 0.05, "callback": average}
    return game, generator, odegan.odeint_gan(game, game.init(), t, **given)


@pytest.mark.parametrize("make", [lambda: ExponentialAverage(0.9), UniformAverage])
def test_an_averaged_generator_is_exported_with_statistics_of_its_own(make):
    average = make()
    game, original, solution = normalized_run(average)
    batches = [(REAL[:20], normal(20, 3, seed=s).float()) for s in range(8)]
    exported, _ = game.modules(average.y, batches)
    assert torch.equal(torch.cat([p.flatten() for p in exported.parameters()]), game.split(average.y)[1])
    seen = [exported[0](z).detach() for _, z in batches]  # what its normalization is fed, by its own parameters
    mean, variance = (torch.stack(x).mean(0) for x in ([h.mean(0) for h in seen], [h.var(0) for h in seen]))
    torch.testing.assert_close(exported[1].running_mean, mean)
    torch.testing.assert_close(exported[1].running_var, variance)
    # not those of the last state, nor the original's
    last, _ = game.modules(solution.y, batches)
    for stale in (last[1].running_mean, original[1].running_mean):
        assert (exported[1].running_mean - stale).abs().max() > 0.01
    assert original[1].num_batches_tracked == 0
    # and another average is estimated again
    again, _ = game.modules(2 * average.y, batches)
    torch.testing.assert_close(again[1].running_mean, 2 * mean)


def test_samplers_say_which_statistics_they_use():
    average = ExponentialAverage(0.9)
    game, _, _ = normalized_run(average)
    batches = [(REAL[:20], normal(20, 3, seed=s).float()) for s in range(8)]
    batch, running = GameSampler(game, average.y), GameSampler(game, average.y, batches)
    assert (batch.normalization, running.normalization) == ("batch", "running")
    assert torch.equal(batch(32, 4), game.sample(average.y, 32, 4))
    # a sample depends on the others of its batch, or does not
    module = game.modules(average.y, batches)[0].eval()
    z = torch.randn(32, 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(running(32, 4), module(z))
    torch.testing.assert_close(running(16, 4), running(32, 4)[:16])
    assert (batch(16, 4) - batch(32, 4)[:16]).abs().max() > 0.01
    found = [evaluate(("fid",), sampler, normalization=None)["fid"] for sampler in (batch, running)]
    assert [score["normalization"] for score in found] == ["batch", "running"]
    assert found[0]["value"] != found[1]["value"]
    plain = odegan.gan(
        nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4))), nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    )
    assert GameSampler(plain, plain.init(), batches).normalization == "none"
