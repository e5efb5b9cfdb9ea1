"""Figures of the experiments: data in, matplotlib ``Figure`` out, without pyplot's global state.

Arrays may be tensors on any device, numpy arrays or lists. ``save`` writes a figure as PNG; ``style`` gives
figures of one's own the same looks. Needs matplotlib (``pip install 'odegan[experiments]'``).
"""

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError("odegan.plots needs matplotlib: pip install 'odegan[experiments]'") from error

from odegan.plots.animation import clouds, save_animation
from odegan.plots.density import density_frames, plane
from odegan.plots.images import image_grid, image_grid_over_time
from odegan.plots.lines import bars, curves
from odegan.plots.phase import portraits, trajectories
from odegan.plots.style import PALETTE, save, style

__all__ = [
    "PALETTE",
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
    "trajectories",
]
