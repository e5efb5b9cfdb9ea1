"""Frechet distance between real and generated images in the features of any network."""

import torch
from torch import Tensor, nn

from odegan.checks import fail


@torch.no_grad()
def extract_features(features: nn.Module, images: Tensor, batch_size: int = 512) -> Tensor:
    """Features (n, d) of images (n, ...), by a module in evaluation mode, in batches, as float64.

    The module runs in its own dtype and is left in the mode it was in.
    """
    if len(images) == 0:
        fail("images", images, "at least one image")
    training = {module: module.training for module in features.modules()}
    features.eval()
    try:
        rows = [features(batch).double() for batch in images.split(batch_size)]
    finally:
        for module, mode in training.items():
            module.training = mode
    out = torch.cat(rows)
    if out.dim() != 2:
        fail("features", out, "a module that returns (n, d), one row an image")
    return out


class _Rows(nn.Identity):
    """Features (n, num_features) to themselves, in the form torchmetrics wants a feature network to have."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def fid(features: nn.Module, real: Tensor, fake: Tensor, batch_size: int = 512) -> float:
    """||m_r - m_f||^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), m and S the features' means and covariances.

    Computed by torchmetrics in float64 from features in evaluation mode. The value depends on the feature
    network, on the images' preprocessing and on both sample sizes (the bias falls as 1/n), so state them
    beside it; only with Inception-v3's pool features is it the FID of the literature.

    Args:
        features: maps images (B, ...) to (B, d).
        real: images (n, ...), at least two.
        fake: images (m, ...), at least two. One whose features are not finite makes the distance nan.
        batch_size: images a forward pass.

    Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
    Equilibrium".
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    for name, images in (("real", real), ("fake", fake)):
        if len(images) < 2:
            fail(name, images, "at least 2 images, for a covariance")
    rows_real = extract_features(features, real, batch_size)
    rows_fake = extract_features(features, fake, batch_size)
    if not (rows_real.isfinite().all() and rows_fake.isfinite().all()):
        return float("nan")  # eigenvalues of such a covariance raise an error instead
    # set_dtype casts also the network inside the metric, so it gets the rows and a module that passes them on
    metric = FrechetInceptionDistance(feature=_Rows(rows_real.shape[1])).to(rows_real.device)
    metric.set_dtype(torch.float64)
    metric.update(rows_real, real=True)
    metric.update(rows_fake, real=False)
    return float(metric.compute())
