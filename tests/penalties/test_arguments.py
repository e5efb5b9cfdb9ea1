"""Penalties from the command line, and refusals in one line."""

import pytest
import torch

import odegan
from odegan import penalties
from tests.peers import draw, networks
from tests.penalties.penalty_cases import MAKERS, dirac


# Names, words and refusals.
@pytest.mark.parametrize(
    "text, expected",
    [
        ("jare:10", penalties.jare(10.0)),
        ("jare:10,chunks=4,unbiased=True", penalties.jare(10.0, 4, True)),
        ("consensus:2", penalties.consensus(2.0)),
        ("reg:10,player=gen,norm=opponent", penalties.reg(10.0, "gen", "opponent")),
        ("closed_loop:0.01,kind=abs,buffer=0", penalties.closed_loop(0.01, "abs", 0)),
        ("wgan_gp:10,center=0", penalties.wgan_gp(10.0, 0)),
        ("truncation_error:1e3,step_size=0.1,pair=bosh3", penalties.truncation_error(1e3, 0.1, "bosh3")),
        ("drift_cancellation:0.1,interaction=False", penalties.drift_cancellation(0.1, interaction=False)),
        ("truncation_error:1,step_size=0.1,player=gen", penalties.truncation_error(1.0, 0.1, player="gen")),
        ("truncation_error:1,rates=(1, 2),step_size=0.1", penalties.truncation_error(1.0, 0.1, rates=(1, 2))),
    ],
)
def test_command_line(text, expected):
    assert repr(penalties.parse(text)) == repr(expected)


@pytest.mark.parametrize(
    "text, words",
    [
        ("jar:10", "did you mean 'jare'"),
        ("jare", "jare:weight"),
        ("jare:10,chunk=4", "did you mean 'chunks'"),
        ("jare:10,4", "key=value"),
        ("r1:10,center=0", "takes a weight only"),
        ("reg:10,player=both", "player: got 'both'"),
        ("reg:1,norm=opponents", "did you mean 'opponent'"),
        ("closed_loop:1,kind=cube", "kind: got 'cube'"),
        ("closed_loop:1,buffer=-1", "buffer: got -1"),
        ("wgan_gp:1,center=one", "center: got 'one'"),
        ("truncation_error:1", "step_size"),
        ("truncation_error:1,step_size=0", "step_size: got 0"),
        ("truncation_error:1,step_size=0.1,pair=euler", "pair: got 'euler'"),
        ("drift_cancellation:0.1,self_terms=False,interaction=False", "self_terms, interaction"),
        ("jare:-1", "weight: got -1"),
    ],
)
def test_wrong_words_are_one_line(text, words):
    with pytest.raises(odegan.ArgumentError) as caught:
        penalties.parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["closed_loop square", "closed_loop abs", "r1", "r2", "wgan_gp"])
def test_games_without_a_critic_are_refused(name):
    with pytest.raises(odegan.ArgumentError, match=f"{name.split()[0]} needs a critic"):
        odegan.vector_field(odegan.games.bilinear(), [MAKERS[name](1.0)])


def test_games_without_samples_or_loss_are_refused():
    bare = odegan.Game(lambda d, g, b: d @ g, lambda d, g, b: -d @ g, 1, 1, critic=lambda d, x: x[:, 0] * d)
    for name in ("closed_loop abs", "r2", "wgan_gp"):
        with pytest.raises(odegan.ArgumentError, match="needs generated samples"):
            odegan.vector_field(bare, [MAKERS[name](1.0)])
    with pytest.raises(odegan.ArgumentError, match="needs a loss of logits"):
        odegan.vector_field(dirac(), [penalties.closed_loop(1.0, "loss", 0)])
    with pytest.raises(odegan.ArgumentError, match="batch: got None"):
        odegan.vector_field(bare, [penalties.r1(1.0)])(0.0, torch.ones(2))


@pytest.mark.parametrize("name, part", [("wgan_gp", "batch.noise"), ("closed_loop square", "batch.replay")])
def test_batches_without_what_is_read_are_refused(name, part):
    game = odegan.gan(*networks())
    with pytest.raises(odegan.ArgumentError, match=part):
        odegan.vector_field(game, [MAKERS[name](1.0)])(0.0, game.init(), draw(8))
