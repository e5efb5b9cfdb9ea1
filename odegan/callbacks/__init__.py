"""Ready-made callbacks: samples, logs, and the best state so far.

A callback is any function (state, info), given as ``callback=`` to ``odeint_gan``. If it has an attribute ``every`` = n, it is
called only after every n-th refresh interval, and the run can take the intervals in between as one segment. One with
``state_dict`` and ``load_state_dict`` is saved in the run's checkpoint.
"""

from odegan.callbacks.best import Best
from odegan.callbacks.csv_log import CSVLog
from odegan.callbacks.periodic import Periodic
from odegan.callbacks.samples import Samples
from odegan.callbacks.tensorboard import TensorBoard
from odegan.callbacks.weights_and_biases import WandB
from odegan.training.averages import ExponentialAverage, UniformAverage

__all__ = ["Best", "CSVLog", "ExponentialAverage", "Periodic", "Samples", "TensorBoard", "UniformAverage", "WandB"]


def __dir__() -> list[str]:
    return __all__
