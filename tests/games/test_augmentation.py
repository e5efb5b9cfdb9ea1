"""The transforms of images against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from odegan.games.augmentation import TRANSFORMS
from tests.games.augmented_cases import images, uniform


# Independent implementations: one image (C, H, W) of numpy and its numbers, by loops over pixels.
def flip(x, u):
    return x[:, :, ::-1] if u[0] < 0.5 else x


def color(x, u):
    x = x + u[0] - 0.5
    x = (x - x.mean(0)) * (2 * u[1]) + x.mean(0)
    return (x - x.mean()) * (u[2] + 0.5) + x.mean()


def translation(x, u):
    moved = np.zeros_like(x)
    _, height, width = x.shape
    down, right = (
        int(np.floor(v * (2 * int(n / 8 + 0.5) + 1))) - int(n / 8 + 0.5)
        for v, n in zip(u, (height, width), strict=True)
    )
    for i in range(height):
        for j in range(width):
            if 0 <= i - down < height and 0 <= j - right < width:
                moved[:, i, j] = x[:, i - down, j - right]
    return moved


def cutout(x, u):
    cut = x.copy()
    _, height, width = x.shape
    tall = int(height / 2 + 0.5)
    wide = int(width / 2 + 0.5)
    top = int(np.floor(u[0] * (height + 1 - tall % 2))) - tall // 2
    left = int(np.floor(u[1] * (width + 1 - wide % 2))) - wide // 2
    for i in range(max(top, 0), min(top + tall, height)):
        for j in range(max(left, 0), min(left + wide, width)):
            cut[:, i, j] = 0
    return cut


BY_LOOPS = {"flip": flip, "color": color, "translation": translation, "cutout": cutout}
assert BY_LOOPS.keys() == TRANSFORMS.keys()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_are_those_by_loops(name, channels):
    x = images(channels=channels, n=40)
    u = uniform(40, TRANSFORMS[name].numbers)
    found = TRANSFORMS[name].apply(x, u)
    expected = np.stack([BY_LOOPS[name](one.numpy(), own.tolist()) for one, own in zip(x, u, strict=True)])
    torch.testing.assert_close(found, torch.from_numpy(expected.copy()), rtol=1e-12, atol=1e-12)
    assert (found - x).abs().amax((1, 2, 3)).max() > 0.1  # some images change


@pytest.mark.parametrize("name", TRANSFORMS)
def test_shape_range_and_derivatives(name):
    transform = TRANSFORMS[name]
    x = images(n=3)
    u = uniform(3, transform.numbers)
    found = transform.apply(x, u)
    assert found.shape == x.shape
    if name == "color":
        assert found.abs().max() <= (1 + 0.5) * 3 * 2  # |1 - s| + s of brightness 1.5, s = 2, then s = 3/2
    else:
        assert set(found.flatten().tolist()) <= {0.0, *x.flatten().tolist()}
    small = x[:, :, :4, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda own: transform.apply(own, u), small)
    assert torch.autograd.gradgradcheck(lambda own: transform.apply(own, u), small)
    mapped = torch.vmap(transform.apply)(torch.stack([x, x.flip(0)]), torch.stack([u, u]))
    torch.testing.assert_close(mapped[1], transform.apply(x.flip(0), u))
    for edge in (0.0, 1 - 2**-24, 1.0):  # half precision rounds to 1
        assert torch.isfinite(transform.apply(x, torch.full_like(u, edge))).all()


def test_the_numbers_of_the_ends_move_by_an_eighth_and_no_more():
    x = torch.zeros(2, 1, 16, 16).index_put(
        (torch.arange(2), *torch.tensor([[0] * 2, [8] * 2, [8] * 2])), torch.ones(2)
    )
    moved = TRANSFORMS["translation"].apply(x, torch.tensor([[0.0, 0.0], [0.9999, 0.9999]]))
    assert [one.nonzero().tolist() for one in moved[:, 0]] == [[[6, 6]], [[10, 10]]]
