"""What an analysis takes from the state alone: spectral norm's vectors, how many eigenvalues, a line of progress."""

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

import odegan
from odegan import games

torch.set_num_threads(1)
D = torch.float64


def spectral_pair(seed=0):
    torch.manual_seed(seed)
    generator = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 2))
    discriminator = nn.Sequential(spectral_norm(nn.Linear(2, 6)), nn.Softplus(), spectral_norm(nn.Linear(6, 1)))
    return generator.double(), discriminator.double()


GAME = odegan.gan(*spectral_pair())
SOURCE = torch.Generator().manual_seed(1)
BATCH = torch.randn(16, 2, generator=SOURCE, dtype=D) + 2, torch.randn(16, 2, generator=SOURCE, dtype=D)
FAR = 3 * torch.randn(GAME.n_params, generator=SOURCE, dtype=D)  # where u and v of construction are wrong


def by_hand(y, at):
    """The field at y with u and v the singular vectors of the weights at ``at``, from plain autograd."""
    named = GAME.discriminator.template.named_parameters()
    shapes = [p.shape for _, p in named] + [p.shape for p in spectral_pair()[0].parameters()]
    sizes = [shape.numel() for shape in shapes]

    def parts(state):
        return [part.view(shape) for part, shape in zip(state.split(sizes), shapes, strict=True)]

    b1, w1, b2, w2, g1, c1, g2, c2 = parts(y)
    sigmas = []
    for weight, frozen in ((w1, parts(at)[1]), (w2, parts(at)[3])):
        u, _, vh = torch.linalg.svd(frozen.detach())
        sigmas.append(u[:, 0] @ weight @ vh[0])

    def critic(x):
        return (softplus(x @ (w1 / sigmas[0]).T + b1) @ (w2 / sigmas[1]).T + b2).squeeze(-1)

    fake = torch.tanh(BATCH[1] @ g1.T + c1) @ g2.T + c2
    disc = softplus(-critic(BATCH[0])).mean() + softplus(critic(fake)).mean()
    gen = softplus(-critic(fake)).mean()
    n = GAME.n_disc
    grad_d = torch.autograd.grad(disc, y, create_graph=True)[0]
    grad_g = torch.autograd.grad(gen, y, create_graph=True)[0]
    return -torch.cat([grad_d[:n], grad_g[n:]])


@pytest.mark.parametrize("y", [GAME.init(), GAME.init(seed=3), FAR], ids=["given", "fresh", "far"])
def test_spectral_norms_vectors_are_those_of_the_state(y):
    expected = torch.linalg.eigvals(torch.autograd.functional.jacobian(lambda s: by_hand(s, y), y))
    largest = expected.abs().max()
    run_like = odegan.Batch(*BATCH, buffers=GAME.initial_buffers(y))
    for batch in (BATCH, odegan.Batch(*BATCH), run_like):
        found = odegan.spectrum(GAME, y, batch)
        torch.testing.assert_close(found.eigenvalues.abs().max(), largest, rtol=1e-5, atol=0)
        torch.testing.assert_close(found.eigenvalues.sum().real, expected.sum().real, rtol=1e-5, atol=1e-5)
    along = odegan.spectra(GAME, torch.stack([y, y]), [BATCH, BATCH])
    advice = odegan.advise(GAME, y, BATCH, solvers=["rk4"])
    for found in (*along, *advice.spectra):
        torch.testing.assert_close(found.eigenvalues.abs().max(), largest, rtol=1e-5, atol=0)


def test_the_path_sees_them_converged_at_each_point():
    start = GAME.init()
    found = odegan.path_angle(GAME, start, FAR, n=3, batch=BATCH)
    for position, norm in zip(found.positions, found.norms, strict=True):
        y = (start + position * (FAR - start)).requires_grad_()
        torch.testing.assert_close(norm, by_hand(y, y).norm(), rtol=1e-5, atol=0)


def test_vectors_in_the_batch_stay_as_they_are():
    elsewhere = odegan.Batch(*BATCH, buffers=GAME.initial_buffers(GAME.init()))
    expected = torch.linalg.eigvals(torch.autograd.functional.jacobian(lambda s: by_hand(s, GAME.init()), FAR))
    found = odegan.spectrum(GAME, FAR, elsewhere).eigenvalues
    torch.testing.assert_close(found.abs().max(), expected.abs().max(), rtol=1e-5, atol=0)


def test_the_same_under_inference_mode_and_no_grad():
    expected = odegan.spectrum(GAME, FAR, BATCH).eigenvalues
    angle = odegan.path_angle(GAME, GAME.init(), FAR, n=3, batch=BATCH)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            y = FAR.clone()
            batch = tuple(part.clone() for part in BATCH)
            torch.testing.assert_close(odegan.spectrum(GAME, y, batch).eigenvalues, expected)
            torch.testing.assert_close(odegan.spectra(GAME, y[None], [batch])[0].eigenvalues, expected)
            torch.testing.assert_close(odegan.advise(GAME, y, batch).spectra[0].eigenvalues, expected)
            again = odegan.path_angle(GAME, GAME.init(), y, n=3, batch=batch)
            torch.testing.assert_close(again.norms, angle.norms)


def decaying(n):
    return games.quadratic(-torch.diag(torch.arange(1.0, n + 1, dtype=D)))


@pytest.mark.parametrize(
    "n, k, count, partial, dense",
    [
        (500, None, 500, False, True),
        (501, None, 10, True, False),
        (40, 3, 3, True, True),
        (600, 600, 600, False, True),
        (600, 10_000, 600, False, True),
        (600, 300, 300, True, True),  # more vectors than half of the space has room for
    ],
)
def test_how_many_eigenvalues_and_from_what(n, k, count, partial, dense):
    found = odegan.spectrum(decaying(n), torch.zeros(n, dtype=D), k=k)
    assert (len(found.eigenvalues), found.partial, found.residuals is None) == (count, partial, dense)
    torch.testing.assert_close(found.eigenvalues.real, -torch.arange(n, n - count, -1, dtype=D))
    assert found.products == n or not dense


def test_the_advisor_chooses_k_and_says_so():
    n = 501
    advice = odegan.advise(decaying(n), torch.zeros(2, n, dtype=D), solvers=["euler"])
    assert advice["euler"].step == pytest.approx(2 / n, rel=1e-2)
    assert "of those computed, 10 a state" in str(advice)
    assert "largest residual of an eigenvalue: 0.0" in str(advice)
    closer = odegan.advise(decaying(n), torch.zeros(n, dtype=D), solvers=["euler"], accuracy=1e-6, k=2)
    assert closer["euler"].step == pytest.approx(2 / n, rel=1e-8)
    assert closer.spectra[0].residuals.max() <= 1e-6


@pytest.mark.parametrize("call", [odegan.spectrum, odegan.advise])
def test_a_line_of_progress(call, capsys, monkeypatch):
    y = torch.zeros(501, dtype=D)
    call(decaying(501), y, k=10)
    call(decaying(501), y, k=10, progress=False)
    assert capsys.readouterr().err == ""  # a few seconds pass before the line that nobody asked for
    call(decaying(501), y, k=10, progress="eigenvalues at the end")
    said = capsys.readouterr().err
    assert "eigenvalues at the end" in said
    assert "10 of 10 eigenvalues" in said
    assert "products" in said
    monkeypatch.setattr("odegan.analysis.progress.PATIENCE", 0.0)
    call(decaying(501), y, k=10)
    assert "10 of 10 eigenvalues" in capsys.readouterr().err
    with pytest.raises(odegan.ArgumentError, match=r"^progress: got 3; it must be True, False, .*$"):
        call(decaying(501), y, k=10, progress=3)


def test_a_batch_is_taken_in_the_precision_of_the_state():
    y = GAME.init()
    batch = odegan.Batch(*(part.float() for part in BATCH))
    exact = odegan.Batch(*(part.float().double() for part in BATCH))
    assert torch.equal(odegan.spectrum(GAME, y, batch).eigenvalues, odegan.spectrum(GAME, y, exact).eigenvalues)
    seen, wanted = (odegan.path_angle(GAME, y, FAR, n=3, batch=one).cosines for one in (batch, exact))
    assert torch.equal(seen, wanted)
