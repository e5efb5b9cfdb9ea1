"""The settings of published image experiments, as data.

Values come from the papers' public programs where there are any. In a preset's remarks, "recalled" marks a figure that is
remembered from the publication and was not checked against it; "our choice" marks a setting that neither gives.
"""

from __future__ import annotations

from dataclasses import replace

from experiments.images.preset import Preset
from odegan.utils.checks import choose

_ODEGAN = Preset(
    networks="dcgan",
    solver="rk4_classic",
    step_size=(0.01, 0.04, 0.02),
    change=(500, 400_000),
    penalty=("generator_gradient:0.02",),
    placement="first_stage",
    refresh="stage",
    steps=1_200_000,
    metrics=("fid", "inception_score"),
    every=1000,
    remarks="Settings of the authors' public program, in which rk4 is one of the solvers and heun2 another; that "
    "this one is what the publication reports is recalled. The program's BatchNorm keeps moving "
    "averages, ours are estimated anew for every export.",
)
_PROJECTION = (
    "cGAN-PD: conditional batch normalization, a projection discriminator with spectral normalization, hinge loss; a baseline "
    "without an ODE solver, until --solver names one. Our choice: "
)
_FASHION = replace(
    _ODEGAN,
    data="fashion_mnist",
    networks="dcgan_gray",
    averages=("exponential",),
    metrics=("fid",),
    extractor="classifier",
    reference="test",
    steps=60_000,
    remarks="ODE-GAN's pair and settings with one channel, on images padded to 32 x 32. Our choice: the average, the "
    "features and the length.",
)
_CGAN_FASHION = replace(
    _FASHION,
    networks="cgan32",
    loss="hinge",
    solver="adam",
    step_size=(2e-4,),
    change=(),
    option=("betas=0.0,0.9", "alternating=True"),
    penalty=(),
    placement="field",
    metrics=("fid", "recognition"),
    remarks=_PROJECTION
    + "the networks' convolutions (ODE-GAN's pair with one channel), one discriminator step to one of the "
    "generator, the data, the features, the average and the length.",
)
_JARE = Preset(
    networks="conv4",
    solver="adam",
    step_size=(1e-4,),
    option=("betas=0.5,0.999",),
    penalty=("jare:100",),
    steps=500_000,
    metrics=("fid", "inception_score"),
    samples=12_800,
    every=5000,
    batch_statistics=True,
    remarks="Settings of the authors' public code, whose seed is 125 and which takes the Inception Score of "
    "50,000 samples.",
)
_CLC = Preset(
    networks="clc_resnet32",
    latent=256,
    flip=True,
    dequantize=True,
    loss="wasserstein",
    solver="rmsprop",
    step_size=(1e-4,),
    option=("alpha=0.99", "alternating=True"),
    penalty=("closed_loop:10,kind=square,buffer=100",),
    steps=1_250_000,
    averages=("exponential",),
    metrics=("inception_score", "fid"),
    samples=60_000,
    every=10_000,
    remarks="Settings of the authors' public code; no label enters.",
)
_RMSPROP = (
    " TensorFlow's RMSProp has decay 0.9, starts its average at 1 and adds 1e-10 below the root; ours starts at 0."
)

PRESETS: dict[str, Preset] = {
    "odegan-cifar10": _ODEGAN,
    "odegan-cifar10-resnet": replace(
        _ODEGAN,
        networks="odegan_resnet32",
        penalty=("generator_gradient:0.002",),
        remarks="No public program. Recalled: SN-GAN's topologies without spectral normalization, this penalty "
        "weight, the step schedule of the DCGAN. Our choice, after the DCGAN: everything else, "
        "initialization among it, and a mean over the pixels for a sum at the discriminator's end, with "
        "which these steps diverge.",
    ),
    "odegan-imagenet128": replace(
        _ODEGAN,
        data="imagenet",
        networks="odegan_resnet128",
        penalty=("generator_gradient:0.002",),
        every=10_000,
        remarks="No public program. Recalled: SN-GAN's topologies without spectral normalization, this penalty "
        "weight, the step schedule of the DCGAN, no labels. Our choice: everything else, as in the smaller "
        "one; batch size and length among it.",
    ),
    "odegan-fashion": _FASHION,
    "odegan-fashion-small": replace(
        _FASHION,
        networks="dcgan_gray_small",
        solver="euler",
        step_size=(0.01, 0.04),
        change=(500,),
        batch_size=16,
        steps=10_000,
        every=1000,
        decay=0.995,
        remarks="A quarter of the width, for two CPU cores. Our choice: Euler's method, which leads at equal cost, the "
        "batch size, the average, the features and the length.",
    ),
    "cgan-fashion": _CGAN_FASHION,
    "cgan-fashion-small": replace(
        _CGAN_FASHION,
        networks="cgan32_small",
        step_size=(4e-4,),
        steps=12_000,
        every=1000,
        remarks=_PROJECTION
        + "a quarter of the width, for two CPU cores, Adam's settings, the data and everything else.",
    ),
    "cgan-cifar10": replace(
        _CGAN_FASHION,
        data="cifar10",
        networks="cgan32_color",
        metrics=("inception_score", "fid"),
        extractor="inception",
        reference="train",
        steps=100_000,
        every=5000,
        remarks=_PROJECTION
        + "the networks' convolutions (ODE-GAN's pair), one discriminator step to one of the generator, the "
        "average and the length.",
    ),
    "jare-cifar10-1": _JARE,
    "jare-cifar10-2": replace(_JARE, networks="conv4_no_bn", batch_statistics=False),
    "jare-cifar10-3": replace(_JARE, networks="dcgan4", batch_statistics=False),
    "jare-cifar10-4": replace(
        _JARE,
        networks="dcgan4",
        batch_statistics=False,
        solver="rmsprop",
        option=("alpha=0.9", "eps=1e-10"),
        remarks=_JARE.remarks + _RMSPROP,
    ),
    "jare-cifar10-5": replace(_JARE, networks="resnet_v1", batch_statistics=False),
    "jare-cifar10-6": replace(_JARE, networks="resnet_v2", batch_statistics=False),
    "clc-cifar10": _CLC,
    "clc-celeba64": replace(
        _CLC,
        data="celeba",
        networks="clc_resnet64",
        metrics=("fid",),
        samples=10_000,
        remarks="Settings of the authors' public code. Our choice: length and metrics.",
    ),
    "clc-imagenet128": replace(
        _CLC,
        data="imagenet",
        networks="clc_resnet128",
        batch_size=128,
        penalty=("closed_loop:100,kind=square,buffer=100",),
        metrics=("inception_score", "fid"),
        samples=10_000,
        remarks="Penalty weight and batch of the authors' public code. Our choice: the networks' widths (those of "
        "its conditional configuration), length and metrics.",
    ),
    "sngan-cifar10": Preset(
        networks="sngan32",
        loss="hinge",
        solver="adam",
        step_size=(2e-4,),
        option=("betas=0.0,0.9", "alternating=True", "disc_steps=5"),
        refresh="stage",
        steps=100_000,
        metrics=("inception_score", "fid"),
        every=5000,
        remarks="A baseline without an ODE solver. Recalled: hinge loss, Adam's settings, five discriminator steps "
        "to one of the generator, batch. Our choice: a constant step size, the generator's batch (as large "
        "as the discriminator's), length.",
    ),
    "r3gan-small": Preset(
        networks="clc_resnet32",
        flip=True,
        loss="relativistic",
        solver="adam",
        step_size=(2e-4,),
        option=("betas=0.0,0.99", "alternating=True"),
        penalty=("r1:0.05", "r2:0.05"),
        steps=200_000,
        averages=("exponential",),
        every=5000,
        remarks="The loss of R3GAN: relativistic pairing with R1 and R2 on both kinds of samples. Our choice: "
        "everything else.",
    ),
    "digits": Preset(
        data="digits",
        networks="digits",
        latent=16,
        solver="heun2",
        step_size=(0.4,),
        penalty=("generator_gradient:0.05",),
        placement="after_step",
        steps=3000,
        averages=("exponential", "uniform"),
        decay=0.998,
        uniform_from=1500,
        metrics=("fid", "coverage"),
        extractor="classifier",
        samples=1797,
        every=300,
        remarks="Small enough for one CPU core: scikit-learn's 1,797 digits of 8x8 pixels. Our choice: everything.",
    ),
}


def get(name: str) -> Preset:
    """The preset of that name, or ``ArgumentError``.

    >>> get("jare-cifar10-3").penalty
    ('jare:100',)
    """
    return PRESETS[choose("preset", name, PRESETS)]
