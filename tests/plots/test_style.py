"""The look of figures: the palette, notebooks, and settings that are restored."""

import io
import itertools

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from odegan import plots
from odegan.plots.style import array
from tests.plots.figures import FIGURES, T

torch.set_num_threads(1)


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_shows_the_figure_of_a_cells_last_line(name, tmp_path):
    figure = FIGURES[name]()
    plots.save(figure, tmp_path / "saved.png")
    shown = figure._repr_png_()  # saved before, and still there
    pixels = imread(io.BytesIO(shown))
    width, height = figure.get_size_inches()
    assert pixels.shape[:2] == pytest.approx((100 * height, 100 * width), abs=1)
    assert (pixels[..., :3] < 0.98).any()


def simulated(color: str, matrix: list[list[float]]) -> np.ndarray:
    """What the color looks like to a dichromat, in linear RGB."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return (np.array(matrix) @ linear).clip(0, 1)


# Machado, Oliveira and Fernandes 2009, severity 1
@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3).tolist(),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ],
    ids=["trichromat", "protanope", "deuteranope"],
)
def test_the_palette_is_safe_for_color_blind_readers(matrix):
    seen = [simulated(color, matrix) ** (1 / 2.2) for color in plots.PALETTE]
    apart = [np.abs(one - other).max() for one, other in itertools.combinations(seen, 2)]
    assert min(apart) > 0.15


def test_style_is_left_behind():
    with mpl.rc_context({"font.size": 7.0}):
        before = dict(mpl.rcParams)
        figure = plots.curves({"a": (T, T)}, "x", "y")
        assert dict(mpl.rcParams) == before
    assert not figure.axes[0].spines["top"].get_visible()
    with plots.style():
        assert mpl.rcParams["axes.spines.top"] is False


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_tensors_of_any_dtype_are_drawn(dtype):
    found = array(torch.tensor([0.0, 1.0]).to(dtype))
    assert found.dtype == "float64"
    assert found.tolist() == [0.0, 1.0]
