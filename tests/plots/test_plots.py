"""The figures show what they are given."""

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from odegan import plots
from odegan.utils.checks import ArgumentError
from tests.plots.figures import FIGURES, T, rotation

torch.set_num_threads(1)


def inked(figure: Figure, tmp_path) -> float:
    """The share of pixels of the saved figure that are not white."""
    path = plots.save(figure, tmp_path / "new" / "figure.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
    return float((imread(path)[..., :3] < 0.98).any(-1).mean())


@pytest.mark.parametrize("suffix, first", [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("SVG", b"<?xml")])
def test_the_suffix_says_the_format(suffix, first, tmp_path):
    assert plots.save(Figure(), tmp_path / f"figure.{suffix}").read_bytes().startswith(first)


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_curves(tmp_path):
    y = torch.exp(-T)
    y[7] = math.nan
    figure = plots.curves(
        {"rk4": (T, y), "heun2": (T.tolist(), (2 * T).requires_grad_())},
        "time",
        "loss",
        log=True,
        band={"heun2": (T, 3 * T)},
    )
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("time", "loss", "log")
    assert texts(axes) == ["rk4", "heun2"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), y.double().numpy())
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().y1 == pytest.approx(3)
    assert to_hex(band.get_facecolor()[0]) == plots.PALETTE[1].lower() == axes.lines[1].get_color().lower()
    assert inked(figure, tmp_path) > 0.01


def test_many_curves_differ_and_one_needs_no_legend():
    (axes,) = plots.curves({str(i): (T, i * T) for i in range(20)}, "x", "y").axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 20
    (axes,) = plots.curves({"only": (T, T)}, "x", "y").axes
    assert axes.get_legend() is None
    assert axes.get_yscale() == "linear"


def test_bars(tmp_path):
    figure = plots.bars(["rk4", "adam", "euler"], torch.tensor([15.91, 7.0, math.nan]), [0.25, 1.0, math.nan], "modes")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [pytest.approx(15.91), 7, 0]
    assert [text.get_text() for text in axes.texts] == ["15.9 ± 0.25", "7 ± 1", "nan ± nan"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rk4", "adam", "euler"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first name is on top
    assert axes.get_xlabel() == "modes"
    assert axes.get_xlim()[0] == 0
    assert inked(figure, tmp_path) > 0.05


def test_bars_below_zero_and_with_two_sided_errors():
    (axes,) = plots.bars(["a", "b"], [-1.0, 2.0], [[0.1, 0.2], [0.3, 0.4]]).axes
    assert axes.get_xlim()[0] < -1
    assert [text.get_text() for text in axes.texts] == ["-1", "2"]
    ends = axes.collections[0].get_segments()
    np.testing.assert_allclose([[x for x, _ in segment] for segment in ends], [[-1.1, -0.7], [1.8, 2.4]])


def test_plane_is_the_grid_that_density_frames_shows():
    points = plots.plane(extent=3.0, resolution=7)
    assert points.shape == (49, 2)
    assert points[:7, 0].tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert (points[:7, 1] == -3).all()
    # the critic is undecided on the line first coordinate = 1
    critic = (points[:, 0] - 1).reshape(7, 7)
    (axes,) = plots.density_frames([("t", torch.zeros(5, 2), critic)], extent=3.0).axes
    vertices = axes.collections[-1].get_paths()[0].vertices
    np.testing.assert_allclose(vertices[:, 0], 1, atol=1e-12)
    assert np.ptp(vertices[:, 1]) == 6


def test_density_frames(tmp_path):
    torch.manual_seed(0)
    center = torch.tensor([1.0, -0.5])
    samples = center + 0.1 * torch.randn(3000, 2)
    critic = torch.sin(3 * plots.plane(2.0, 40)[:, 0]).reshape(40, 40)
    frames = [(f"step {k}", samples, critic if k else None) for k in range(6)]
    figure = plots.density_frames(frames, modes=torch.tensor([[1.0, -0.5], [0.0, 0.0]]), bandwidth=0.04)
    assert [axes.get_title() for axes in figure.axes] == [f"step {k}" for k in range(6)]
    assert [bool(axes.collections) for axes in figure.axes] == [False, *[True] * 5]
    for axes in figure.axes:
        assert axes.get_xlim() == axes.get_ylim() == (-2, 2)
        assert axes.lines[0].get_xydata().tolist() == [[1.0, -0.5], [0.0, 0.0]]
    density = figure.axes[0].images[0].get_array()
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert abs(-2 + 4 * (column + 0.5) / 200 - 1) < 0.1
    assert abs(-2 + 4 * (row + 0.5) / 200 + 0.5) < 0.1
    assert density.sum() == pytest.approx(3000, rel=1e-3)
    # a Gaussian of variance 0.1^2 blurred by one of 0.04^2
    cell = (np.arange(200) + 0.5) / 50 - 2
    variance = (density.sum(0) / density.sum() * (cell - 1) ** 2).sum()
    assert variance == pytest.approx(0.1**2 + 0.04**2, rel=0.1)
    assert {axes.get_subplotspec().get_geometry()[:2] for axes in figure.axes} == {(2, 3)}
    assert inked(figure, tmp_path) > 0.05


def test_density_frames_of_diverged_runs(tmp_path):
    samples = torch.tensor([[math.nan, 0.0], [math.inf, 1.0], [1e30, 0.0]])
    grids = [torch.full((9, 9), math.nan), torch.zeros(9, 9), None]
    figure = plots.density_frames([("t", samples, grid) for grid in grids], columns=2)
    assert not any(axes.collections or axes.images[0].get_array().any() for axes in figure.axes)
    assert len(figure.axes) == 3
    assert inked(figure, tmp_path) < 0.2


def test_image_grid_places_images_row_by_row(tmp_path):
    images = torch.full((5, 1, 8, 6), -1.0)
    images[3] = 0.0
    images[4, 0, 0, 0] = math.nan
    figure = plots.image_grid(images, columns=3)
    tiles = figure.axes[0].images[0].get_array()
    assert tiles.shape == (2 * 9 + 1, 3 * 7 + 1)
    assert (tiles[1:9, 1:7] == 0).all()
    assert (tiles[10:18, 1:7] == 0.5).all()
    assert tiles[10, 8] == 0.5
    assert tiles[10, 9] == 0
    assert (tiles[10:18, 15:] == 1).all()
    assert (tiles[9] == 1).all()
    assert inked(figure, tmp_path) > 0.4


def test_image_grid_in_color_clips_and_is_square_by_default():
    images = torch.zeros(9, 3, 32, 32)
    images[0, 0] = 5.0
    images[0, 1] = -5.0
    images[0, 2] = 0.5
    tiles = plots.image_grid(images).axes[0].images[0].get_array()
    assert tiles.shape == (3 * 34 + 2, 3 * 34 + 2, 3)
    assert tiles[2, 2].tolist() == [1, 0, 0.75]


def test_image_grid_over_time(tmp_path):
    frames = [("t = 0", torch.rand(4, 1, 8, 8)), ("t = 1", -torch.ones(16, 1, 8, 8))]
    figure = plots.image_grid_over_time(frames)
    assert [axes.get_title() for axes in figure.axes] == ["t = 0", "t = 1"]
    assert [axes.images[0].get_array().shape[:2] for axes in figure.axes] == [(19, 19), (37, 37)]
    assert [round(np.ptp(axes.get_xlim())) for axes in figure.axes] == [19, 37]
    assert inked(figure, tmp_path) > 0.2


def test_trajectories(tmp_path):
    spiral = torch.stack([T * torch.cos(20 * T), T * torch.sin(20 * T)], 1)
    diverging = 100 ** torch.linspace(-1, 20, 40, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.5])
    diverging[-1] = math.nan
    figure = plots.trajectories(
        {"Heun": spiral.flip(0), "Euler": diverging},
        field=lambda points: torch.stack([-points[:, 1], points[:, 0]], 1),
        extent=1.5,
        labels=("x", "y"),
    )
    (axes,) = figure.axes
    heun, start, end, euler, euler_start, cross = axes.lines
    np.testing.assert_allclose(heun.get_xydata(), spiral.flip(0))
    assert start.get_xydata().tolist() == [pytest.approx(spiral[-1].tolist())]
    assert end.get_xydata().tolist() == [[0, 0]]
    assert (start.get_markerfacecolor(), end.get_markeredgecolor(), cross.get_marker()) == ("white", "white", "x")
    assert cross.get_xydata().tolist() == [pytest.approx(diverging[diverging[:, 0] <= 1.5][-1].tolist())]
    assert np.nanmax(np.abs(euler.get_xydata())) <= 15
    assert euler_start.get_xydata()[0].tolist() == diverging[0].tolist()
    assert axes.get_xlim() == axes.get_ylim() == (-1.5, 1.5)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Heun", "Euler"]
    # every stream line of the rotation keeps its distance from the center
    (streams,) = (c for c in axes.collections if hasattr(c, "get_segments"))
    ends = np.array([np.hypot(*segment.T)[[0, -1]] for segment in streams.get_segments()])
    assert len(ends) > 50
    np.testing.assert_allclose(ends[:, 0], ends[:, 1], rtol=0.05, atol=0.02)
    assert inked(figure, tmp_path) > 0.03


def test_portraits_mark_equilibria_in_every_panel():
    circle = torch.stack([torch.cos(T), torch.sin(T)], 1)
    frames = {name: ({"Heun": circle}, rotation) for name in ("a", "b")}
    figure = plots.portraits(frames, extent=2.0, labels=("x", "y"), marks=[[0.0, 0.0], [1.0, 0.5]])
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    for axes in figure.axes:
        (marks,) = (line for line in axes.lines if line.get_marker() == "+")
        assert marks.get_xydata().tolist() == [[0, 0], [1, 0.5]]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("x", "y")
    plain, _ = plots.portraits(frames).axes
    assert not [line for line in plain.lines if line.get_marker() == "+"]


def test_clouds_lie_over_level_sets_that_are_blue_below_zero():
    points = plots.plane(1.0, 9)
    figure = plots.clouds([("t", points[:3], points[:, 0].reshape(9, 9))], extent=1.0, data=points[:5], title="all")
    (axes,) = figure.axes
    data, cloud = axes.lines
    assert (len(data.get_xydata()), len(cloud.get_xydata())) == (5, 3)
    assert figure.get_suptitle() == "all"
    (levels,) = axes.collections
    assert (levels.levels[0], levels.levels[-1]) == (-1, 1)
    below, above = levels.to_rgba([-1.0, 1.0])
    assert below[2] > below[0]
    assert above[0] > above[2]


def test_every_figure_is_in_the_table():
    others = {"PALETTE", "Figure", "plane", "save", "save_animation", "style", "tile"}
    assert FIGURES.keys() == set(plots.__all__) - others


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plots.curves({}, "x", "y"), r"^series: got \{\}; it must be at least one"),
        (lambda: plots.curves({"a": (T, T[1:])}, "x", "y"), r"^series: got .x of shape \(50,\) and y of shape \(49,\)"),
        (lambda: plots.curves({"a": (T, T)}, "x", "y", band={"b": (T, T)}), r"^band: got 'b'; .* for series: a"),
        (lambda: plots.bars(["a"], [1.0, 2.0]), r"^values: got .*\(2,\)'; it must be of shape \(1,\)"),
        (
            lambda: plots.bars(["a"], [1.0], [1.0, 2.0]),
            r"^errors: got .*\(2,\)'; it must be of shape \(1,\) or \(2, 1\)",
        ),
        (lambda: plots.density_frames([]), r"^frames: got \[\]"),
        (lambda: plots.density_frames([("a", T, None)]), r"^frames: got .*\(50,\) in 'a'"),
        (lambda: plots.density_frames([("a", torch.zeros(2, 2), T)]), r"^frames: got 'a critic grid of shape \(50,\)'"),
        (lambda: plots.density_frames([("a", torch.zeros(2, 2), None)], columns=0), r"^columns: got 0"),
        (lambda: plots.image_grid(torch.zeros(4, 2, 8, 8)), r"^images: got 'shape \(4, 2, 8, 8\)'"),
        (lambda: plots.image_grid(torch.zeros(0, 1, 8, 8)), r"^images: got 'shape \(0, 1, 8, 8\)'"),
        (lambda: plots.image_grid(torch.zeros(4, 1, 8, 8), columns=0), r"^columns: got 0"),
        (lambda: plots.image_grid_over_time([]), r"^frames: got \[\]"),
        (lambda: plots.trajectories({"a": torch.zeros(5, 3)}), r"^paths: got .*\(5, 3\) for 'a'"),
    ],
)
def test_wrong_arguments(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_bands_show_the_median_and_two_quantiles():
    members = T[:, None] + torch.arange(9.0)
    members[3:, 0] = math.nan
    figure = plots.bands({"nine seeds": (T, members)}, "t", "loss", low=0.25, high=0.75)
    (line,) = figure.axes[0].lines
    expected = members.double().nanmedian(1).values
    np.testing.assert_allclose(line.get_ydata()[:3], expected[:3])
    (band,) = figure.axes[0].collections
    points = band.get_paths()[0].vertices
    np.testing.assert_allclose(points[:, 1].max(), members[-1].nanquantile(0.75))
    with pytest.raises(ArgumentError, match=r"series: got .y of shape \(50,\) for 'flat'"):
        plots.bands({"flat": (T, T)}, "t", "loss")
    with pytest.raises(ArgumentError, match="low, high"):
        plots.bands({"a": (T, members)}, "t", "loss", low=0.9, high=0.1)
