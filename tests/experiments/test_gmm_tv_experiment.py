"""The experiment on discriminator collapse: what it writes, refuses and resumes, and small forms of its claims."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from scipy import optimize

pytest.importorskip("tyro")

from experiments.gmm_tv import experiment as gmm_tv
from experiments.gmm_tv.dynamics import function_norm, truth
from experiments.gmm_tv.experiment import play
from experiments.gmm_tv.options import GmmTv
from experiments.gmm_tv.outcome import SUCCESS, Outcome, fates
from odegan import games, odeint_gan, vector_field


def call(folder: Path, *more: str) -> int:
    return gmm_tv.main(["--quick", "--no-progress", "--output", str(folder), *more])


def summary(folder: Path) -> list[dict]:
    return json.loads((folder / "summary.json").read_text())


def test_quick_form_plays_every_dynamics_and_draws_them(tmp_path: Path) -> None:
    assert call(tmp_path / "run") == 0
    rows = summary(tmp_path / "run")
    names = [row["dynamics"] for row in rows]
    assert len(set(names)) == len(names) == 32
    unrolled = [name for name in names if name.startswith(("persistent", "lookahead"))]
    assert len(unrolled) == 12
    assert all(0 <= row["success"] <= 1 for row in rows)
    for row in rows[1:]:  # every run's discriminator is alive, empty, or constant without being empty
        empty = row["collapsed"]
        full = row["constant, not empty"]
        shares = {"alive": 1 - empty - full, "empty": empty, "constant not empty": full}
        assert sum(part * (row[f"success, {kind}"] or 0) for kind, part in shares.items()) == pytest.approx(
            row["success"]
        )
    pictures = {path.stem: imread(path) for path in (tmp_path / "run/figures").glob("*.png")}
    assert pictures.keys() == {
        f"{kind}_{group}_h0.3" for kind in ("heat", "fates", "paths") for group in ("theories", "cures")
    }
    assert all(picture[..., :3].std() > 0.02 for picture in pictures.values())
    logged = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert torch.tensor(logged[0]["success by cell"]).shape == (2, 2)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, monkeypatch, capsys) -> None:
    only = ("--only", "first order")
    assert call(tmp_path / "whole", *only) == 0
    original = gmm_tv.play
    played = []

    def interrupting(dynamics, options):
        played.append(dynamics.label)
        if len(played) == 3:
            raise KeyboardInterrupt
        return original(dynamics, options)

    monkeypatch.setattr(gmm_tv, "play", interrupting)
    assert call(tmp_path / "broken", *only) == 130
    assert "--resume" in capsys.readouterr().err
    assert call(tmp_path / "broken", *only, "--resume") == 0
    assert played.count(played[0]) == 1  # what was done is not played again
    assert summary(tmp_path / "broken") == summary(tmp_path / "whole")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--grid", "1"), "grid: got 1"),
        (("--step-sizes", "0.1", "-1"), "step_sizes: got -1.0"),
        (("--only", "nothing"), "only: got 'nothing'"),
        (("--unroll", "0"), "unroll: got 0"),
    ],
)
def test_wrong_options_are_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path, capsys) -> None:
    assert gmm_tv.main([*arguments, "--output", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("k, apart", [(2, 4 * 3), (3, 4 * 3 * 2)])
def test_starts_are_the_grid_with_sorted_ends(k: int, apart: int) -> None:
    """``apart``: cells of a grid of 4 values whose k means all differ."""
    options = GmmTv(components=k, grid=4, per_cell=3)
    y = options.starts()
    off = options.off_diagonal()
    ends = y[:, : 2 * k]
    means = y[:, 2 * k :]
    assert y.shape == (4**k * 3, 3 * k)
    assert (ends.diff(dim=1) >= 0).all()
    assert ends.abs().max() <= k / 2 + 2
    assert means.unique().tolist() == pytest.approx([-k / 2, -k / 6, k / 6, k / 2])
    pairs = (means[:, :, None] - means[:, None]).abs() < 1e-6
    assert torch.equal(off, pairs.sum((1, 2)) == k)
    assert int(off.sum()) == 3 * apart
    by_cell = options.by_cell(means[:, 0] > 0)
    assert by_cell[0].tolist() == [0] * 4
    assert by_cell[-1].tolist() == [1] * 4
    assert torch.equal(options.by_cell(off), 1 - torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("k", [2, 3])
def test_a_generator_with_two_equal_means_is_no_success(k: int) -> None:
    game = games.gmm_tv(truth(k))

    def distance(means) -> float:
        return float(game.total_variation(torch.tensor([means[0], *means])))

    least = optimize.minimize(distance, truth(k)[1:].numpy(), method="Nelder-Mead", options={"xatol": 1e-4}).fun
    assert 0.8 * least < SUCCESS[k] < 0.9 * least


@pytest.mark.slow
@pytest.mark.parametrize("k, grid", [(2, 4), (3, 3)])
def test_optimal_succeeds_off_the_diagonal_and_first_order_does_not(k: int, grid: int) -> None:
    lengths = {"steps": 1000, "optimal_steps": 1000, "step_sizes": (0.3,)}
    options = GmmTv(components=k, grid=grid, per_cell=3, compile=False, progress=False, **lengths)
    found = {
        d.name: play(d, options)
        for d in replace(options, only="o").dynamics()
        if d.group == "theories" and d.name in ("optimal", "first order, project")
    }
    off = options.off_diagonal()
    assert found["optimal"].success[off].all()
    assert not found["optimal"].success[~off].any()
    first = found["first order, project"]
    assert first.success[off].double().mean() < 0.3
    failed = off & ~first.success
    assert first.constant[failed].double().mean() > 0.4
    assert (first.constant | ~first.collapsed)[failed].all()


def test_what_counts_as_collapsed_constant_and_merged() -> None:
    ends = {
        "both empty": (-1.0, -1.0, 1.0, 1.0),
        "the gap closed": (-4.0, 0.5, 0.5, 4.0),
        "canceling": (-1.0, 1.0, 1.0, -1.0),
        "twice everything": (-9.0, 9.0, -8.0, 8.0),
        "one interval": (-1.0, 0.5, 2.0, 2.0),
        "minus and plus of equal mass": (-0.5, -1.5, 0.5, 1.5),
    }
    means = torch.tensor([0.3, 0.35], dtype=torch.float64).expand(len(ends), -1)
    end = torch.cat([torch.tensor(list(ends.values()), dtype=torch.float64), means], dim=1)
    found = Outcome(torch.zeros(1), end[:1], end, k=2)
    assert found.collapsed.tolist() == [True, False, False, False, False, False]
    assert found.constant.tolist() == [True, True, True, True, False, False]
    assert found.merged.all()
    assert not found.success.any()
    assert fates(found, torch.ones(len(ends), dtype=torch.bool)) == pytest.approx([0, 1 / 6, 3 / 6, 2 / 6])


def test_the_closed_loop_of_an_indicator_shrinks_it() -> None:
    """Its best discriminator is the set where (1 - w/2) g* > (1 + w/2) g: the field at those ends is zero."""
    game = games.gmm_tv(truth(2))
    w = 0.2
    mu = torch.tensor([-1.5, 0.2], dtype=torch.float64)
    y = torch.cat([torch.tensor([-1.0, 0.4, 1.0, 2.0], dtype=torch.float64), mu])
    field = vector_field(game, [function_norm(w)])(0.0, y)[:4]
    normal = torch.distributions.Normal(0.0, 1.0)
    real, fake = (normal.log_prob(y[:4, None] - m).exp().mean(-1) for m in (truth(2), mu))
    slope = (1 - w / 2) * real - (1 + w / 2) * fake  # of the penalized L in a right end
    torch.testing.assert_close(field, slope * torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64))
    same = torch.cat([y[:4], truth(2)])
    end = odeint_gan(
        game,
        same,
        torch.tensor([0.0, 300.0]),
        solver="euler",
        step_size=0.3,
        penalties=[function_norm(w)],
        rates=(1.0, 0.0),
    ).y
    assert (end[1:4:2] - end[0:4:2]).max() < 1e-3  # against the truth itself everything is given up
