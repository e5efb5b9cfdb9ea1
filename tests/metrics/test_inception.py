"""Inception as an extractor: what odegan adds to torch-fidelity's network, and that network where it is installed."""

import importlib.util
import itertools
import math
import sys
import types
import urllib.error

import pytest
import torch
from torch import nn

from odegan import ArgumentError
from odegan.metrics import inception, scores
from odegan.metrics.features import find_extractor
from odegan.metrics.inception import FEATURES, SIZE, WEIGHTS

torch.set_num_threads(1)

MODULE = "torch_fidelity.feature_extractor_inceptionv3"


class Stub(nn.Module):
    """Takes the place of torch-fidelity's network: means of the levels by channel, and their doubles."""

    def __init__(self, name, features, feature_extractor_weights_path=None):
        super().__init__()
        assert features == FEATURES == ["2048", "logits_unbiased"]
        self.scale = nn.Parameter(torch.zeros(()))
        path = feature_extractor_weights_path
        self.load_state_dict({"scale": torch.tensor(1.0)} if path is None else torch.load(path))

    def forward(self, levels):
        assert levels.dtype == torch.uint8
        features = self.scale * levels.float().mean((2, 3))
        return features, 2 * features


@pytest.fixture
def stub(monkeypatch):
    module = types.ModuleType(MODULE)
    module.FeatureExtractorInceptionV3 = Stub
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, MODULE, module)


@pytest.fixture
def stub_weights(tmp_path):
    torch.save({"scale": torch.tensor(2.0)}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_images_become_8_bit_levels(stub, stub_weights):
    network = inception(stub_weights)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    # v / 127.5 - 1 and what lies less than half a level beside it is level v; beyond [-1, 1] the nearest
    levels = torch.tensor([0.0, 0.4, 1.0, 127.6, 254.0, 255.0, 300.0, -7.0])
    images = (levels / 127.5 - 1)[:, None, None, None].expand(-1, 3, 2, 2)
    features, logits = network(images)
    assert features[:, 0].tolist() == [0, 0, 2, 256, 508, 510, 510, 0]
    assert torch.equal(logits, 2 * features)
    assert torch.equal(network(images.double())[0], features)


def test_an_image_that_is_not_a_number_has_no_features(stub, stub_weights):
    images = torch.zeros(4, 3, 5, 5)
    images[1, 2, 3, 4] = math.nan
    images[2] = math.inf  # white
    features, logits = inception(stub_weights)(images)
    assert features.isnan().all(1).tolist() == logits.isnan().all(1).tolist() == [False, True, False, False]
    assert features[2].tolist() == [510, 510, 510]
    assert not features[[0, 2, 3]].isnan().any()


def test_inception_as_an_extractor(stub, stub_weights):
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = scores(
        lambda n, seed: images[torch.arange(n) % 4],
        images,
        ("fid", "inception_score"),
        extractor=stub_weights,
        n=4,
        normalization="none",
        progress=False,
    )
    assert found["fid"]["extractor"] == "Inception 2015-12-05"
    described = f"8-bit levels, TensorFlow 1 bilinear to {SIZE} x {SIZE} (corners not aligned, not antialiased)"
    assert found["fid"]["resize"] == described
    assert found["fid"]["value"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ArgumentError, match=r"^images: got .* shape \(2, 1, 8, 8\); it must be of shape \(n, 3, "):
        find_extractor(stub_weights)(images[:2, :1])


def test_weights_that_cannot_be_used(stub, tmp_path, monkeypatch):
    with pytest.raises(ArgumentError, match=r"^extractor: got '.*none.pth', which .* \(there is no such file"):
        find_extractor(tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK and no more")
    with pytest.raises(ArgumentError, match=r"^extractor: got '.*cut.pth', which cannot be read"):
        find_extractor(str(tmp_path / "cut.pth"))
    torch.save({"weight": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(ArgumentError, match=r"^extractor: got '.*other.pth'; it must be the weights of weights-incep"):
        find_extractor(tmp_path / "other.pth")

    def offline(*given, **others):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(ArgumentError, match=r"^extractor: got 'inception', whose weights could not be fetc") as caught:
        find_extractor("inception")
    assert f"fetch {WEIGHTS} where there is a network, and give the file's path as extractor" in str(caught.value)
    with pytest.raises(ArgumentError, match=r"^extractor: got 3; it must be 'inception'"):
        find_extractor(3)


def test_nothing_in_a_file_of_weights_is_executed(stub, tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("executed").touch, ())

    torch.save({"scale": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ArgumentError, match=r"^extractor: got '.*evil.pth', which cannot be read"):
        find_extractor(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


def test_fetched_weights_are_checked_before_torch_fidelity_sees_them(stub, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda url, **given: calls.append((url, given)))
    assert float(inception().network.scale) == 1
    ((url, given),) = calls
    assert url == WEIGHTS
    assert given["check_hash"] is given["weights_only"] is True


def test_what_to_install_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(ArgumentError, match=r"^extractor: Inception needs torch-fidelity.*'odegan\[fidelity\]'$"):
        find_extractor("inception")


# torch-fidelity itself.
class Absent(types.ModuleType):
    """An empty torchvision: torch-fidelity imports it for other networks than Inception."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}", object)


@pytest.fixture
def fidelity(monkeypatch):
    """torch-fidelity's module of Inception, also where its torchvision does not fit torch."""
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("torch-fidelity is not installed")
    try:
        return importlib.import_module(MODULE)
    except (ImportError, OSError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] in {"torch_fidelity", "torchvision"}]:
            monkeypatch.delitem(sys.modules, name)
    for name in (
        "torchvision",
        *(f"torchvision.{part}" for part in ("datasets", "transforms", "transforms.functional")),
    ):
        monkeypatch.setitem(sys.modules, name, Absent(name))
    module = importlib.import_module(MODULE)
    for name in [name for name in sys.modules if name.startswith("torch_fidelity")]:
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # forgotten after the test
    return module


@pytest.fixture
def weights(fidelity, tmp_path):
    """A file of weights that carry a signal to the end."""

    class Fresh(fidelity.FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            pass

    torch.save({}, tmp_path / "none.pth")
    state = Fresh("fresh", ["2048"], feature_extractor_weights_path=tmp_path / "none.pth").state_dict()
    for number, (name, x) in enumerate(state.items()):
        wave = torch.sin(torch.arange(x.numel(), dtype=torch.float64) * (1 + number % 7) + number).reshape(x.shape)
        if name.endswith("conv.weight") or name == "fc.weight":
            x.copy_(wave * 3.2 / x[0].numel() ** 0.5)
        elif x.is_floating_point():
            ones = float(name.endswith(("bn.weight", "var")))
            x.copy_(ones + 0.1 * ones * wave)
    torch.save(state, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def test_the_network_is_torch_fidelitys(fidelity, weights):
    network = inception(weights)
    assert sum(p.numel() for p in network.parameters()) == 23_850_960
    levels = torch.arange(2 * 3 * 16 * 12).reshape(2, 3, 16, 12) * 37 % 256
    found = network(levels.float() / 127.5 - 1)
    assert [tuple(rows.shape) for rows in found] == [(2, 2048), (2, 1008)]
    theirs = fidelity.FeatureExtractorInceptionV3("theirs", FEATURES, feature_extractor_weights_path=weights)
    for one, other in zip(found, theirs(levels.to(torch.uint8)), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one[0], one[1])


@pytest.mark.parametrize("height, width, size", [(8, 8, 12), (5, 9, 12), (32, 32, 299), (20, 14, 7)])
def test_its_resize_is_tensorflow_1s(fidelity, height, width, size):
    """Output pixel i reads position i H / size, without antialiasing."""
    resize = fidelity.interpolate_bilinear_2d_like_tensorflow1x
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))

    def at(i, n):
        low = i * n // size
        return low, min(low + 1, n - 1), i * n / size - low

    found = resize(x, size=(size, size), align_corners=False)
    for i, j in itertools.product(range(0, size, 1 + size // 9), repeat=2):
        top, bottom, v = at(i, height)
        left, right, h = at(j, width)
        rows = [x[:, :, row, left] * (1 - h) + x[:, :, row, right] * h for row in (top, bottom)]
        torch.testing.assert_close(found[:, :, i, j], rows[0] * (1 - v) + rows[1] * v, rtol=1e-4, atol=1e-4)
