"""The integration of a preset by ``odeint_gan``: its start, the run, and a trial of it before anything is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from experiments.framework.endings import finished
from experiments.images.equipment import Equipment
from experiments.images.ingredients import make_game
from experiments.images.preset import Preset
from odegan import Solution, odeint_gan
from odegan.games.network import NetworkGame


def begin(preset: Preset, seed: int, device: str, **extras: Any) -> tuple[NetworkGame, torch.Tensor]:
    """The game, and y (P,) at the start of the run with this seed.

    Networks of ``odegan.nets`` are initialized afresh. Of a pair of one's own, whose factories may initialize or load weights,
    the start has the values that the factories give with this seed. extras: further keyword arguments of ``gan``.
    """
    game = make_game(preset, **extras)
    start = make_game(preset, seed=seed).init() if preset.own_networks else game.init(seed=seed)
    return game, start.to(device)


def integrate(
    preset: Preset, equipment: Equipment, game: NetworkGame, start: torch.Tensor, seed: int, **around: Any
) -> Solution:
    """The run from y (P,); around: the arguments of ``odeint_gan`` that do not change it, such as callbacks."""
    solution = odeint_gan(
        game,
        start,
        torch.tensor([0.0, preset.time(preset.steps)], dtype=torch.float64),
        data=equipment.data,
        latent=preset.latent,
        batch_size=preset.batch_size,
        seed=seed,
        on_nonfinite="stop",
        **around | preset.keywords() | equipment.for_run,
    )
    return finished(solution)


def refuse(preset: Preset, equipment: Equipment, seed: int) -> None:
    """Raise ``ArgumentError`` for what ``odeint_gan`` would refuse, before an earlier run in the folder is replaced.

    Takes the run's first step, because losses, penalties and divided batches can only be tried by evaluating them.
    """
    game, start = begin(preset, seed, equipment.device, **equipment.for_game)
    # Traced without the compiler, which would take as long as for the run itself, and refuses nothing.
    traced = {"compile": "eager"} if equipment.for_run.get("compile") else {}
    once = replace(equipment, for_run=equipment.for_run | traced)
    integrate(preset, once, game, start, seed, callback=lambda state, info: True)
