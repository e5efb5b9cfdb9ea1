"""Every figure."""

import torch

from odegan import plots

T = torch.linspace(0, 1, 50)


def rotation(points):
    return torch.stack([-points[:, 1], points[:, 0]], 1)


IMAGES = torch.zeros(3, 1, 4, 4)
FIGURES = {
    "curves": lambda: plots.curves({"a": (T, T)}, "x", "y"),
    "bands": lambda: plots.bands(
        {"a": (T, torch.stack([torch.as_tensor(T), 2 * torch.as_tensor(T)], dim=1))}, "x", "y"
    ),
    "bars": lambda: plots.bars(["a"], [1.0]),
    "density_frames": lambda: plots.density_frames([("t", torch.zeros(5, 2), None)]),
    "clouds": lambda: plots.clouds([("t", torch.zeros(5, 2), torch.zeros(4, 4))], extent=1.0),
    "image_grid": lambda: plots.image_grid(IMAGES),
    "image_grid_over_time": lambda: plots.image_grid_over_time([("t", IMAGES)]),
    "trajectories": lambda: plots.trajectories({"a": torch.zeros(5, 2)}),
    "portraits": lambda: plots.portraits({"a": ({"b": torch.zeros(5, 2)}, rotation)}),
}
