"""Figures: functions from data to a matplotlib ``Figure``, without pyplot's global state; notebooks display the result.

Arrays may be tensors on any device, numpy arrays or lists. ``save`` writes a figure in the format that the file's suffix names;
``style`` gives your own figures the same look. Needs matplotlib (``pip install 'odegan[experiments]'``).
"""

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError("odegan.plots needs matplotlib: pip install 'odegan[experiments]'") from error

from odegan.plots.animation import clouds, save_animation
from odegan.plots.density import density_frames, plane
from odegan.plots.images import image_grid, image_grid_over_time, tile
from odegan.plots.lines import bands, bars, curves
from odegan.plots.phase import portraits, trajectories
from odegan.plots.style import PALETTE, Figure, save, style

__all__ = [
    "PALETTE",
    "Figure",
    "bands",
    "bars",
    "clouds",
    "curves",
    "density_frames",
    "image_grid",
    "image_grid_over_time",
    "plane",
    "portraits",
    "save",
    "save_animation",
    "style",
    "tile",
    "trajectories",
]


def __dir__() -> list[str]:
    return __all__
