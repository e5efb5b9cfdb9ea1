"""Save and load the state of a ``Stepper``: plain data, with a fingerprint of the game and the options."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from odegan.games.game import Game
from odegan.training.identity import setting
from odegan.training.options import Options
from odegan.training.state import Aux, State
from odegan.training.time_grid import StepCounter, to_float
from odegan.utils import checkpoint
from odegan.utils.checkpoint import FilePath
from odegan.utils.checks import ArgumentError, argument_error, choose, one_line
from odegan.utils.fingerprint import fingerprint
from odegan.utils.warn import warn

_OPEN = frozenset({"replay", "proposed", "seeds", "memory"})  # entries whose form a fresh state does not determine
RESUME = ("same", "force")


def plain_aux(aux: Aux) -> dict[str, object]:
    """A state's aux as plain data."""
    counter = aux["counter"]
    # A checkpoint is read as plain data, without classes of this library.
    return {**aux, "counter": (to_float(counter.anchor), counter.steps, to_float(counter.h))}


def save(path: FilePath, game: Game, options: Options, state: State) -> None:
    """Write a state atomically; see ``Stepper.save``."""
    identity = fingerprint(setting(game, options))
    if identity.unread:
        warn(f"save: {_cannot_tell(identity.unread)}, or load it with resume='force'")
    kept = {"t": state.t, "y": state.y.detach(), "aux": plain_aux(state.aux)}
    checkpoint.save(path, {"arguments": identity.entries, "unread": identity.unread, "state": kept})


def load(
    path: FilePath,
    game: Game,
    options: Options,
    fresh: Callable[[torch.Tensor], State],
    *,
    changed: Sequence[str],
    resume: str,
    device: torch.device | str,
) -> State:
    """Read a state after comparing fingerprints; see ``Stepper.load``. fresh: y -> the stepper's initial state."""
    choose("resume", resume, RESUME)
    entries = fingerprint(setting(game, options)).entries
    if not isinstance(changed, Sequence) or isinstance(changed, str):
        argument_error("changed", changed, "a list of names of arguments")
    for name in changed:
        choose("changed", name, entries)
    payload = checkpoint.load(path, device)
    try:
        stored = payload["arguments"]
        same = [name for name in entries if name not in changed]
        checkpoint.refuse_difference(path, {n: stored.get(n) for n in same}, {n: entries[n] for n in same})
        if payload["unread"] and resume != "force":
            raise ArgumentError(f"load: {_cannot_tell(payload['unread'])}, or resume='force' if it is the same")
        kept = payload["state"]
        aux = kept["aux"]
        checkpoint.check_form("aux", aux, plain_aux(fresh(kept["y"]).aux), _OPEN)
        return State(float(kept["t"]), kept["y"], aux | {"counter": StepCounter(*aux["counter"])})
    except (LookupError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(
            f"load: got {str(path)!r}, in which something is missing or wrong ({one_line(error)}); it must be a file that a "
            "Stepper saved"
        ) from error


def _cannot_tell(unread: Sequence[str]) -> str:
    more = " and more" if len(unread) > 3 else ""
    return (
        f"cannot tell whether {', '.join(unread[:3])}{more} is the same when the state is loaded: give it a method "
        "__odegan_fingerprint__"
    )
