"""Grids of images as picture files at their own resolution, and a run's grids as an animation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

LEAST = 512  # pixels of a grid's side, up to which small images are enlarged


def grid(images: torch.Tensor, columns: int | None = None) -> torch.Tensor:
    """(n, C, H, W) in [-1, 1] -> 8-bit levels (height, width, C), white between images; as square as can be by default."""
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    gap = max(1, height // 16)
    levels = (images.detach().float().cpu().nan_to_num(0.0).clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
    rows = math.ceil(n / columns)
    tiles = levels.new_full((rows * columns, channels, height + gap, width + gap), 255)
    tiles[:n, :, gap:, gap:] = levels
    sheet = tiles.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)
    return torch.nn.functional.pad(sheet, (0, 0, 0, gap, 0, gap), value=255)


def save(images: torch.Tensor, path: Path, columns: int | None = None) -> Path:
    """Write a grid as PNG, small images enlarged by a whole factor; see ``grid``."""
    sheet = grid(images, columns)
    factor = max(1, round(LEAST / max(sheet.shape[:2])))
    sheet = sheet.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.squeeze(-1).numpy()).save(path)
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
