"""The fingerprint of everything that determines a run's numbers, which must be equal to resume it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from odegan.games.game import Game
from odegan.solvers.table import registered_tableau
from odegan.training.options import Options
from odegan.training.run_data import RunData
from odegan.training.state import Callbacks
from odegan.utils.checks import ArgumentError
from odegan.utils.distributed import Ranks
from odegan.utils.fingerprint import Fingerprint, fingerprint
from odegan.utils.fingerprint.compare import differing, shown

# Hooks on every module, as torch.nn.modules.module.register_module_forward_hook and its like leave them.
_GLOBAL_HOOKS = (
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
)
_NAMES = "step_size refresh rates placement players rtol atol clip compile"


def identify(
    game: Game,
    y0: torch.Tensor,
    options: Options,
    source: RunData,
    callback: Callbacks,
    stated: object,
) -> Fingerprint:
    """The fingerprint of the arguments by name. Times are compared separately, because a longer run may continue a shorter one.

    Arguments that do not affect the numbers are left out: micro_batch, workers, progress, and the number of processes. stated:
    the user's ``fingerprint`` for what cannot be read.
    """
    # The default and the same latent given explicitly are one setting.
    latent = source.latent_of(game)
    users = callback if isinstance(callback, Sequence) else [callback]
    # Callbacks without a state leave nothing in the checkpoint that could be compared.
    kept = [one for one in users if hasattr(one, "state_dict")]
    entries = setting(game, options)
    entries |= {"y0": y0, "data": source.data, "latent": [latent] if isinstance(latent, int) else latent}
    entries |= {"batch_size": source.batch_size, "seed": source.seeds, "fingerprint": stated}
    # Of other callbacks only the class: their attributes are results, such as losses so far, which change along the run.
    entries["callback"] = [one if hasattr(one, "__odegan_fingerprint__") else type(one).__qualname__ for one in kept]
    entries |= {"fake_labels": source.fake_labels} if game.conditional else {}
    found = fingerprint(entries)
    return found if stated is None else found._replace(unread=[])


def setting(game: Game, options: Options) -> dict[str, object]:
    """The game and the options that decide what a step does, under their arguments' names."""
    name = options.solver.name
    # A name that a user registered may have another tableau next time.
    solver = name if registered_tableau(name) is None else [name, registered_tableau(name)]
    entries: dict[str, object] = {"game": game, "loss": game.loss, "solver": solver}
    hooks = [h for kind in _GLOBAL_HOOKS for h in getattr(torch.nn.modules.module, kind).values()]
    entries |= {"global hooks": hooks} if hooks else {}
    entries |= {"penalties": list(options.penalties)} | {
        name: _number(getattr(options, name)) for name in _NAMES.split()
    }
    return entries | {"options": {name: _number(value) for name, value in options.solver_options.items()}}


def _number(value: object) -> object:
    """A whole number as a float, and so in pairs: of the settings of a run, 1 and 1.0 are one value."""
    if isinstance(value, tuple | list):
        return [_number(part) for part in value]
    return float(value) if type(value) is int else value


def check_same(ranks: Ranks, entries: Mapping[str, object]) -> None:
    """Refuse arguments that differ between ranks; every rank raises.

    Raises:
        ArgumentError: by the name of the first that differs, with its values, in the same words on all of them.
    """
    # Rank 0 reports first, so that all ranks compare against the same values and all of them raise.
    first = ranks.from_first(entries)
    mine = [(name, shown(entries.get(name))) for name in differing(entries, first)]
    every = [(rank, *one) for rank, found in enumerate(ranks.gather_values(mine)) for one in found]
    if every:
        rank, name, value = every[0]
        raise ArgumentError(
            f"{name}: got different values on different ranks ({shown(first.get(name))} on rank 0, {value} on rank {rank}); it "
            "must be the same on all of them"
        )
