"""Extend a run beyond its planned end, so that the result equals that of the longer run.

Report times do not affect a trajectory, except that the last step is shortened to end at the last time. A checkpoint therefore
keeps the state before such a step, from which a longer run takes the full step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from odegan.training.options import Options
from odegan.training.state import State
from odegan.training.time_grid import SNAP, next_step, to_float
from odegan.utils.checkpoint import FilePath
from odegan.utils.checks import ArgumentError

SHOWN = 6  # times listed in a message


def whole_intervals(state: State, options: Options, last: float, most: int) -> int | None:
    """The number of refresh intervals before one that the last time shortens; None if none of the next ``most`` is."""
    refresh = options.refresh
    t = state.t
    counter = state.aux["counter"]
    for ahead in range(most):
        if t >= last:
            return None
        if isinstance(refresh, int | float) and refresh != math.inf:
            t = state.aux["start"] + (state.aux["index"] + ahead + 1) * float(refresh)
            length = float(refresh)
            # An end within rounding of the last time is not cut: the interval was planned to end there.
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


def fitted(payload: dict[str, Any], times: Sequence[float], options: Options, path: FilePath) -> dict[str, Any]:
    """The contents of a checkpoint, adapted to a run over these times.

    Raises:
        ArgumentError: the times differ from the checkpoint's, or end before the time that was reached.
        ValueError: the checkpoint has no valid times.
    """
    stored = payload["times"]
    given = list(times)
    if not isinstance(stored, list) or not all(isinstance(t, float) for t in stored):
        raise ValueError("times is of another form")
    if stored == given:
        return payload
    # The stored run is over: a longer one continues from before its shortened last step.
    if payload["t"] >= stored[-1] and payload.get("before_cut") is not None:
        payload = payload | payload["before_cut"]
    done = len(payload["reported"])
    if done == len(stored) > 1 and given[: done - 1] == stored[:-1] and stored[-1] not in given:
        # The old end was reported as such, but is not a report time of the longer run.
        done -= 1
        payload = payload | {"reported": payload["reported"][:-1]}
    if given[:done] != stored[:done] or given[-1] < payload["t"] or given[done : done + 1] < [payload["t"]]:
        if payload["t"] > given[-1] and options.horizon == 0.0:
            taken = payload["aux"]["index"]
            raise ArgumentError(
                f"steps: got fewer than the {taken} that {str(path)!r} has taken; it must be at least as many to resume, or "
                "choose another checkpoint"
            )
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
