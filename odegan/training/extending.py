"""Going on for longer than planned: a checkpoint under other times to come, exactly as the longer run would have gone.

Times do not move a trajectory, except that the last step is shortened to end on the last of them. Before such a step a
checkpoint keeps the state, from which a longer run takes it whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from odegan.training.time_grid import SNAP, next_step, to_float
from odegan.utils.checks import ArgumentError

SHOWN = 6  # times that a message lists


def whole_intervals(run: Any, most: int) -> int | None:
    """How many refresh intervals come before one that the last time cuts short; None where none of the next ``most`` is."""
    state = run.state
    options = run.stepper.options
    last = run.times[-1]
    refresh = options.refresh
    t = state.t
    counter = state.aux["counter"]
    for ahead in range(most):
        if t >= last:
            return None
        if isinstance(refresh, int | float) and refresh != math.inf:
            t, length = state.aux["start"] + (state.aux["index"] + ahead + 1) * float(refresh), float(refresh)
            cut = t > last + SNAP * length
        else:
            h = options.step_at(t, state.aux["index"] + ahead)
            step = next_step(counter, t, h, last)
            t = step.end
            counter = step.counter
            cut = to_float(step.h) < to_float(h)
        if cut:
            return ahead
    return None


def fitted(payload: dict[str, Any], times: Sequence[float], path: Any) -> dict[str, Any]:
    """What a checkpoint holds, as a run over these times goes on from it.

    Raises:
        ArgumentError: they differ from the times before, or end before what was reached.
        ValueError: the checkpoint's own times are none.
    """
    stored, given = payload["times"], list(times)
    if not isinstance(stored, list) or not all(isinstance(t, float) for t in stored):
        raise ValueError("times is of another form")
    if stored == given:
        return payload
    if payload["t"] >= stored[-1] and payload.get("before_cut") is not None:
        payload = payload | payload["before_cut"]
    done = len(payload["reported"])
    if done == len(stored) > 1 and given[: done - 1] == stored[:-1] and stored[-1] not in given:
        # The end was reported as the end, and is none any more.
        done, payload = done - 1, payload | {"reported": payload["reported"][:-1]}
    if given[:done] != stored[:done] or given[-1] < payload["t"] or given[done : done + 1] < [payload["t"]]:
        raise ArgumentError(
            f"t: got {_listed(given)}, but {str(path)!r} was made with {_listed(stored)} and has reached t = {payload['t']:g}; "
            "the times so far must be the same to resume, and later ones must lie beyond"
        )
    over = given[-1] <= payload["t"]
    return payload | ({} if over or payload["status"] != "finished" else {"status": "stopped", "message": ""})


def _listed(times: Sequence[float]) -> str:
    shown = [f"{t:.17g}" for t in times]
    if len(shown) > SHOWN:
        shown = [*shown[: SHOWN - 2], "...", shown[-1]]
    return f"[{', '.join(shown)}]" + (f" ({len(times)} of them)" if len(times) > SHOWN else "")
