"""``Periodic``: the base of the callbacks, which says how often they act and what they measure."""

from __future__ import annotations

from odegan.training.state import Info, State
from odegan.utils.checks import check_int


class Periodic:
    """A callback after every ``every``-th refresh interval; its class says what it does then.

    Args:
        every: n > 0, counted from the start of the run, resumed or not.
    """

    def __init__(self, every: int) -> None:
        self.every = check_int("every", every, low=1)

    def __call__(self, state: State, info: Info) -> bool | None:
        """Called by the run after an interval; True ends the run."""
        raise NotImplementedError

    def __odegan_fingerprint__(self) -> dict[str, object]:
        """The settings that must be equal to resume: by default none, since a log does not change a run."""
        return {}


def measured(state: State, info: Info) -> dict[str, float]:
    """The time and the last step's measurements by name: t, step_size, error_ratio (nan if there is none), loss/disc, loss/gen
    and field_norm; in an ensemble the last three for each member, as loss/disc/0.
    """
    named = {"t": state.t, "step_size": info.step_size, "error_ratio": info.error_ratio}
    columns = {"loss/disc": info.losses[..., 0], "loss/gen": info.losses[..., 1], "field_norm": info.field_norm}
    for name, values in columns.items():
        plain = values.detach().tolist()
        each = enumerate(plain) if isinstance(plain, list) else None
        named |= {name: plain} if each is None else {f"{name}/{member}": value for member, value in each}
    return named
