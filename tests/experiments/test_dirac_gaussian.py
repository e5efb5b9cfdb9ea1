"""The Dirac GAN and the isotropic Gaussian as experiments: closed forms, and quick forms from the command line to the page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

pytest.importorskip("tyro")

from experiments.dirac import experiment as dirac
from experiments.dirac import response as dirac_response
from experiments.dirac.variants import SWEPT, VARIANTS, block, build, is_smooth
from experiments.framework import eigenvalue_blocks as blocks
from experiments.gaussian import experiment as gaussian
from experiments.gaussian.options import Gaussian
from experiments.gaussian.training import METHODS
from odegan import ArgumentError, games, plots, spectrum

torch.set_num_threads(1)

QUICK = {
    "dirac": (dirac.main, {"gallery_c1", "eigenvalues", "responses"}),
    "gaussian": (gaussian.main, {"eigenvalues", "factors", "training"}),
}


@pytest.fixture(scope="module", params=QUICK)
def quick(request, tmp_path_factory) -> tuple[str, Path, list[dict]]:
    """(name, folder, summary rows) of every quick form, run once with its documentation."""
    folder = tmp_path_factory.mktemp(request.param)
    switches = ["--quick", "--no-progress", "--output", str(folder / "run"), "--docs", str(folder / "docs")]
    assert QUICK[request.param][0](switches) == 0
    return request.param, folder, json.loads((folder / "run/summary.json").read_text())


def test_quick_form_writes_figures_table_and_page(quick) -> None:
    name, folder, rows = quick
    pictures = {path.stem: imread(path) for path in (folder / "run/figures").glob("*.png")}
    assert pictures.keys() == QUICK[name][1]
    assert all(picture[..., :3].std() > 0.02 for picture in pictures.values())
    assert {path.name for path in (folder / "docs/figures").iterdir()} == {f"{name}_{p}.png" for p in pictures}
    page = (folder / f"docs/results/{name}.md").read_text()
    assert f"python -m experiments.{name} --quick\n" in page
    assert all(str(next(iter(row.values()))) in page for row in rows)
    logged = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    assert all("run" in line for line in logged)


def test_summary_agrees_with_the_closed_forms(quick) -> None:
    name, _, rows = quick
    if name == "gaussian":
        assert {row["method"] for row in rows} == set(METHODS)
        assert max(row["eigenvalues off by"] for row in rows) < 1e-9
        for row in rows:
            assert row["phase factor"] == pytest.approx(row["closed form phase"], abs=1e-9)
            assert row["conditioning factor"] == pytest.approx(row["closed form conditioning"])
    else:
        named = {row["setting"]: row for row in rows}
        assert set(VARIANTS) <= set(named)
        assert all(row["off closed form"] < 1e-12 for name, row in named.items() if VARIANTS.get(name, [0, ""])[1])
        assert named["WGAN-GP"]["eigenvalues"] is named["least squares"]["eigenvalues"] is None
        (long,) = (row for name, row in named.items() if "steps of 0.01" in name)
        assert long["end, euler"] == pytest.approx(1.0001**100)
        assert long["end, alternating"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", SWEPT)
@pytest.mark.parametrize("c", [0.0, 1.0, -0.7])
def test_dirac_spectra_are_the_closed_forms(name: str, c: float) -> None:
    for variant in (VARIANTS[name], SWEPT[name]):
        known = block(variant, c)
        game, made = build(variant, c, 3.0)
        at = torch.tensor([0.0, c], dtype=torch.float64)
        assert is_smooth(game, made, at)
        found = spectrum(game, at, penalties=made).eigenvalues.tolist()
        assert blocks.relative_difference(found, blocks.eigenvalues(variant.method, [known], 3.0)) < 1e-7


@pytest.mark.parametrize("method", METHODS)
def test_gaussian_spectra_are_the_closed_forms(method: str) -> None:
    v = (0.3, -1.2, 0.8)
    sigma = 0.4
    gamma = 7.0
    at = torch.tensor([0.0, 0.0, 0.0, *v], dtype=torch.float64)
    found = spectrum(games.gaussian(at[3:], sigma), at, penalties=METHODS[method](gamma))
    exact = blocks.eigenvalues(method, gaussian.blocks(v, sigma), gamma)
    assert blocks.relative_difference(found.eigenvalues.tolist(), exact) < 1e-7


def test_the_page_s_spot_values() -> None:
    """The conditioning factors of the paper's page, gamma = 100 over the block a = 10; JARE's phase at a = 0.02."""
    block = blocks.Block(10.0, 0.5)
    found = {m: blocks.conditioning_factor(blocks.eigenvalues(m, [block], 100.0)) for m in METHODS}
    expected = {"none": 398, "reg-G2": 4.9e3, "consensus": 1.2e5, "JARE": 3.5}
    for method, value in expected.items():
        assert found[method] == pytest.approx(value, rel=0.04)
    small = [blocks.Block(0.02, 0.5)]
    assert blocks.phase_factor(blocks.eigenvalues("none", small, 0.0)) == pytest.approx(50, rel=0.01)
    assert blocks.phase_factor(blocks.eigenvalues("JARE", small, 200.0)) == 0


@pytest.mark.parametrize("drive", dirac_response.DRIVES)
@pytest.mark.parametrize("feedback", [0.0, 0.5, 2.0, 5.0])
def test_responses_are_the_transfer_function_s(drive: str, feedback: float) -> None:
    t, states = dirac_response.response(drive, feedback, "rk4", "cpu", 200)
    assert states[:, 1].numpy() == pytest.approx(dirac_response.transfer(drive, feedback, t), abs=1e-4)


def test_undamped_responses_are_sine_and_cosine() -> None:
    t = torch.linspace(0, 20, 41, dtype=torch.float64)
    assert dirac_response.transfer("step response", 0.0, t.numpy()) == pytest.approx((1 - t.cos()).numpy())
    assert dirac_response.transfer("impulse response", 0.0, t.numpy()) == pytest.approx(t.sin().numpy())


def test_steps_to_converge_are_counted_one_by_one() -> None:
    options = Gaussian(target=0.1)
    game = games.gaussian(options.v, options.sigma)
    at = options.equilibrium()
    made = METHODS["JARE"](10.0)
    steps = gaussian.steps_to_converge(game, made, 0.05, options)
    assert steps is not None

    def left(count: int) -> float:
        y = gaussian.odeint_gan(
            game, game.init().double(), [0.0, 0.05 * count], solver="euler", step_size=0.05, penalties=made
        ).y
        return float((y - at).norm() / 0.1)

    assert left(steps) < 0.1 <= left(steps - 1)
    assert gaussian.steps_to_converge(game, made, 1e-6, Gaussian(limit=100)) is None


def test_predicted_steps_know_a_field_that_does_not_converge() -> None:
    assert gaussian.predicted_steps([1j, -1j], 0.1, 1e-3) == math.inf


@pytest.mark.parametrize(
    "call", [["--solver", "rk5"], ["--points", "1", "1"], ["--lambdas", "-1"], ["--steps", "0"]], ids=" ".join
)
def test_wrong_options_of_dirac_end_in_one_line(call: list[str], tmp_path: Path, capsys) -> None:
    assert dirac.main([*call, "--output", str(tmp_path / "run")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_wrong_options_of_gaussian_end_in_one_line(tmp_path: Path, capsys) -> None:
    assert gaussian.main(["--sigma", "0", "--output", str(tmp_path / "run")]) == 2
    assert "sigma: got" in capsys.readouterr().err


def test_portraits_have_a_panel_a_field_and_their_marks() -> None:
    frames = {name: ({"a": torch.ones(3, 2)}, lambda y: -y) for name in ("one", "two")}
    figure = plots.portraits(frames, 2.0, marks=[[0.0, 1.0]])
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    assert all(line.get_xydata().tolist() != [] for axes in figure.axes for line in axes.lines)
    assert figure.axes[0].lines[-1].get_xydata().tolist() == [[0.0, 1.0]]
    with pytest.raises(ArgumentError, match="frames"):
        plots.portraits({})
