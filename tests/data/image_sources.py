"""The digits as images in every kind of source."""

import io
from pathlib import Path

import pytest
import torch
from torch import nn

import odegan

pytest.importorskip("sklearn")


Image = pytest.importorskip("PIL.Image")
ROOT = Path(__file__).parents[2]


def encoded(levels, form="PNG", **given):
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, form, **given)
    return buffer.getvalue()


def parquet(path, rows, column="image"):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({column: rows, "label": list(range(len(rows)))}), path)
    return path


# In a run.
def train(data, workers, solver, steps, **given):
    size = data[0].shape[-1]
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, size * size), nn.Tanh(), nn.Unflatten(1, (1, size, size)))
    game = odegan.gan(generator, nn.Sequential(nn.Flatten(), nn.Linear(size * size, 1)))
    t = torch.tensor([0.0, 0.01 * steps], dtype=torch.float64)
    known = {"data": data, "batch_size": 6, "step_size": 0.01, "solver": solver, "workers": workers}
    return odegan.odeint_gan(game, game.init(), t, **known | given)
