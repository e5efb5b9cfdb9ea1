"""``Periodic``: the base class of the callbacks, with the interval at which they act and the measurements that they log."""

from __future__ import annotations

from odegan.training.state import Info, State
from odegan.utils.checks import check_int


class Periodic:
    """The base class of callbacks that act after every ``every``-th refresh interval.

    Args:
        every: n > 0, counted from the start of the run, resumed or not.

    Examples:
        >>> import torch, odegan
        >>> class Times(Periodic):
        ...     def __call__(self, state, info):
        ...         print(f"t = {state.t:.1f}: field norm {float(info.field_norm):.1f}")
        >>> run = {"solver": "heun2", "step_size": 0.1, "callback": Times(every=2)}
        >>> sol = odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=4, **run)
        t = 0.2: field norm 1.0
        t = 0.4: field norm 1.0
    """

    def __init__(self, every: int) -> None:
        self.every = check_int("every", every, low=1)

    def __call__(self, state: State, info: Info) -> bool | None:
        """Called by the run after an interval; True ends the run."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(every={self.every})"

    def __odegan_fingerprint__(self) -> dict[str, object]:
        """The settings that must be equal to resume: by default none, since a log does not change a run."""
        return {}


def measured(state: State, info: Info) -> dict[str, float]:
    """The time and the last step's measurements by name.

    They are t, step_size, error_ratio (nan if there is none), loss/disc, loss/gen and field_norm; in an ensemble the last three
    for each member, as loss/disc/0.
    """
    named = {"t": state.t, "step_size": info.step_size, "error_ratio": info.error_ratio}
    columns = {"loss/disc": info.losses[..., 0], "loss/gen": info.losses[..., 1], "field_norm": info.field_norm}
    for name, values in columns.items():
        # All members in one transfer; one by one they would synchronize with the device each time.
        plain = values.detach().tolist()
        each = enumerate(plain) if isinstance(plain, list) else None
        named |= {name: plain} if each is None else {f"{name}/{member}": value for member, value in each}
    return named
