"""Grids of images as picture files at their own resolution, and a run's grids as an animation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from einops import repeat
from PIL import Image, ImageDraw

from experiments.framework.folder import QUICK_COLOR, QUICK_FORM
from odegan import plots

LEAST = 512  # pixels of a grid's side, up to which small images are enlarged


def save(images: torch.Tensor, path: Path, columns: int | None = None, quick: bool = False) -> Path:
    """Write images (n, C, H, W) in [-1, 1] as a grid in a PNG file (``plots.tile``), enlarged by a whole factor where small;
    with ``quick`` it says that it is of a quick form.
    """
    levels = (255 * plots.tile(images.float(), columns)).round().astype(np.uint8)
    factor = max(1, round(LEAST / max(levels.shape[:2])))
    sheet = repeat(levels, "h w c -> (h high) (w wide) c", high=factor, wide=factor)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(sheet.squeeze(-1) if sheet.shape[-1] == 1 else sheet)
    if quick:
        # For the color of the words; a gray picture has none.
        picture = picture.convert("RGB")
        place = (picture.width - 4, picture.height - 4)
        ImageDraw.Draw(picture).text(
            place, QUICK_FORM, fill=QUICK_COLOR, anchor="rs", stroke_width=1, stroke_fill="white"
        )
    picture.save(path)
    return path


def animate(frames: Sequence[Path], path: Path, seconds: float = 8.0) -> Path:
    """Write an animation of pictures of one size: at most ten a second, the first and the last among them, and a rest on it."""
    count = min(len(frames), int(10 * seconds))
    chosen = [frames[round(i * (len(frames) - 1) / max(count - 1, 1))] for i in range(count)]
    pictures = [Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in chosen]
    each = int(1000 * seconds / count)
    durations = [each] * (len(pictures) - 1) + [each + 2000]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return path
