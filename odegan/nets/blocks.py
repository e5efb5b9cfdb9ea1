"""Building blocks of several image networks: residual blocks, convolutions, spectral normalization."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Residual(nn.Module):
    """x -> shortcut(x) + scale * branch(x).

    Args:
        branch: the layers of the residual branch.
        shortcut: what the branch is added to; None: x itself.
        scale: weight of the branch.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None, scale: float = 1.0) -> None:
        super().__init__()
        self.branch = branch
        # An empty nn.Sequential is false in Python too, and is the identity as well.
        self.shortcut = shortcut or nn.Identity()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W'), the shape that branch and shortcut agree on."""
        out: Tensor = self.shortcut(x) + self.scale * self.branch(x)
        return out

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


def conv5(n_in: int, n_out: int) -> nn.Sequential:
    """A 5x5 stride-2 convolution that halves an even size, padded as TensorFlow's SAME: 1 before, 2 after."""
    # A layer of its own pads: torch's padding="same" refuses strides, and a number pads both sides alike.
    return nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(n_in, n_out, kernel_size=5, stride=2))


def deconv5(n_in: int, n_out: int) -> nn.Sequential:
    """A 5x5 stride-2 transposed convolution that doubles the size, the adjoint of ``conv5``.

    Its full output has size 2 n + 3, cropped by 1 before and 2 after. torch's padding crops 1 on each side.
    """
    return nn.Sequential(
        # A negative pad crops the one pixel that padding leaves after.
        nn.ConvTranspose2d(n_in, n_out, kernel_size=5, stride=2, padding=1),
        nn.ZeroPad2d((0, -1, 0, -1)),
    )


def deconv4(n_in: int, n_out: int, bias: bool = True) -> nn.ConvTranspose2d:
    """A 4x4 stride-2 transposed convolution that doubles the size."""
    # TensorFlow's SAME is symmetric for this kernel and stride, so torch's own padding is the same.
    return nn.ConvTranspose2d(n_in, n_out, kernel_size=4, stride=2, padding=1, bias=bias)


def conv3(n_in: int, n_out: int, bias: bool = True) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=bias)


def conv4(n_in: int, n_out: int) -> nn.Conv2d:
    """A 4x4 stride-2 convolution that halves an even size."""
    return nn.Conv2d(n_in, n_out, kernel_size=4, stride=2, padding=1)


def normalize_spectrally(network: nn.Module) -> nn.Module:
    """Divide the weight of every linear and convolutional layer and embedding by its largest singular value, in place.

    A convolution's weight is taken as a matrix (out, in x kernel area). Source: Miyato et al. 2018, "Spectral
    Normalization for Generative Adversarial Networks", eq. 8.
    """
    # A list first: parametrizing a layer adds modules to those that are being iterated over.
    for layer in list(network.modules()):
        # No transposed convolutions: only discriminators are normalized, and such a weight would be another matrix.
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            spectral_norm(layer)
    return network
