"""Orders of convergence, measured."""

from collections.abc import Sequence

import numpy as np


def log_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of log y against log x by least squares: of errors against step sizes, the order."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
