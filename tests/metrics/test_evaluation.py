"""``scores``: values, and everything that they depend on."""

import json
import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from odegan import ArgumentError
from odegan.metrics import (
    evaluation,
    fid,
    inception_score,
    kid,
    precision_recall,
)
from odegan.metrics.features import Extractor
from tests.metrics.evaluation_cases import REAL, Net, evaluate, uniform

torch.set_num_threads(1)


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
    net = Net().eval()
    found = evaluate(seed=3)
    fake = torch.cat([uniform(32, evaluation.stream_seed(3, "evaluation", k)) for k in range(3)])[:70]
    with torch.no_grad():
        real, _ = net(REAL)
        made, logits = net(fake)
    assert found["fid"]["value"] == pytest.approx(fid(nn.Identity(), real, made), rel=1e-4)
    assert found["kid"]["value"] == pytest.approx(kid(real, made, 100, 70, seed=3).value, rel=1e-3)
    assert found["inception_score"]["value"] == pytest.approx(inception_score(logits, 10).value, rel=1e-5)
    assert (found["precision"]["value"], found["recall"]["value"]) == precision_recall(real, made)


def test_the_same_seed_gives_the_same_scores_whoever_reads():
    first = evaluate(seed=1)
    net = Net()
    state = torch.get_rng_state()
    assert evaluate(seed=1, extractor=net) == first
    labeled = evaluate(seed=1, extractor=net, data=TensorDataset(REAL, torch.arange(90)), workers=2)
    assert labeled["fid"]["value"] == first["fid"]["value"]
    assert torch.equal(torch.get_rng_state(), state)
    assert evaluate(seed=2)["fid"]["value"] != first["fid"]["value"]
    part = evaluate(("fid",), n_real=40, seed=1)["fid"]
    assert part["n_real"] == 40
    assert part["value"] != first["fid"]["value"]


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
        ({"cache": __file__}, r"^cache: got .*test_evaluation.py'; it must be a folder, or None"),
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
