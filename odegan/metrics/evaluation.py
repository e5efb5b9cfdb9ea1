"""``scores``: a generator's scores against real data, each with everything that its value depends on."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from odegan.data import ImageDataset
from odegan.metrics.features import Extractor, Spec, find_extractor
from odegan.metrics.frechet import Moments, frechet_distance, moments
from odegan.metrics.inception_score import inception_score
from odegan.metrics.kid import kid
from odegan.metrics.precision_recall import share_inside
from odegan.metrics.real_data import Images, RealData
from odegan.metrics.statistics_cache import cached, short_digest
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_function, check_int, choose
from odegan.utils.progress import display
from odegan.utils.random_streams import stream_seed

NORMALIZATIONS = ("none", "batch", "running")
_NEIGHBOR = 3  # the k of precision and recall

Draw = Callable[[int, int], Tensor]  # (n, seed) -> images (n, C, H, W) in [-1, 1]
Entry = dict[str, float | int | str]  # a score's value, and what it depends on


class Real(NamedTuple):
    """The real data as scores read them."""

    n: int
    moments: Moments | None
    features: Tensor | None  # (n, d)


class Fake(NamedTuple):
    """The generated samples as scores read them."""

    features: Tensor  # (n, d)
    logits: Tensor | None  # (n, classes)


@dataclass(frozen=True)
class Metric:
    """An entry of the table: (real, fake, seed) -> value, deviation and settings; and what it reads of the real data."""

    compute: Callable[[Real, Fake, int], Entry]
    reads: str  # "moments", "features" or "nothing"


def _fid(real: Real, fake: Fake, seed: int) -> Entry:
    assert real.moments is not None
    return {"value": frechet_distance(real.moments, moments(fake.features))}


def _kid(real: Real, fake: Fake, seed: int) -> Entry:
    assert real.features is not None
    settings = {"subsets": 100, "subset_size": min(1000, real.n, len(fake.features))}
    return {**kid(real.features, fake.features, seed=seed, **settings)._asdict(), **settings}


def _inception_score(real: Real, fake: Fake, seed: int) -> Entry:
    if fake.logits is None:
        argument_error("names", "inception_score", "left out, or extractor one that returns (features, logits)")
    splits = min(10, len(fake.logits))
    return {**inception_score(fake.logits, splits)._asdict(), "splits": splits}


def _precision(real: Real, fake: Fake, seed: int) -> Entry:
    assert real.features is not None
    return {"value": share_inside(fake.features, real.features, _NEIGHBOR), "k": _NEIGHBOR}


def _recall(real: Real, fake: Fake, seed: int) -> Entry:
    assert real.features is not None
    return {"value": share_inside(real.features, fake.features, _NEIGHBOR), "k": _NEIGHBOR}


METRICS = {
    "fid": Metric(_fid, "moments"),
    "kid": Metric(_kid, "features"),
    "inception_score": Metric(_inception_score, "nothing"),
    "precision": Metric(_precision, "features"),
    "recall": Metric(_recall, "features"),
}


@unaffected
def scores(
    sampler: Draw,
    dataset: Images,
    names: Sequence[str] = ("fid",),
    *,
    extractor: Spec = "inception",
    n: int = 50_000,
    n_real: int | None = None,
    split: str | None = None,
    normalization: str | None = None,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    fingerprint: str | None = None,
    batch_size: int = 128,
    device: torch.device | str | None = None,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, Entry]:
    """Scores of n generated samples against a data set, in float64 from the features on.

    Args:
        sampler: function (n, seed) -> images (n, C, H, W) in [-1, 1], such as an ``odegan.games.sampling.GameSampler``.
        dataset: a tensor (N, C, H, W), or a map-style Dataset of images or (image, label). The random transforms of an
            ``odegan.data.images`` are left out.
        names: "fid", "kid", "inception_score", "precision", "recall".
        extractor: "inception" (downloads the weights), a path to its weights, or a function from images to features (n, d) or
            (features, logits (n, classes)).
        n: number of generated samples.
        n_real: number of real samples, drawn without replacement, the same ones for every seed; None: all.
        split: the split of the data, for the record; default: that of an ``odegan.data.images``, else "all".
        normalization: which statistics the sampler's normalization layers use, for the record: "batch", "running", or "none" if
            there are no such layers; default: the sampler's own ``normalization``.
        seed: seed of the samples.
        cache: a folder for statistics of the real data, which are computed once for each combination of data, extractor and
            n_real.
        fingerprint: a unique name of the real data for ``cache`` and for "data" in the result. Default: the data set's own
            ``__odegan_fingerprint__()``, else a digest of every image in use, for which each call reads them all.
        batch_size: images per forward pass. The sampler is always called with this number, with a seed for each batch, and the
            surplus over n is dropped. So the value determines which samples are drawn and, if normalization is "batch", how
            they are normalized.
        device: where the extractor runs; default: the device of its parameters, else the CPU. Only Inception is moved there:
            your own module must be on it already, and an ``Extractor`` has a device of its own.
        workers: processes that read the data set.
        progress: show bars.

    Returns:
        name -> {"value", "std" if the score has one, "extractor", "resize", "n", "n_real", "split", "normalization",
        "batch_size", "seed", "data" (a digest), and the score's own settings}: plain values, for JSON.

    Raises:
        ArgumentError: a wrong argument, images of the wrong shape, or torch-fidelity or Inception's weights are not available.

    Examples:
        >>> real = torch.linspace(-1, 1, 64).reshape(16, 1, 2, 2)
        >>> found = scores(lambda n, seed: real[torch.arange(n) % 16], real, extractor=lambda x: x.flatten(1), n=16,
        ...     normalization="none", batch_size=16, progress=False)
        >>> abs(found["fid"]["value"]) < 1e-12, found["fid"]["n_real"], found["fid"]["resize"]
        (True, 16, 'none')
    """
    names = _checked_names(names)
    check_function("sampler", sampler, 2, "a function (n, seed) to images")
    own = getattr(sampler, "normalization", None) if normalization is None else normalization
    mode: str = choose("normalization", own, NORMALIZATIONS)
    check_int("n", n, low=2)
    check_int("batch_size", batch_size, low=1)
    check_int("seed", seed)
    if cache is not None and (not isinstance(cache, str | os.PathLike) or Path(cache).is_file()):
        argument_error("cache", cache, "a folder, or None")
    if fingerprint is not None and (not isinstance(fingerprint, str) or not fingerprint):
        argument_error("fingerprint", fingerprint, "None, or a string that says what the data are")
    data = RealData(dataset, n_real, batch_size, check_int("workers", workers), fingerprint)
    found = find_extractor(extractor, device)
    fake = _features(_drawn(sampler, data.shape, n, batch_size, seed), found, n, "samples", progress)
    if "inception_score" in names and fake.logits is None:
        _inception_score(Real(0, None, None), fake, seed)
    real = _real({METRICS[name].reads for name in names}, data, found, cache, progress)
    common: Entry = {
        "extractor": found.name,
        "resize": found.resize,
        "n": n,
        "n_real": data.n,
        "split": split or (dataset.split if isinstance(dataset, ImageDataset) else "all"),
        "normalization": mode,
        "batch_size": batch_size,
        "seed": seed,
        "data": short_digest(data.identity()),
    }
    return {name: METRICS[name].compute(real, fake, seed) | common for name in names}


def _checked_names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        argument_error("names", names, f"a list of names of {', '.join(METRICS)}")
    return [choose("names", name, METRICS) for name in names]


def _drawn(sampler: Draw, shape: tuple[int, ...], n: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """n generated images, in batches."""
    for k, start in enumerate(range(0, n, batch_size)):
        # Always a full batch, also the last: batch statistics would differ in a smaller one.
        images = sampler(batch_size, stream_seed(seed, "evaluation", k))
        if not isinstance(images, Tensor) or tuple(images.shape) != (batch_size, *shape):
            wanted = ", ".join(map(str, shape))
            argument_error("sampler", images, f"a function (n, seed) to images (n, {wanted}), as the data are")
        yield images[: n - start]


def _features(batches: Iterable[Tensor], extractor: Extractor, n: int, label: str, progress: bool) -> Fake:
    """Features and logits of n images, given in batches."""
    parts = []
    with closing(display(n, label, unit="images", shown=progress)) as bar:
        for images in batches:
            parts.append(extractor(images))
            bar.update(len(images))
    logits = [part[1] for part in parts if part[1] is not None]
    return Fake(torch.cat([part[0] for part in parts]), torch.cat(logits) if logits else None)


def _real(
    reads: set[str], data: RealData, extractor: Extractor, cache: str | os.PathLike[str] | None, progress: bool
) -> Real:
    """The real data as the scores read them, from the cache if there is one."""
    # Before the extractor runs: a network may store something from its inputs.
    identity = [] if cache is None else [data.identity(), extractor.fingerprint(), data.n]

    @functools.cache
    def features() -> list[Tensor]:
        return [_features(data.batches(), extractor, data.n, "real images", progress).features]

    def statistic(kind: str, compute: Callable[[], list[Tensor]]) -> list[Tensor]:
        if cache is None:
            return compute()
        return cached(cache, kind, [*identity, kind], compute, extractor.device)

    return Real(
        data.n,
        Moments(*statistic("moments", lambda: list(moments(*features())))) if "moments" in reads else None,
        statistic("features", features)[0] if "features" in reads else None,
    )
