"""The vanishing step: slopes on the exact game, ensembles against closed forms, and the quick form."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

pytest.importorskip("tyro")

from experiments.framework.folder import Folder
from experiments.framework.power_laws import Mean, fit_power_law, mean_ratio
from experiments.vanishing_step import deterministic, experiment
from experiments.vanishing_step.ensembles import deviation, ends
from experiments.vanishing_step.options import VanishingStep
from experiments.vanishing_step.problems import SIGMA, Problem, V, gaussian, network
from experiments.vanishing_step.shifts import SHIFTING, exact_shift, shifts
from odegan import ArgumentError, games, vector_field

torch.set_num_threads(1)
FIGURES = {"deterministic", "noise", "refresh", "bias"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "run", "vanishing_step", "python -m experiments.vanishing_step")


def test_slopes_on_an_exact_game(folder: Folder) -> None:
    options = VanishingStep(counts=(16, 32, 64), progress=False)
    start = torch.tensor([0.5, -0.3], dtype=torch.float64)
    problem = replace(gaussian("cpu"), name="Dirac", game=games.dirac("minimax", c=1.0), y0=start)
    flow = deterministic.reference(problem, options)
    _, rows = deterministic.without_noise(problem, flow, options, folder)
    measured = {row["method"]: row["measured"] for row in rows}
    orders = {"euler": 1, "heun2": 2, "rk4": 4, "rk4_classic": 4} | dict.fromkeys(deterministic.MOVEMENTS, 1)
    assert measured == {method: pytest.approx(order, abs=0.1) for method, order in orders.items()}


def linear(problem: Problem) -> Problem:
    """The Gaussian with the Wasserstein loss: a rotation, with noise in the discriminator's part that no state changes."""
    v = torch.tensor(V, dtype=torch.float64)
    return replace(
        problem,
        name="linear",
        game=games.gaussian(v, SIGMA, "wasserstein"),
        sampled=games.gaussian(v, SIGMA, "wasserstein", expectation="sampling"),
    )


STEPS = 16
SIZE = 8


def expected(kind: str, options: VanishingStep) -> float:
    """E |deviation|^2 at T where each of D's two coordinates has noise of variance 2 sigma^2 / B, by propagating covariances.

    One step multiplies what is there by R and adds h N xi, N = sum_i b_i times the powers of h J through which a stage's noise
    passes: Euler N = I; Heun with one minibatch N = I + h J / 2, with one a stage (I + h J) / 2 and I / 2, independently.
    """
    h = options.time / STEPS
    size = 2 * SIGMA**2 / SIZE
    jacobian = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    euler = eye + h * jacobian
    heun = eye + h * jacobian + h**2 / 2 * jacobian @ jacobian
    step, noises = {
        "euler": (euler, [eye]),
        "heun2": (heun, [eye + h / 2 * jacobian]),
        "heun2, stage": (heun, [(eye + h * jacobian) / 2, eye / 2]),
    }[kind]
    source = torch.diag(torch.tensor([size, 0.0], dtype=torch.float64))
    added = sum(h**2 * noise @ source @ noise.T for noise in noises)
    covariance = torch.zeros(2, 2, dtype=torch.float64)
    for _ in range(STEPS):
        covariance = step @ covariance @ step.T + added
    return 2 * float(covariance.trace())


@pytest.mark.parametrize("kind", ["euler", "heun2", "heun2, stage"])
def test_ensembles_have_the_covariance_of_the_linear_game(kind: str, folder: Folder) -> None:
    options = VanishingStep(members=300, progress=False)
    problem = linear(gaussian("cpu"))
    solver, _, stage = kind.partition(", ")
    found = ends(problem, solver, STEPS, SIZE, options, folder, stage or None)
    measured = deviation(found, deterministic.noiseless(problem, solver, STEPS, options)[-1])
    assert measured.error < 0.1 * measured.value
    assert abs(measured.value - expected(kind, options)) < 4 * measured.error


def test_whole_set_is_the_mean_of_the_networks_minibatches() -> None:
    problem = network("cpu", 0)
    source = torch.Generator().manual_seed(1)
    count = 2000
    size = 16
    real, latent = (part(count * size, source).unflatten(0, (count, size)) for part in (problem.data, problem.latent))
    field = vector_field(problem.sampled)
    with torch.no_grad():
        found = torch.vmap(lambda *batch: field(0.0, problem.y0, batch))(real, latent)
        whole = field(0.0, problem.y0, problem.batch)
    error = found.std(0) / math.sqrt(count)
    assert float(((found.mean(0) - whole).abs() / error.clamp(min=1e-12)).max()) < 5
    assert float(error.max()) < 0.05 * float(whole.norm())


@pytest.mark.parametrize("name", SHIFTING)
def test_penalties_shift_the_field_by_the_closed_form(name: str) -> None:
    options = VanishingStep(batches=10_000)
    problem = gaussian("cpu")
    exact = exact_shift(problem, SHIFTING[name].like, 4)
    share = Mean.of(shifts(problem, name, 4, options) @ exact / (exact @ exact))
    assert share.error < 0.25
    assert abs(share.value - SHIFTING[name].share) < 4 * share.error


def test_slope_has_the_standard_error_that_repetition_shows() -> None:
    source = torch.Generator().manual_seed(0)
    x = [1.0, 2.0, 4.0, 8.0]
    drawn = 3.0 * torch.tensor(x) * (1 + 0.05 * torch.randn(4000, 4, generator=source))
    found = [fit_power_law(x, [Mean(float(v), 0.05 * float(v)) for v in y]) for y in drawn]
    slopes = torch.tensor([line.slope for line in found])
    assert float(slopes.mean()) == pytest.approx(1, abs=0.003)
    assert float(slopes.std()) == pytest.approx(found[0].error, rel=0.05)


def test_ratio_has_the_standard_error_that_repetition_shows() -> None:
    source = torch.Generator().manual_seed(0)
    above, below = (1 + 0.05 * torch.randn(4000, 3, generator=source) for _ in range(2))
    drawn = [
        mean_ratio([Mean(float(v), 0.05) for v in a], [Mean(2 * float(v), 0.1) for v in b])
        for a, b in zip(above, below, strict=True)
    ]
    values = torch.tensor([ratio.value for ratio in drawn])
    assert float(values.mean()) == pytest.approx(0.5, abs=0.003)
    assert float(values.std()) == pytest.approx(drawn[0].error, rel=0.1)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """The folder and the rows of the quick form."""
    root = tmp_path_factory.mktemp("vanishing_step")
    assert (
        experiment.main(["--quick", "--no-progress", "--output", str(root / "run"), "--docs", str(root / "docs")]) == 0
    )
    return root, json.loads((root / "run/summary.json").read_text())


def test_quick_form_writes_figures_and_table(quick: tuple[Path, list[dict]]) -> None:
    root, rows = quick
    pictures = {path.stem: imread(path) for path in (root / "run/figures").glob("*.png")}
    assert pictures.keys() == FIGURES
    assert all(picture[..., :3].std() > 0.02 for picture in pictures.values())
    assert {row["game"] for row in rows} == {"Gaussian", "network"}
    page = (root / "docs/results/vanishing_step.md").read_text()
    assert all(row["what"] in page for row in rows)
    for row in rows:
        if "sup distance" in row["what"]:
            assert row["measured"] == pytest.approx(row["theory"], abs=0.25)


@pytest.mark.slow
def test_resumed_run_has_the_same_table(quick: tuple[Path, list[dict]]) -> None:
    root, rows = quick
    (root / "run/checkpoints/Gaussian_euler_8_8_step.pt").unlink()
    assert experiment.main(["--quick", "--no-progress", "--output", str(root / "run"), "--resume"]) == 0
    assert json.loads((root / "run/summary.json").read_text()) == rows


@pytest.mark.parametrize(
    "wrong",
    [
        {"counts": (64, 96)},
        {"counts": (64,)},
        {"noise_counts": (16, 24)},
        {"shift_sizes": (6, 8)},
        {"time": 0.0},
        {"members": 1},
    ],
)
def test_wrong_options_are_one_line(wrong: dict) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))) as caught:
        VanishingStep(**wrong).check()
    assert "\n" not in str(caught.value)
