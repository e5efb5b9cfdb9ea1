"""What is claimed of penalties on the whole: closed-form games, trained ensembles, one large game, command lines."""

from __future__ import annotations

import importlib
import json
import math

import pytest
import torch

import odegan
from odegan import games, penalties
from tests.peers import draw, networks, smooth_game

torch.set_num_threads(1)
D = torch.float64

# At (phi, theta) = (0.6, -0.3), data at c = 0.8: what closed_loop charges a Dirac GAN's discriminator, by hand.
PHI = 0.6
THETA = -0.3
C = 0.8
WEIGHT = 0.7
Y = torch.tensor([PHI, THETA], dtype=D)


def sigmoid(u):
    return 1 / (1 + math.exp(-u))


SLOPES = {  # d / d phi of the unweighted term
    "square": 2 * PHI * (C**2 + THETA**2),
    "abs": abs(C) + abs(THETA),
    "loss": -C * sigmoid(-PHI * C) + THETA * sigmoid(PHI * THETA),
    "one_sided": C + abs(THETA),
}


@pytest.mark.parametrize("kind", SLOPES)
def test_closed_loop_on_the_dirac_gan(kind):
    game = games.dirac("non_saturating", C)
    plain, penalized = (
        odegan.vector_field(game, made)(0.0, Y) for made in ([], [penalties.closed_loop(WEIGHT, kind, buffer=0)])
    )
    assert (plain - penalized).tolist() == pytest.approx([WEIGHT * SLOPES[kind], 0.0], abs=1e-14)


@pytest.mark.parametrize("loss", ["minimax", "wasserstein", "hinge", "least_squares", "relativistic"])
def test_closed_loop_of_the_loss_doubles_it(loss):
    """With the kind "loss" and weight 1 on the current batch D descends twice its own loss."""
    batch = odegan.Batch(draw(16)[0], draw(16, seed=1)[0])
    cases = [(games.dirac(loss, C), Y, None)]
    cases += [(games.gaussian([0.3, -0.2], 0.7, loss, "sampling"), torch.tensor([0.4, 0.1, 0.2, 0.5], dtype=D), batch)]
    for game, y, seen in cases:
        made = [penalties.closed_loop(1.0, "loss", buffer=0)]
        plain, penalized = (odegan.vector_field(game, some)(0.0, y, seen) for some in ([], made))
        torch.testing.assert_close(penalized[: game.n_disc], 2 * plain[: game.n_disc])
        torch.testing.assert_close(penalized[game.n_disc :], plain[game.n_disc :], rtol=0, atol=0)
        assert plain[: game.n_disc].abs().max() > 1e-3


# The unbiased estimate through the discriminator's gradient: what training follows, not only the value.
@pytest.mark.parametrize("unbiased", [False, True])
def test_the_field_of_an_estimate_is_unbiased_too(unbiased):
    """Mean field over many batches against that of the full-batch norm, which one batch of all the samples has."""
    game = games.gaussian([0.0, 2.0], 0.7, "minimax", "sampling")
    y = torch.tensor([0.4, -0.3, 0.2, 1.5], dtype=D)
    n = 20_000
    size = 8
    source = torch.Generator().manual_seed(0)
    real = torch.tensor([0.0, 2.0], dtype=D) + 0.7 * torch.randn(n, size, 2, generator=source, dtype=D)
    latent = torch.randn(n, size, 2, generator=source, dtype=D)
    whole = odegan.Batch(real.flatten(0, 1), latent.flatten(0, 1))
    plain = odegan.vector_field(game)

    def pushed(made, batch):
        return odegan.vector_field(game, [made])(0.0, y, batch) - plain(0.0, y, batch)

    exact = pushed(penalties.jare(1.0), whole)
    made = penalties.jare(1.0, 4, unbiased)
    each = torch.vmap(lambda r, z: pushed(made, odegan.Batch(r, z)))(real, latent)
    off = (each.mean(0) - exact).abs()
    error = each.std(0) / n**0.5
    if unbiased:
        assert (off < 4 * error).all()
    else:
        assert (off > 10 * error).any()


# Drift cancellation on networks, where the losses are not polynomials and each switch matters.
def test_drift_cancellation_of_a_network_is_second_order():
    game = odegan.gan(*networks())
    batch = draw()
    y0 = game.init()
    run = {"data": lambda n, g: batch[0], "latent": lambda n, g: batch[1], "batch_size": 8, "refresh": math.inf}
    t = torch.tensor([0.0, 4.0], dtype=D)
    exact = odegan.odeint_gan(game, y0, t, solver="dopri5", rtol=1e-11, atol=1e-12, **run).y

    def order(*made):
        errors = []
        for h in (0.2, 0.1):
            penalized = [part(h) for part in made]
            found = odegan.odeint_gan(game, y0, t, solver="euler", step_size=h, penalties=penalized, **run).y
            errors.append((found - exact).norm().item())
        return math.log2(errors[0] / errors[1])

    own = lambda h: penalties.drift_cancellation(h, interaction=False)  # noqa: E731
    other = lambda h: penalties.drift_cancellation(h, self_terms=False)  # noqa: E731
    assert order() == pytest.approx(1, abs=0.1)
    assert order(penalties.drift_cancellation) == pytest.approx(2, abs=0.1)
    assert order(own, other) == pytest.approx(2, abs=0.1)  # the two switches add up to the whole
    assert order(own) == pytest.approx(1, abs=0.2)
    assert order(other) == pytest.approx(1, abs=0.2)


# Whole runs as ensembles: every stage, placement and schedule, not only one evaluation of the field.
MADE = {
    "jare": penalties.jare(0.5),
    "jare unbiased": penalties.jare(0.5, chunks=4, unbiased=True),
    "consensus": penalties.consensus(0.2),
    "reg": penalties.reg(0.5, "disc", "joint"),
    "r1": penalties.r1(lambda t: 0.5 + t),
    "r2": penalties.r2(0.5),
    "wgan_gp": penalties.wgan_gp(0.5, 0.0),
    "closed_loop": penalties.closed_loop(lambda t: 0.5 + t, "loss", 2),
    "truncation_error": penalties.truncation_error(0.5, 1.0),
    "generator_gradient": penalties.generator_gradient(0.5),
    "drift_cancellation": penalties.drift_cancellation(0.1),
}


def test_every_penalty_runs_as_an_ensemble():
    assert {name.split()[0] for name in MADE} == set(penalties.names())


@pytest.mark.parametrize("placement", ["field", "after_step"])
@pytest.mark.parametrize("name", MADE)
def test_ensembles_are_single_runs(name, placement):
    game = odegan.gan(*networks())
    run = {"data": draw(64)[0], "latent": 3, "batch_size": 8, "solver": "heun2", "step_size": 0.1}
    run |= {"placement": placement, "penalties": [MADE[name]]}
    y0 = torch.stack([game.init(seed=s) for s in range(2)])
    span = [0.0, 0.4]
    together = odegan.odeint_gan(game, y0, span, seed=[3, 8], **run)
    alone = torch.stack([odegan.odeint_gan(game, y0[e], span, seed=s, **run).y for e, s in enumerate((3, 8))])
    torch.testing.assert_close(together.y, alone, rtol=0, atol=1e-12)
    plain = odegan.odeint_gan(game, y0, span, seed=[3, 8], **run | {"penalties": []})
    assert (together.y - plain.y).norm(dim=-1).min() > 1e-6


# One game that is small and large at once: the same networks, padded with parameters that the losses see through a square.
def test_matrix_free_is_dense_on_a_game_of_more_than_100_000_parameters():
    """The field of the network, and beside it one y' = -c y, whose eigenvalues are known: all of the large game's are."""
    network = odegan.gan(*networks(width=6))
    batch = draw()
    extra = 100_000
    curvature = torch.linspace(1e-3, 0.2, extra, dtype=D)
    large = odegan.Game(
        lambda d, g, b: network.disc_loss(d[: network.n_disc], g, b) + (curvature * d[network.n_disc :] ** 2).sum() / 2,
        lambda d, g, b: network.gen_loss(d[: network.n_disc], g, b),
        network.n_disc + extra,
        network.n_gen,
    )
    small = 20 * network.init()
    theta_d, theta_g = network.split(small)
    y = torch.cat([theta_d, torch.ones(extra, dtype=D), theta_g])
    dense = odegan.spectrum(network, small, batch).eigenvalues
    known = dense[dense.abs() > 0.21][:3]
    assert len(known) >= 2
    found = odegan.spectrum(large, y, batch, k=6)
    assert large.n_params > 100_000
    for value in known:
        assert min(abs(found.eigenvalues - value).min(), abs(found.eigenvalues - value.conj()).min()) < 1e-7 * abs(
            value
        )


def test_spectra_follow_a_run_with_its_penalties_and_batches():
    game = odegan.gan(*networks())
    made = [penalties.jare(0.5)]
    batches = [draw(seed=s) for s in range(3)]
    run = {"data": draw(64)[0], "latent": 3, "batch_size": 8, "solver": "euler", "step_size": 0.1, "penalties": made}
    ys = odegan.odeint_gan(game, game.init(), [0.0, 0.2, 0.4], **run).ys
    found = odegan.spectra(game, ys, batches, penalties=made)
    for y, batch, one in zip(ys, batches, found, strict=True):
        field = odegan.vector_field(game, made)
        jacobian = torch.autograd.functional.jacobian(lambda y, batch=batch, field=field: field(0.0, y, batch), y)
        expected = torch.linalg.eigvals(jacobian).abs().sort(descending=True).values
        torch.testing.assert_close(one.eigenvalues.abs().sort(descending=True).values[:8], expected[:8])
    assert abs(found[0].eigenvalues[0] - found[2].eigenvalues[0]) > 1e-6


def test_truncation_error_for_both_is_that_of_one_and_the_other():
    game = smooth_game()
    y = torch.tensor([0.7, -0.4, 0.3, 0.9], dtype=D)

    def field(*players):
        return odegan.vector_field(game, [penalties.truncation_error(0.8, 0.5, player=p) for p in players])(0.0, y)

    torch.testing.assert_close(field("disc", "gen"), field("both"))
    assert (field("both") - field()).abs().min() > 1e-4


# On every experiment's command line.
def test_penalty_is_an_option_of_every_experiment():
    pytest.importorskip("tyro")
    from experiments.digits.options import Digits
    from experiments.dirac.options import Dirac
    from experiments.gaussian.options import Gaussian
    from experiments.mog16.options import Mog16
    from experiments.rotational.options import Rotational
    from experiments.step_size.options import StepSize

    for options in (Digits, Dirac, Gaussian, Mog16, Rotational, StepSize):
        made = options(penalty=("jare:10", "generator_gradient:0.5")).chosen_penalties()
        assert [str(one) for one in made] == [str(penalties.jare(10.0)), str(penalties.generator_gradient(0.5))]
        assert options(penalty=("none",)).chosen_penalties() == []


COMMANDS = {  # experiment -> a column of its summary that two penalties must change
    "rotational": "measured b",
    "dirac": "eigenvalues",
    "gaussian": "conditioning factor",
    "mog16": "quality",
    "digits": "FID",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "mog16")) for n in COMMANDS])
def test_penalties_act_from_the_command_line(name, tmp_path, monkeypatch):
    pytest.importorskip("tyro")
    monkeypatch.chdir(tmp_path)  # where the digits keep their classifier
    module = importlib.import_module(f"experiments.{name}.experiment")

    def column(*switches):
        folder = tmp_path / "_".join(["run", *switches]).replace(":", "")
        assert module.main(["--quick", "--no-progress", "--output", str(folder), *switches]) == 0
        return [row[COMMANDS[name]] for row in json.loads((folder / "summary.json").read_text())]

    jare, consensus = ("jare:0.05", "consensus:0.005") if name == "digits" else ("jare:5", "consensus:0.5")
    one = column("--penalty", jare)
    both = column("--penalty", jare, "--penalty", consensus)
    assert both != one
    assert column("--penalty", "none") != one


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("rotational", "r1:1", "r1 needs a critic"),
        ("rotational", "jar:1", "did you mean 'jare'"),
        ("dirac", "jare:1,chunks=2", "nothing to divide"),
        ("dirac", "jare:-1", "weight: got -1"),
        ("gaussian", "closed_loop:1", "needs generated samples"),
        ("gaussian", "closed_loop", "of the form closed_loop:weight"),
    ],
)
def test_penalties_that_a_game_cannot_have_end_in_one_line(name, text, words, tmp_path, capsys):
    pytest.importorskip("tyro")
    module = importlib.import_module(f"experiments.{name}.experiment")
    assert module.main(["--penalty", text, "--output", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
