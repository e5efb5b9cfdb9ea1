"""``scores``: a generator's scores against real data, each with all that its value depends on."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from odegan.data import ImageDataset
from odegan.data.workers import Prefetched
from odegan.metrics.features import Extractor, Spec, find_extractor
from odegan.metrics.frechet import Moments, frechet_distance, moments
from odegan.metrics.inception_score import inception_score
from odegan.metrics.kid import kid
from odegan.metrics.precision_recall import share_inside
from odegan.utils import checkpoint
from odegan.utils.checks import ArgumentError, choose, fail, one_line, whole
from odegan.utils.fingerprint import describe
from odegan.utils.random_streams import generator, stream_seed

NORMALIZATIONS = ("none", "batch", "running")
_NEIGHBOR = 3  # whose distance is the radius of a ball, in precision and recall
_PROBES = 64  # items that stand for a data set which does not say what it is

Draw = Callable[[int, int], Tensor]  # (n, seed) -> images (n, C, H, W) in [-1, 1]


class Real(NamedTuple):
    """What scores need of the real data."""

    n: int
    moments: Moments | None
    features: Tensor | None  # (n, d)


class Fake(NamedTuple):
    """What scores need of the generated samples."""

    features: Tensor  # (n, d)
    logits: Tensor | None  # (n, classes)


@dataclass(frozen=True)
class Score:
    """One entry of the table: what it reads of the real data, and value, deviation and settings from (real, fake, seed)."""

    compute: Callable[[Real, Fake, int], dict[str, Any]]
    reads: str  # "moments", "features" or "nothing" of the real data


def _fid(real: Real, fake: Fake, seed: int) -> dict[str, Any]:
    assert real.moments is not None
    return {"value": frechet_distance(real.moments, moments(fake.features))}


def _kid(real: Real, fake: Fake, seed: int) -> dict[str, Any]:
    assert real.features is not None
    settings = {"subsets": 100, "subset_size": min(1000, real.n, len(fake.features))}
    return kid(real.features, fake.features, seed=seed, **settings)._asdict() | settings


def _inception_score(real: Real, fake: Fake, seed: int) -> dict[str, Any]:
    if fake.logits is None:
        fail("names", "inception_score", "left out, or extractor one that returns (features, logits)")
    splits = min(10, len(fake.logits))
    return inception_score(fake.logits, splits)._asdict() | {"splits": splits}


def _precision(real: Real, fake: Fake, seed: int) -> dict[str, Any]:
    assert real.features is not None
    return {"value": share_inside(fake.features, real.features, _NEIGHBOR), "k": _NEIGHBOR}


def _recall(real: Real, fake: Fake, seed: int) -> dict[str, Any]:
    assert real.features is not None
    return {"value": share_inside(real.features, fake.features, _NEIGHBOR), "k": _NEIGHBOR}


SCORES = {
    "fid": Score(_fid, "moments"),
    "kid": Score(_kid, "features"),
    "inception_score": Score(_inception_score, "nothing"),
    "precision": Score(_precision, "features"),
    "recall": Score(_recall, "features"),
}


def scores(
    sampler: Draw,
    dataset: Any,
    names: Sequence[str] = ("fid",),
    *,
    extractor: Spec = "inception",
    n: int = 50_000,
    n_real: int | None = None,
    split: str | None = None,
    normalization: str | None = None,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    batch_size: int = 128,
    device: Any = None,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, dict[str, Any]]:
    """Scores of n generated samples against a data set, all in float64 from the features on.

    Args:
        sampler: function (n, seed) -> images (n, C, H, W) in [-1, 1], as ``odegan.games.sampling.GameSampler`` is of
            a game and a state.
        dataset: Tensor (N, C, H, W), or map-style Dataset of images or (image, label); an ``odegan.data.images`` without
            its random parts.
        names: "fid", "kid", "inception_score", "precision", "recall".
        extractor: "inception" (weights fetched), a path to its weights, or a function from images to features (n, d) or
            (features, logits (n, classes)).
        n: generated samples.
        n_real: real samples, drawn without replacement, the same ones for every seed; None: all.
        split: what the data are; default: that of an ``odegan.data.images``, else "all".
        normalization: what the sampler's normalization layers use: "batch" statistics, "running" ones, or "none" where there
            are no such layers; default: the sampler's own ``normalization``.
        seed: of the samples.
        cache: a folder for the statistics of the real data: computed once for every data set, extractor and n_real.
        batch_size: images a forward pass; also the sampler's n, always (a rest is cut off), so it matters where
            normalization is "batch".
        device: where the extractor runs; default: where its parameters are, else the CPU.
        workers: processes that read the data set.
        progress: show bars.

    Returns:
        name -> {"value", "std" where the score has one, "extractor", "resize", "n", "n_real", "split", "normalization",
        "batch_size", "seed", "data" (a digest), and the score's own settings}: plain values, for JSON.

    Raises:
        ArgumentError: a wrong argument, Inception's weights not at hand, images of the wrong shape.

    Examples:
        >>> real = torch.linspace(-1, 1, 64).reshape(16, 1, 2, 2)
        >>> found = scores(lambda n, seed: real[torch.arange(n) % 16], real, extractor=lambda x: x.flatten(1), n=16,
        ...     normalization="none", batch_size=16, progress=False)
        >>> abs(found["fid"]["value"]) < 1e-12, found["fid"]["n_real"], found["fid"]["resize"]
        (True, 16, 'none')
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        fail("names", names, f"a list of names of {', '.join(SCORES)}")
    names = [choose("names", name, SCORES) for name in names]
    if not callable(sampler):
        fail("sampler", sampler, "a function (n, seed) to images")
    mode = choose("normalization", _own(sampler, "normalization", normalization), NORMALIZATIONS)
    whole("n", n, low=2)
    whole("batch_size", batch_size, low=1)
    whole("seed", seed)
    if cache is not None and (not isinstance(cache, str | os.PathLike) or Path(cache).is_file()):
        fail("cache", cache, "a folder, or None")
    data = _RealData(dataset, n_real, batch_size, whole("workers", workers), progress)
    found = find_extractor(extractor, device)
    reads = {SCORES[name].reads for name in names}
    fake = _features(_drawn(sampler, data.shape, n, batch_size, seed), found, n, "samples", progress)
    if "inception_score" in names and fake.logits is None:
        _inception_score(Real(0, None, None), fake, seed)
    real = Real(
        data.n,
        Moments(*_cached(data, found, "moments", cache)) if "moments" in reads else None,
        _cached(data, found, "features", cache)[0] if "features" in reads else None,
    )
    common = {
        "extractor": found.name,
        "resize": found.resize,
        "n": n,
        "n_real": data.n,
        "split": split or (dataset.split if isinstance(dataset, ImageDataset) else "all"),
        "normalization": mode,
        "batch_size": batch_size,
        "seed": seed,
        "data": _digest(data.fingerprint()),
    }
    return {name: SCORES[name].compute(real, fake, seed) | common for name in names}


def _own(sampler: Any, name: str, given: Any) -> Any:
    return getattr(sampler, name, None) if given is None else given


class _RealData:
    """The real images that are used, in batches, always the same ones in the same order."""

    def __init__(self, dataset: Any, n_real: int | None, batch_size: int, workers: int, progress: bool) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or len(dataset) < 2:
            fail("dataset", dataset, "a tensor (N, C, H, W) or a map-style data set, of at least 2 images")
        self.images = dataset.still() if isinstance(dataset, ImageDataset) else dataset
        total = len(dataset)
        self.n = total if n_real is None else whole("n_real", n_real, low=2)
        if self.n > total:
            fail("n_real", n_real, f"at most {total}, the images there are")
        order = torch.arange(total) if self.n == total else torch.randperm(total, generator=generator(0, "real", 0))
        self._rows = order[: self.n].split(batch_size)
        self._workers, self.progress = workers, progress
        self.first = _read(self.images, order[:1].split(1), 0)
        self.shape = tuple(self.first.shape[1:])

    def batches(self) -> Iterator[Tensor]:
        """Images (B, C, H, W)."""
        read = partial(_read, self.images, self._rows)
        with Prefetched(read, self._workers, pin=False) as ahead:
            for k in range(len(self._rows)):
                yield ahead(k)

    def fingerprint(self) -> Any:
        """What tells this data from another."""
        if isinstance(self.images, Tensor) or hasattr(self.images, "fingerprint"):
            return describe(self.images)
        places = torch.linspace(0, len(self.images) - 1, min(_PROBES, len(self.images))).round().long()
        return [len(self.images), describe(_read(self.images, [places], 0))]


def _read(images: Any, rows: Sequence[Tensor], k: int) -> Tensor:
    """The k-th batch; random transforms of a user's own data set are seeded by k."""
    if isinstance(images, Tensor):
        return images[rows[k]]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(k)
        items = [images[int(i)] for i in rows[k]]
    tensors = [torch.as_tensor(item[0] if isinstance(item, tuple | list) else item) for item in items]
    if len({tensor.shape for tensor in tensors}) > 1:
        raise ArgumentError("dataset: got images of several shapes; they must have one")
    return torch.stack(tensors)


def _drawn(sampler: Draw, shape: tuple[int, ...], n: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """n generated images, in batches."""
    for k, start in enumerate(range(0, n, batch_size)):
        images = sampler(batch_size, stream_seed(seed, "evaluation", k))
        if not isinstance(images, Tensor) or tuple(images.shape) != (batch_size, *shape):
            fail(
                "sampler", images, f"a function (n, seed) to images (n, {', '.join(map(str, shape))}), as the data are"
            )
        yield images[: n - start]


def _features(batches: Iterable[Tensor], extractor: Extractor, n: int, label: str, progress: bool) -> Fake:
    parts = []
    with tqdm(total=n, desc=label, unit=" images", disable=not progress, leave=False) as bar:
        for images in batches:
            parts.append(extractor(images))
            bar.update(len(images))
    logits = [part[1] for part in parts if part[1] is not None]
    return Fake(torch.cat([part[0] for part in parts]), torch.cat(logits) if logits else None)


def _cached(data: _RealData, extractor: Extractor, kind: str, cache: Any) -> list[Tensor]:
    """A statistic of the real data's features, "moments" or "features": from the cache, or computed and kept there."""

    def compute() -> list[Tensor]:
        features = _features(data.batches(), extractor, data.n, "real images", data.progress).features
        return list(moments(features)) if kind == "moments" else [features]

    if cache is None:
        return compute()
    key = [describe(data.fingerprint()), extractor.fingerprint(data.first), data.n, kind]
    path = Path(cache) / f"{kind}-{_digest(key)}.pt"
    try:
        kept = checkpoint.load(path, extractor.device)
        if kept.get("key") == repr(key):
            return list(kept["tensors"])
    except FileNotFoundError:
        pass
    except ArgumentError as error:
        warnings.warn(f"{error}; the statistics are computed again", stacklevel=3)
    tensors = compute()
    try:
        checkpoint.save(path, {"key": repr(key), "tensors": tensors})
    except OSError as error:  # a full disk costs the time of the next evaluation, not this one's scores
        warnings.warn(f"cache: {str(path)!r} could not be written ({one_line(error)})", stacklevel=3)
    return tensors


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
