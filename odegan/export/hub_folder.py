"""A folder with a trained generator in every format, a model card and a grid of samples, as model hubs show it."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from einops import repeat
from torch import nn

from odegan.export.card import EXAMPLES as SHOWN
from odegan.export.card import LATENTS, Facts, card
from odegan.export.portable import EXAMPLES, Batches, Inputs, generator, has_onnx, inputs, traced, write_onnx
from odegan.games.game import Game
from odegan.utils.checks import argument_error, check_int

_ACROSS = 10  # samples in a row of the grid


def folder(
    game: Game,
    y: torch.Tensor,
    path: str | os.PathLike[str],
    *,
    title: str,
    batches: Batches = None,
    text: str = "",
    scores: Mapping[str, float] | None = None,
    metadata: Mapping[str, object] | None = None,
    n: int = 100,
    seed: int = 0,
) -> Path:
    """Write a folder that is ready for a model hub, for example by ``hf upload NAME PATH``.

    | file             | content                                                                            |
    | ---------------- | ---------------------------------------------------------------------------------- |
    | `README.md`      | the model card: a YAML header, text, scores, samples, and how to run each file     |
    | `generator.pt`   | the `state_dict` for the generator's own class                                     |
    | `generator.pt2`  | the program of `odegan.export.program`, which needs no class                       |
    | `generator.onnx` | the same as ONNX in float32, if onnx and onnxscript are installed                  |
    | `latents.npy`    | 16 latents, if a function of the game's own draws them                             |
    | `config.json`    | shapes, number of classes and of parameters                                        |
    | `samples.png`    | n images, with one row per class in a class-conditional game; needs matplotlib     |

    Args:
        game: made by ``gan``, or a transform of such a game.
        y: (P,), which may be an average of states.
        path: path of the folder, created if missing; existing files with these names are replaced.
        title: title of the card.
        batches: as in ``generator``; needed for batch normalization.
        text: Markdown that says how the model was trained and what it is for.
        scores: name -> value, for the card's table.
        metadata: further entries of the YAML header, such as license, datasets and tags.
        n: number of samples.
        seed: seed of their latents.

    Returns:
        The folder.

    Raises:
        ArgumentError: as ``generator`` and ``program``.

    Examples:
        >>> import tempfile
        >>> from torch import nn
        >>> from odegan.games.network import gan
        >>> G = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))
        >>> game = gan(G, nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))
        >>> made = folder(game, game.init(), tempfile.mkdtemp(), title="Digits", metadata={"license": "mit"})
        >>> (made / "README.md").read_text().splitlines()[:2]
        ['---', 'library_name: "odegan"']
    """
    if not isinstance(title, str) or not title.strip() or "\n" in title:
        argument_error("title", title, "a line of text")
    check_int("n", n, low=1)
    batches = None if batches is None else list(batches)  # a list, because they are read twice
    module = generator(game, y, batches)
    given = inputs(game, n, seed, y)
    classes = getattr(game, "classes", None) if game.conditional else None
    if classes is not None:
        # Class by class, with as many samples each as fill a row of the grid (-(-a // b) rounds up).
        given = (given[0], repeat(torch.arange(classes), "label -> (label copy)", copy=-(-n // classes))[:n])
    with torch.no_grad():
        samples = module(*given)
    made = Path(path)
    made.mkdir(parents=True, exist_ok=True)
    # Not ``module``'s: without its parametrizations, as of spectral norm, it does not fit the generator's own class.
    own = game.modules(y, batches)[0].state_dict()
    torch.save({name: tensor.cpu() for name, tensor in own.items()}, made / "generator.pt")
    files = ["generator.pt", *_programs(module, inputs(game, EXAMPLES, seed, y), made)]
    columns = _ACROSS if classes is None else -(-n // classes)
    files += ["samples.png"] if _draw(samples, columns, made / "samples.png") else []
    normal = not callable(getattr(game, "latent", None))
    if not normal:
        _save_latents(inputs(game, SHOWN, seed, y)[0], made / LATENTS)
    facts: Facts = {
        "latent": list(given[0].shape[1:]),
        "dtype": str(given[0].dtype).removeprefix("torch."),
        "normal": normal,
        "sample": list(samples.shape[1:]),
        "conditional": game.conditional,
        "classes": classes,
        "parameters": sum(p.numel() for p in module.parameters()),
    }
    (made / "config.json").write_text(json.dumps(facts, indent=2) + "\n")
    (made / "README.md").write_text(card(title, facts, files, text, scores or {}, metadata or {}))
    return made


def _save_latents(latents: torch.Tensor, path: Path) -> None:
    # numpy has no bfloat16.
    np.save(path, (latents.double() if latents.is_floating_point() else latents).numpy())


def _programs(module: nn.Module, given: Inputs, folder: Path) -> list[str]:
    """Write the module as a program, and as ONNX where its packages are installed; the names of the files."""
    torch.export.save(traced(module, given), folder / "generator.pt2")
    if not has_onnx():
        return ["generator.pt2"]
    # ONNX runtimes lack float64 for many operations.
    # A copy, because ``float`` changes a module in place.
    single = copy.deepcopy(module).float()
    floats = tuple(x.float() if x.is_floating_point() else x for x in given)
    write_onnx(traced(single, floats), folder / "generator.onnx")
    return ["generator.pt2", "generator.onnx"]


def _draw(samples: torch.Tensor, columns: int, path: Path) -> bool:
    """Draw images as a grid; return False if the samples are not images, or without matplotlib."""
    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        return False
    try:
        # Imported here, because matplotlib is not among the library's dependencies.
        from odegan.plots.images import image_grid
    except ImportError:
        return False
    image_grid(samples.float().numpy(), columns).savefig(path)
    return True
