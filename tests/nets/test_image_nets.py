"""The published image networks: parameter counts, shapes, padding, blocks, initialization, spectral normalization."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from odegan import ArgumentError, gan, nets
from odegan.nets import clc_resnet, conv4, odegan_resnet, resnet, sngan
from odegan.nets.blocks import Residual, conv5, deconv5

torch.set_num_threads(1)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def on_meta(name: str, latent: int = 128) -> tuple[nn.Module, nn.Module]:
    with torch.device("meta"):
        return nets.get(name).generator(latent), nets.get(name).discriminator()


@pytest.mark.parametrize(
    "name, generator, discriminator",
    [
        ("dcgan", 3_812_355, 2_935_873),
        ("conv4", 3_811_459, 2_935_873),
        ("conv4_no_bn", 3_811_459, 2_935_873),
        ("dcgan4", 345_219, 312_513),
    ],
)
def test_counts_of_the_public_programs(name, generator, discriminator):
    assert tuple(map(count, on_meta(name))) == (generator, discriminator)


def conv(n_in: int, n_out: int, kernel: int, bias: bool = True) -> int:
    return n_in * n_out * kernel**2 + bias * n_out


def test_counts_of_the_residual_networks_by_hand():
    branch = conv(64, 32, 3) + conv(32, 64, 3)
    blocks = 3 * (conv(64, 64, 4) + branch)
    g1 = conv(128, 256, 1) + blocks + conv(64, 3, 4)
    g2 = conv(128, 1024, 1) + blocks + conv(64, 3, 3)
    d = conv(3, 64, 4) + 2 * conv(64, 64, 3) + blocks + conv(256, 1, 1)
    assert tuple(map(count, on_meta("resnet_v1"))) == (g1, d)
    assert tuple(map(count, on_meta("resnet_v2"))) == (g2, d)


@pytest.mark.parametrize(
    "name, size, channels",
    [
        ("clc_resnet32", 32, (32, 64, 128, 256)),
        ("clc_resnet64", 64, (32, 64, 128, 256, 256)),
        ("clc_resnet128", 128, (64, 128, 256, 512, 1024, 1024)),
    ],
)
def test_counts_of_clc_gans_networks_by_hand(name, size, channels):
    def block(n_in, n_out):
        hidden = min(n_in, n_out)
        return conv(n_in, hidden, 3) + conv(hidden, n_out, 3) + (n_in != n_out) * conv(n_in, n_out, 1, bias=False)

    first = channels[0]
    last = channels[-1]
    down, up = (sum(map(block, path, path[1:])) for path in (channels, channels[::-1]))
    g = conv(256, last * 16, 1) + up + block(first, first) + conv(first, 3, 3)
    d = conv(3, first, 3) + block(first, first) + down + conv(last * 16, 1, 1)
    assert nets.get(name).size == size
    assert tuple(map(count, on_meta(name, 256))) == (g, d)


def test_counts_of_sn_gans_networks_by_hand():
    def up(n_in, n_out):
        return 2 * n_in + conv(n_in, n_out, 3) + 2 * n_out + conv(n_out, n_out, 3) + conv(n_in, n_out, 1)

    def down(n_in, n_out, learned=True):
        return conv(n_in, n_in, 3) + conv(n_in, n_out, 3) + learned * conv(n_in, n_out, 1)

    def first(n):
        return conv(3, n, 3) + conv(n, n, 3) + conv(3, n, 1)

    small = conv(128, 256 * 16, 1) + 3 * up(256, 256) + 2 * 256 + conv(256, 3, 3)
    discriminator = first(128) + down(128, 128) + 2 * down(128, 128, learned=False) + 128
    widths = (1024, 1024, 512, 256, 128, 64)
    large = conv(128, 1024 * 16, 1) + sum(map(up, widths, widths[1:])) + 2 * 64 + conv(64, 3, 3)
    judges = (64, 128, 256, 512, 1024)
    large_judge = first(64) + sum(map(down, judges, judges[1:])) + down(1024, 1024, learned=False) + conv(1024, 1, 1)
    for name in ("sngan32", "sngan32_no_sn", "odegan_resnet32"):
        assert tuple(map(count, on_meta(name))) == (small, discriminator)
    for name in ("sngan128", "sngan128_no_sn", "odegan_resnet128"):
        assert tuple(map(count, on_meta(name))) == (large, large_judge)


@pytest.mark.parametrize("name, channels, w", [("cgan32", 1, 64), ("cgan32_small", 1, 16), ("cgan32_color", 3, 64)])
def test_counts_of_the_conditional_networks_by_hand(name, channels, w):
    up = [(8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w)]
    g = conv(128, 8 * w * 16, 1) + sum(conv(*sizes, 4, bias=False) + 2 * 10 * sizes[1] for sizes in up)
    down = [(channels, w, 3), (w, w, 4), (w, 2 * w, 3), (2 * w, 2 * w, 4), (2 * w, 4 * w, 3), (4 * w, 4 * w, 4)]
    d = sum(conv(*sizes) for sizes in [*down, (4 * w, 8 * w, 3), (8 * w, 1, 1)]) + 10 * 8 * w
    assert tuple(map(count, on_meta(name))) == (g + conv(w, channels, 3), d)


@pytest.mark.parametrize("name, w", [("dcgan_gray", 64), ("dcgan_gray_small", 16)])
def test_counts_of_odegans_pair_with_one_channel_by_hand(name, w):
    up = [(8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w)]
    g = conv(128, 8 * w * 16, 1) + sum(conv(*sizes, 4) + 2 * sizes[1] for sizes in up) + conv(w, 1, 3)
    down = [
        (1, w, 3),
        (w, w, 4),
        (w, 2 * w, 3),
        (2 * w, 2 * w, 4),
        (2 * w, 4 * w, 3),
        (4 * w, 4 * w, 4),
        (4 * w, 8 * w, 3),
    ]
    assert tuple(map(count, on_meta(name))) == (g, sum(conv(*sizes) for sizes in down) + conv(8 * w * 16, 1, 1))


@pytest.mark.parametrize("name", nets.names())
def test_pairs_fit_each_other(name):
    pair = nets.get(name)
    generator, discriminator = on_meta(name, 24)
    label = () if pair.classes is None else (torch.zeros(2, dtype=torch.int64, device="meta"),)
    images = generator(torch.zeros(2, 24, device="meta"), *label)
    assert images.shape == (2, pair.channels, pair.size, pair.size)
    assert discriminator(images, *label).shape in {(2, 1), (2,)}


@pytest.mark.parametrize("name", ["conv4", "dcgan4", "resnet_v1", "clc_resnet32", "sngan32"])
def test_images_are_in_range_and_differ(name):
    torch.manual_seed(0)
    images = nets.get(name).generator(16)(torch.randn(4, 16))
    assert images.abs().max() <= 1
    assert images.std(0).mean() > 1e-3


def test_unknown_names_are_refused():
    with pytest.raises(ArgumentError, match="did you mean 'conv4'"):
        nets.get("conv_4")


def test_conv5_is_tensorflows_same():
    """SAME at stride 2 and an even size: output i is the sum of w[k] x[2 i + k - 1], zeros outside."""
    torch.manual_seed(0)
    layers = conv5(2, 3).double()
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    weight = layers[1].weight
    bias = layers[1].bias
    expected = bias[None, :, None, None].expand(1, 3, 4, 4).clone()
    for i, j, k, m in torch.cartesian_prod(*[torch.arange(4)] * 2, *[torch.arange(5)] * 2).tolist():
        row = 2 * i + k - 1
        column = 2 * j + m - 1
        if 0 <= row < 8 and 0 <= column < 8:
            expected[0, :, i, j] += weight[:, :, k, m] @ x[0, :, row, column]
    torch.testing.assert_close(layers(x), expected)


def test_deconv5_is_the_adjoint_of_conv5():
    torch.manual_seed(0)
    down = conv5(3, 2).double()
    up = deconv5(2, 3).double()
    with torch.no_grad():
        up[0].weight.copy_(down[1].weight)
        up[0].bias.zero_()
        down[1].bias.zero_()
    x = torch.randn(1, 3, 8, 8).double()
    y = torch.randn(1, 2, 4, 4).double()
    assert up(y).shape == x.shape
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


def test_second_derivatives_pass_through_cropping():
    torch.manual_seed(0)
    layers = deconv5(1, 1).double()
    y = torch.randn(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: layers(v).tanh(), y)


def test_jares_block():
    torch.manual_seed(0)
    block = resnet.residual(32)
    x = torch.randn(2, 64, 4, 4)
    first, _, second, _ = block.branch
    inside = F.relu(F.conv2d(x, first.weight, first.bias, padding=1))
    expected = x + 0.1 * F.relu(F.conv2d(inside, second.weight, second.bias, padding=1))
    torch.testing.assert_close(block(x), expected)


def test_clc_gans_block():
    torch.manual_seed(0)
    block = clc_resnet.block(6, 4)
    x = torch.randn(2, 6, 5, 5)
    _, first, _, second = block.branch
    inside = F.conv2d(F.relu(x), first.weight, first.bias, padding=1)
    expected = F.conv2d(x, block.shortcut.weight) + F.conv2d(F.relu(inside), second.weight, second.bias, padding=1)
    torch.testing.assert_close(block(x), expected)
    assert block.shortcut.bias is None
    assert isinstance(clc_resnet.block(4, 4).shortcut, nn.Identity)


@pytest.mark.slow
def test_conv4s_norms_train_a_shift_alone_and_are_batch_norm():
    torch.manual_seed(0)
    generator = conv4.Generator(16)
    norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [8192, 256, 128, 64, 3]
    assert not any(norm.weight.requires_grad for norm in norms)
    assert all(norm.bias.requires_grad for norm in norms)
    game = gan(generator, conv4.Discriminator(), latent=16)
    assert game.n_gen == count(generator)
    assert game.couples_batch
    z = torch.randn(6, 16)
    inside = generator[1](generator[0](z))
    torch.testing.assert_close(inside.mean(0), torch.zeros(8192), atol=1e-5, rtol=0)
    outside = generator(z).atanh()
    torch.testing.assert_close(outside.std((0, 2, 3), correction=0), torch.ones(3), atol=0.05, rtol=0)


@pytest.mark.parametrize("layer, fans", [(nn.Conv2d(32, 64, 4, stride=2), 96 * 16), (nn.Linear(300, 500), 800)])
@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_glorots_uniform(layer, fans, gain):
    torch.manual_seed(0)
    assert nets.glorot_uniform_(layer, gain) is layer
    bound = gain * math.sqrt(6 / fans)
    weight = layer.weight.detach()
    assert 0.99 * bound < weight.abs().max() <= bound
    assert abs(weight.square().mean() / (bound**2 / 3) - 1) < 4 / math.sqrt(weight.numel())
    assert not layer.bias.any()


def test_a_transposed_convolution_has_its_adjoints_bound():
    torch.manual_seed(0)
    down = nn.Conv2d(24, 48, 4)
    up = nn.ConvTranspose2d(48, 24, 4)
    nets.glorot_uniform_(nn.Sequential(down, up))
    assert abs(down.weight.abs().max() / up.weight.abs().max() - 1) < 1e-3


def test_sn_gans_branches_have_gain_root_two():
    torch.manual_seed(0)
    discriminator = sngan.Discriminator(spectral_norm=False)
    block = discriminator[1]
    assert isinstance(block, Residual)
    bounds = {"branch": (block.branch[1], math.sqrt(2)), "shortcut": (block.shortcut[0], 1.0)}
    for layer, gain in bounds.values():
        n_out, n_in, *kernel = layer.weight.shape
        bound = gain * math.sqrt(6 / ((n_in + n_out) * math.prod(kernel)))
        assert 0.99 * bound < layer.weight.abs().max() <= bound


def test_without_spectral_norm_no_vectors():
    game = gan(nets.get("digits").generator(4), nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))
    assert not game.initial_buffers(game.init())


@pytest.mark.slow
def test_spectral_norm_holds_after_a_fresh_start():
    torch.manual_seed(0)
    pair = nets.get("sngan32")
    game = gan(pair.generator(8), pair.discriminator(), "hinge", latent=8)
    _, discriminator = game.modules(game.init(seed=3))
    layers = [m for m in discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert len(layers) == 11
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        assert largest == pytest.approx(1, abs=0.1)  # power iteration converges slowly where values are close


def test_odegans_resnet_starts_gently():
    """With SN-GAN's sum over pixels in the place of the mean the discriminator's gradient is 64 times as steep."""
    torch.manual_seed(0)
    discriminator = odegan_resnet.Discriminator(32)
    summed = sngan.Discriminator(32, spectral_norm=False)
    summed.load_state_dict(discriminator.state_dict())
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(summed(x), 64 * discriminator(x), rtol=1e-4, atol=1e-5)
    weight = discriminator[1].branch[1].weight.detach()
    assert weight.abs().max() <= 2 / math.sqrt(128 * 9) + 1e-6
