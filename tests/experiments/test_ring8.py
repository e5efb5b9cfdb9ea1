"""The ring of 8 as an experiment: its settings, its scores, the size of the bias, and quick forms from the command line."""

from __future__ import annotations

import math
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

pytest.importorskip("tyro")

from experiments.framework import mixture
from experiments.ring8 import experiment as ring8
from experiments.ring8 import question as ring8_question
from experiments.ring8.options import PAPERS, Ring8
from experiments.ring8.results import Pair
from experiments.ring8.rings import RINGS, Method
from odegan import gan
from odegan.games.latents import draw_latents
from odegan.metrics import mixture_scores
from tests.experiments.ring8_runs import call, summary

torch.set_num_threads(1)

FIGURES = {
    "ring8": {"all_modes"} | {f"{name}_{kind}" for name in PAPERS for kind in ("over_time", "samples")},
    "ring8_weights_clc": {"clc"},
    "ring8_question": {"over_time", "differences", "bias"},
}
SWITCHES = {
    "ring8": [],
    "ring8_weights_clc": ["--rings", "clc", "--weights", "0.01", "1", "--methods", "none", "abs", "JARE"],
    "ring8_question": ["--question"],
}


@pytest.fixture(scope="module", params=FIGURES)
def quick(request, tmp_path_factory) -> tuple[str, Path]:
    """(name, folder) of both quick forms, run once with their documentation."""
    folder = tmp_path_factory.mktemp(request.param)
    assert call(folder / "run", "--docs", str(folder / "docs"), *SWITCHES[request.param]) == 0
    return request.param, folder


def test_quick_form_writes_figures_table_and_page(quick) -> None:
    name, folder = quick
    pictures = {path.stem: imread(path) for path in (folder / "run/figures").glob("*.png")}
    assert pictures.keys() == FIGURES[name]
    assert all(picture[..., :3].std() > 0.02 for picture in pictures.values())
    assert {path.name for path in (folder / "docs/figures").iterdir()} == {f"{name}_{p}.png" for p in pictures}
    page = (folder / f"docs/results/{name}.md").read_text()
    assert "python -m experiments.ring8 --quick" in page
    assert (folder / "run/summary.md").read_text() in page


def test_every_method_and_every_pair_has_its_row(quick) -> None:
    name, folder = quick
    rows = summary(folder / "run")
    if name == "ring8":
        expected = [
            (setting.title, method, how.weight)
            for setting in map(RINGS.get, PAPERS)
            for method, how in setting.methods.items()
        ]
        assert [(row["setting"], row["method"], row["weight"]) for row in rows] == expected
        assert all(row["evaluations"] == 4 for row in rows)
    elif name == "ring8_weights_clc":
        expected = [("none", None), ("abs", 0.01), ("abs", 1.0), ("JARE", 0.01), ("JARE", 1.0)]
        assert [(row["method"], row["weight"]) for row in rows] == expected
    else:
        pairs = [(row["score, mean of the second half"], row["batch size"]) for row in rows]
        assert pairs == [(score, size) for size in (8, 32) for score in ring8_question.SCORES]
        assert all(row["bias / squared norm, D"] > 0 for row in rows)


@pytest.mark.parametrize(
    "name, latent, generator, discriminator",
    [
        ("jare", 64, (64, 256, 256, 256, 256, 2), (2, 256, 256, 256, 256, 1)),
        ("clc", 32, (32, 128, 128, 2), (2, 512, 512, 1)),
    ],
)
def test_networks_and_latents_are_the_papers(name, latent, generator, discriminator) -> None:
    game = RINGS[name].game(shrink=1)
    sizes = [sum(a * b + b for a, b in pairwise(n)) for n in (discriminator, generator)]
    assert [game.n_disc, game.n_gen] == sizes
    z = draw_latents(game.latent, 20_000, 0, game.init())
    assert z.shape == (20_000, latent)
    assert float(z.std()) == pytest.approx({"jare": 2.0, "clc": 1.0}[name], rel=0.01)


@pytest.mark.parametrize(
    "name, radius, sigma",
    [("jare", 2.0, 0.06), ("jare_narrow", 2.0, 0.02), ("jare_wide", 2.0, 0.1), ("clc", 1.0, 0.05)],
)
@pytest.mark.parametrize("draw", ["draw", "draw_independent"])
def test_rings_have_their_radius_spread_and_equal_modes(name: str, radius: float, sigma: float, draw: str) -> None:
    target = RINGS[name].target
    x = getattr(target, draw)(64_000, torch.Generator().manual_seed(0))
    distance, nearest = torch.cdist(x, target.modes).min(1)
    assert torch.allclose(target.modes.norm(dim=1), torch.tensor(radius))
    assert torch.cdist(target.modes, target.modes)[0].sort().values[1] == pytest.approx(
        2 * radius * math.sin(math.pi / 8)
    )
    assert float((distance**2).mean()) == pytest.approx(2 * sigma**2, rel=0.02)
    counts = torch.bincount(nearest, minlength=8)
    assert (counts == 8000).all() if draw == "draw" else 0 < (counts - 8000).abs().max() < 5 * 8000**0.5


def test_a_ring_without_gaps_is_covered_but_not_resolved() -> None:
    for setting in (one for name, one in RINGS.items() if name != "clc_grid"):
        target = setting.target
        radius = float(setting.target.modes.norm(dim=1)[0])
        angles = torch.linspace(0, 2 * math.pi, 5000)
        smeared = radius * torch.stack([angles.cos(), angles.sin()], 1)
        exact = target.draw(5120, torch.Generator().manual_seed(0))
        strict = setting.resolved
        assert int(mixture_scores(smeared, target.modes, target.sigma).modes_covered) == 8
        assert int(mixture_scores(smeared, target.modes, target.sigma, **strict).modes_covered) == 0
        assert int(mixture_scores(exact, target.modes, target.sigma, **strict).modes_covered) == 8


def test_the_bias_is_the_closed_form_of_a_linear_game() -> None:
    """D(x) = w x + c, G(z) = W z + b, Wasserstein: g_D is mean G(z) - mean x, so trace(Cov) = 4 |W|^2 + r^2 + 2 sigma^2."""
    setting = RINGS["jare"]
    game = gan(nn.Linear(64, 2), nn.Linear(2, 1), loss="wasserstein", latent=setting.latent)
    y = game.init(seed=0)
    y[-2:] = torch.tensor([3.0, -4.0])
    weight = y[3:-2]
    trace = 4 * float((weight**2).sum()) + 2.0**2 + 2 * 0.06**2
    found = np.mean([ring8_question.bias(game, y, setting, seed).numpy() for seed in range(8)], axis=0)
    assert found[0] == pytest.approx(trace / 25, rel=0.05)
    # g_G = -w of the bias, and -w mean(z) of the weights: 64 latents of variance 4 over |w|^2 / |w|^2 = 1.
    assert found[1] == pytest.approx(64 * 4, rel=0.05)


def test_differences_are_paired_by_seed() -> None:
    def trained(quality: list[list[float]]) -> mixture.EnsembleRun:
        values = torch.tensor(quality, dtype=torch.float64)
        scores = mixture.MixtureScores(values, values, values)
        return mixture.EnsembleRun(None, np.arange(2.0), torch.zeros(2, 3, 1), scores, 0.0, 0.0)

    biased = trained([[9.0, 9, 9], [0.1, 0.2, 0.3]])
    unbiased = trained([[9.0, 9, 9], [0.2, 0.4, 0.6]])
    pair = Pair(8, biased, unbiased, torch.ones(2, 3, 2))
    row = ring8_question.rows([pair])[0]
    assert row["unbiased - biased"] == pytest.approx((0.2, 0.1 / 3**0.5))
    # t = 0.2 / (0.1 / sqrt(3)) = 2 sqrt(3) with 2 degrees of freedom: p = 1 - t / sqrt(2 + t^2).
    assert row["p"] == pytest.approx(1 - 12**0.5 / 14**0.5)


def test_turns_are_taken_where_the_paper_takes_them() -> None:
    options = Ring8()
    turns = {
        (name, method): ring8.keywords(options, setting, how)["options"].get("alternating", False)
        for name, setting in RINGS.items()
        for method, how in setting.methods.items()
    }
    assert all(turns[key] == (key[0].startswith("clc") or key[1] == "alternating reg-G2") for key in turns)
    rk4 = Ring8(solver="rk4", penalty=("jare:1",))
    assert ring8.keywords(rk4, RINGS["clc"], Method(("jare:1",)))["options"] == {}


def test_full_is_the_papers_length() -> None:
    assert Ring8(full=True, shrink=4).shrink == 4
    options = Ring8(full=True)
    assert (options.steps, options.step_size, options.shrink) == (20_000, 1e-4, 1)
    assert (Ring8().steps, Ring8().shrink, Ring8(question=True).steps) == (2000, 4, 1500)


def test_any_solver_and_penalty_from_the_command_line(tmp_path: Path) -> None:
    switches = (
        "--solver",
        "rk4",
        "--step-size",
        "0.1",
        "--penalty",
        "jare:1",
        "--penalty",
        "closed_loop:0.01,kind=abs",
    )
    assert call(tmp_path, *switches) == 0
    rows = summary(tmp_path)
    assert [row["method"] for row in rows] == ["jare:1 + closed_loop:0.01,kind=abs"] * 2
    assert all(row["weight"] is None for row in rows)
    assert all(row["evaluations"] == 16 for row in rows)


@pytest.mark.parametrize("switches, intervals", [(("--rings", "clc", "--methods", "abs"), 3), (("--question",), 6)])
def test_resumed_after_ctrl_c_is_the_uninterrupted_run(
    switches, intervals, tmp_path: Path, monkeypatch, capsys
) -> None:
    assert call(tmp_path / "whole", *switches) == 0
    original = mixture.Budget.__call__
    calls = []

    def interrupting(self, state, info) -> bool:
        calls.append(state.t)
        if len(calls) == intervals:
            signal.raise_signal(signal.SIGINT)
        return original(self, state, info)

    monkeypatch.setattr(mixture.Budget, "__call__", interrupting)
    assert call(tmp_path / "broken", *switches) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (tmp_path / "broken/summary.json").exists()
    assert call(tmp_path / "broken", *switches, "--resume") == 0
    assert summary(tmp_path / "broken") == summary(tmp_path / "whole")
    metrics = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("broken", "whole")]
    assert sorted(metrics[0].splitlines()) == sorted(metrics[1].splitlines())


def test_a_member_that_diverges_has_no_modes(tmp_path: Path) -> None:
    switches = ("--solver", "euler", "--step-size", "1e20", "--penalty", "none", "--rings", "jare")
    assert call(tmp_path, *switches) == 3
    (row,) = summary(tmp_path)
    assert row["diverged"] == "2 of 2"
    assert row["modes covered"] == row["modes resolved"] == [0.0, 0.0]


WRONG = [
    ("--rings clcc", "did you mean 'clc'?"),
    ("--methods JARR", "did you mean 'JARE'?"),
    ("--rings clc --methods consensus", "methods: got 'consensus'"),
    ("--methods JARE@0", "methods: got 'JARE@0'"),
    ("--methods JARE@x", "methods: got 'JARE@x'"),
    ("--methods none@1", "methods: got 'none@1'"),
    ("--methods JARE@1 --weights 1", "methods: got 'JARE@1'"),
    ("--weights 1 -1", "weights: got -1"),
    ("--penalty jare:1 --weights 1", "penalty: got"),
    ("--question --weights 1", "weights: got"),
    ("--solver rk4", "solver: got 'rk4'"),
    ("--solver rk5 --penalty none", "solver: got 'rk5'"),
    ("--penalty jare", "penalty: got 'jare'"),
    ("--batch-size 100", "batch_size: got 100; it must be a multiple of 8"),
    ("--shrink 0", "shrink: got 0"),
    ("--shrink 64", "shrink: got 64"),
    ("--steps 0", "steps: got 0"),
    ("--step-size 0", "step_size: got 0.0"),
    ("--seeds x", "--seeds"),
    ("--question --penalty jare:1", "penalty: got"),
    ("--question --methods JARE", "methods: got"),
    ("--question --batch-sizes 8 10", "batch_sizes: got 10; it must be a multiple of 4 chunks"),
    ("--question --batch-sizes 8 8", "batch_sizes: got (8, 8)"),
    ("--question --chunks 1", "chunks: got 1"),
    ("--question --seeds 1", "seeds: got 1"),
]


@pytest.mark.parametrize("command, message", WRONG)
def test_wrong_options_are_one_line_and_write_nothing(command: str, message: str, tmp_path: Path, capsys) -> None:
    assert ring8.main([*command.split(), "--output", str(tmp_path / "run")]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_help_says_how_long_the_default_is(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        ring8.main(["--help"])
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2,000 steps" in said
    for name in ("rings", "methods", "weights", "penalty", "solver", "full", "question", "batch-sizes"):
        assert f"--{name}" in said
