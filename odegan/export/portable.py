"""A game's generator without its class: as a plain module, a program of torch.export, and an ONNX file."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from odegan.games.game import Game, check_game
from odegan.games.latents import draw_latents
from odegan.modules.reset import without_parametrizations
from odegan.modules.running_statistics import uses_batch_statistics
from odegan.utils.checks import ArgumentError, argument_error, one_line

Inputs = tuple[torch.Tensor, ...]
Batches = Iterable[Any] | None
EXAMPLES = 2  # samples of a traced batch: torch.export would take a size of 1 for a constant


def generator(game: Game, y: torch.Tensor, batches: Batches = None) -> nn.Module:
    """The generator at y (P,) as a standalone module: on the CPU, in evaluation mode, spectral norm folded into the weights.

    Args:
        game: made by ``gan``, or a transform of such a game.
        y: (P,), which may be an average of states.
        batches: for a generator with batch normalization, an iterable of (real, latent), or of ``Batch`` with labels, over
            which its running statistics are estimated; see ``game.modules``.

    Raises:
        ArgumentError: a game without networks; batch normalization without running statistics, whose samples would depend on
            each other.

    Examples:
        >>> from odegan.games.network import gan
        >>> game = gan(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)), nn.Linear(2, 1))
        >>> [name for name, _ in generator(game, game.init()).named_parameters()]
        ['bias', 'weight']
    """
    check_game(game)
    made = game.modules(y, batches)[0].eval()
    if uses_batch_statistics(made):
        argument_error(
            "batches",
            None if batches is None else "a generator that tracks no running statistics",
            "minibatches (real, latent), over which batch normalization's running statistics are estimated",
        )
    # A program that computes spectral norm at each call would be slower, and some runtimes lack its operations.
    return without_parametrizations(made).cpu().requires_grad_(False)


def inputs(game: Game, n: int, seed: int, y: torch.Tensor) -> Inputs:
    """n latents, and in a class-conditional game labels, all classes in turn where their number is known; on the CPU."""
    latent = getattr(game, "latent", None)
    if latent is None:
        argument_error("latent", None, "passed to gan: it cannot be inferred from the generator's first layer")
    drawn = draw_latents(latent, n, seed, y.detach().cpu())
    if not game.conditional:
        return (drawn,)
    # If the number of classes is unknown, every label is 0, which is a class in any case.
    classes = getattr(game, "classes", None)
    return drawn, torch.arange(n) % (classes or 1)


def program(game: Game, y: torch.Tensor, batches: Batches = None) -> torch.export.ExportedProgram:
    """``generator`` as a program of torch.export, for batches of any size: latents (B, ...), with labels (B,) -> samples.

    ``torch.export.save`` writes it; it runs without the generator's class.

    Args:
        game: from ``gan``.
        y: (P,), or an average of such states.
        batches: for the running statistics of BatchNorm, as in ``game.modules``.

    Raises:
        ArgumentError: as ``generator``; or torch.export cannot trace the forward pass.

    Examples:
        >>> from odegan.games.network import gan
        >>> game = gan(nn.Linear(3, 2), nn.Linear(2, 1))
        >>> program(game, game.init()).module()(torch.zeros(7, 3)).shape
        torch.Size([7, 2])
    """
    return traced(generator(game, y, batches), inputs(game, EXAMPLES, 0, y))


def traced(module: nn.Module, given: Inputs) -> torch.export.ExportedProgram:
    """A module as a program of these inputs, whose first dimension is free."""
    batch = torch.export.Dim("batch", min=1)
    try:
        return torch.export.export(module, given, dynamic_shapes=tuple({0: batch} for _ in given))
    except Exception as error:  # of torch's many tracing errors few have a class of their own
        raise ArgumentError(f"generator: torch.export cannot trace its forward pass ({one_line(error)})") from error


def onnx(game: Game, y: torch.Tensor, path: str | os.PathLike[str], batches: Batches = None) -> None:
    """Write ``generator`` as an ONNX file in float32: inputs "latent" and in a class-conditional game "label", output "sample".

    The first dimension is free. Needs the packages onnx and onnxscript (the extra ``export``).

    Args:
        game: from ``gan``.
        y: (P,), or an average of such states.
        path: path of the file, whose folder is created if missing.
        batches: for the running statistics of BatchNorm, as in ``game.modules``.

    Raises:
        ArgumentError: as ``program``; or a package is missing, or ONNX lacks an operation.

    Examples:
        >>> import tempfile
        >>> from odegan.games.network import gan
        >>> game = gan(nn.Linear(3, 2), nn.Linear(2, 1))
        >>> onnx(game, game.init(), f"{tempfile.mkdtemp()}/generator.onnx")
    """
    if not has_onnx():
        raise ArgumentError("onnx: the packages onnx and onnxscript are missing: pip install 'odegan[export]'")
    made = generator(game, y, batches).float()
    given = tuple(x.float() if x.is_floating_point() else x for x in inputs(game, EXAMPLES, 0, y))
    write_onnx(traced(made, given), path)


def write_onnx(made: torch.export.ExportedProgram, path: str | os.PathLike[str]) -> None:
    """Write a program as one ONNX file."""
    names = ["latent", "label"][: len(made.example_inputs[0])]
    try:
        with _quiet():
            converted: Any = torch.onnx.export(
                made,
                # The other exporter takes a module and traces it anew; this one takes the program.
                dynamo=True,
                input_names=names,
                output_names=["sample"],
                # The dimension's name, which the program does not keep.
                dynamic_shapes=({0: "batch"}, {0: None})[: len(names)],
                verbose=False,
            )
    except Exception as error:  # torch.onnx's errors have no common class
        raise ArgumentError(f"onnx: torch.onnx cannot convert the generator ({one_line(error)})") from error
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # The weights go into the same file, so that it can be moved alone.
    converted.save(Path(path), external_data=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A context without torch's notes on its own code, and on operators of packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def has_onnx() -> bool:
    """Whether the packages that writing ONNX needs are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxscript"))
