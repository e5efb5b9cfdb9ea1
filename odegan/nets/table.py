"""The image networks by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import NamedTuple

from torch import nn

import odegan.nets.clc_resnet as clc_resnet
import odegan.nets.conditional as conditional
import odegan.nets.conv4 as conv4
import odegan.nets.dcgan as dcgan
import odegan.nets.dcgan4 as dcgan4
import odegan.nets.digits as digits
import odegan.nets.odegan_resnet as odegan_resnet
import odegan.nets.resnet as resnet
import odegan.nets.sngan as sngan
from odegan.utils.checks import ArgumentError, argument_error, check_int, choose, one_line


class Pair(NamedTuple):
    """A generator and a discriminator that fit each other.

    Attributes:
        generator: function of the width of the latents -> module.
        discriminator: function without arguments -> module.
        size: height and width of the images.
        channels: number of image channels.
        classes: their number, of a class-conditional pair G(z, label) and D(x, label); None: without classes.

    Examples:
        >>> PAIR = Pair(lambda latent: nn.Linear(latent, 2), lambda: nn.Linear(2, 1))
        >>> PAIR.generator(8)
        Linear(in_features=8, out_features=2, bias=True)
    """

    generator: Callable[[int], nn.Module]
    discriminator: Callable[[], nn.Module]
    size: int = 32
    channels: int = 3
    classes: int | None = None


def _clc(size: int, width: int, most: int) -> Pair:
    generator = partial(clc_resnet.Generator, size=size, width=width, most=most)
    return Pair(generator, partial(clc_resnet.Discriminator, size=size, width=width, most=most), size)


def _sized(module: ModuleType, size: int, **discriminator: bool) -> Pair:
    generator = partial(module.Generator, size=size)
    return Pair(generator, partial(module.Discriminator, size=size, **discriminator), size)


def _gray_dcgan(width: int) -> Pair:
    generator = partial(dcgan.Generator, channels=1, width=width)
    return Pair(generator, partial(dcgan.Discriminator, channels=1, width=width), channels=1)


def _conditional(channels: int, width: int, classes: int = 10) -> Pair:
    generator = partial(conditional.Generator, classes=classes, channels=channels, width=width)
    discriminator = partial(conditional.Discriminator, classes, channels, width, spectral_norm=True)
    return Pair(generator, discriminator, channels=channels, classes=classes)


# Functions that make networks, not networks: sngan128 alone has 61 million parameters.
_TABLE: dict[str, Pair] = {
    "dcgan": Pair(dcgan.Generator, dcgan.Discriminator),
    "dcgan_no_bn": Pair(partial(dcgan.Generator, batch_norm=False), dcgan.Discriminator),
    "dcgan_gray": _gray_dcgan(64),
    "dcgan_gray_small": _gray_dcgan(16),
    "conv4": Pair(conv4.Generator, conv4.Discriminator),
    "conv4_no_bn": Pair(partial(conv4.Generator, batch_norm=False), conv4.Discriminator),
    "dcgan4": Pair(dcgan4.Generator, dcgan4.Discriminator),
    "resnet_v1": Pair(partial(resnet.Generator, version=1), resnet.Discriminator),
    "resnet_v2": Pair(partial(resnet.Generator, version=2), resnet.Discriminator),
    "clc_resnet32": _clc(32, 32, 256),
    "clc_resnet64": _clc(64, 32, 256),
    "clc_resnet128": _clc(128, 64, 1024),
    "sngan32": _sized(sngan, 32),
    "sngan32_no_sn": _sized(sngan, 32, spectral_norm=False),
    "sngan128": _sized(sngan, 128),
    "sngan128_no_sn": _sized(sngan, 128, spectral_norm=False),
    "odegan_resnet32": _sized(odegan_resnet, 32),
    "odegan_resnet128": _sized(odegan_resnet, 128),
    "cgan32": _conditional(channels=1, width=64),
    "cgan32_small": _conditional(channels=1, width=16),
    "cgan32_color": _conditional(channels=3, width=64),
    "digits": Pair(digits.Generator, digits.Discriminator, size=8, channels=1),
}


def names() -> list[str]:
    """The names that ``get`` accepts.

    Examples:
        >>> names()[:2]
        ['dcgan', 'dcgan_no_bn']
    """
    return list(_TABLE)


def get(name: str) -> Pair:
    """The pair called ``name``, or ``module:attribute`` of your own: a ``Pair``, or a function that returns one.

    Raises:
        ArgumentError: the name is unknown, or leads to no pair.

    Examples:
        >>> pair = get("conv4")
        >>> pair.size, sum(p.numel() for p in pair.discriminator().parameters())
        (32, 2935873)
    """
    return _from_module(name) if isinstance(name, str) and ":" in name else _TABLE[choose("networks", name, _TABLE)]


def _from_module(name: str) -> Pair:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        # A NamedTuple cannot be called, so a Pair is never mistaken for a function that makes one.
        found = found() if callable(found) else found
    # Whatever the user's module raises; ValueError is what an empty module name gives, as in ":pair".
    except Exception as error:
        reason = one_line(error) or type(error).__name__
        raise ArgumentError(f"networks: got {name!r}, which cannot be imported ({reason})") from error
    if not isinstance(found, Pair):
        argument_error("networks", name, "the module:name of an odegan.nets.Pair, or of a function that returns one")
    for number in ("size", "channels", "classes"):
        value = getattr(found, number)
        if number != "classes" or value is not None:
            check_int(f"{number} of {name}", value, low=1)
    return found
