"""Exported generators give the samples of the game when they are loaded back, in every format."""

from __future__ import annotations

import json
import re

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import odegan
from odegan import export, nets
from odegan.export import portable

SIDE = 8
LATENT = 4


def plain() -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(nn.Linear(LATENT, SIDE * SIDE), nn.Tanh(), nn.Unflatten(1, (1, SIDE, SIDE)))
    return generator, critic()


def critic() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 1))


def spectral() -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(
        spectral_norm(nn.Linear(LATENT, 6)), nn.ReLU(), nn.Linear(6, SIDE * SIDE), nn.Unflatten(1, (1, SIDE, SIDE))
    )
    return generator, critic()


def normed() -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(
        nn.Unflatten(1, (LATENT, 1, 1)),
        nn.ConvTranspose2d(LATENT, 3, 4),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        spectral_norm(nn.ConvTranspose2d(3, 1, 4, 2, 1)),
    )
    return generator, critic()


def conditional() -> tuple[nn.Module, nn.Module]:
    return nets.conditional.Generator(latent=LATENT, classes=3, width=2), nets.conditional.Discriminator(
        classes=3, width=2
    )


PAIRS = {"plain": plain, "spectral": spectral, "normed": normed, "conditional": conditional}


def trained(name: str) -> tuple[odegan.Game, torch.Tensor, list[odegan.Batch] | None]:
    """A game, a state away from its start, and the minibatches that its batch norms need."""
    torch.manual_seed(0)
    game = odegan.gan(*PAIRS[name](), latent=LATENT)
    y = game.init()
    y = y + 0.1 * torch.randn_like(y)
    if name in ("plain", "spectral"):
        return game, y, None
    size = game.sample(y, 1).shape[1:]
    label = torch.arange(12) % 3 if name == "conditional" else None
    return game, y, [odegan.Batch(torch.randn(12, *size), torch.randn(12, LATENT), label) for _ in range(3)]


def given(name: str, n: int) -> tuple[torch.Tensor, ...]:
    latent = torch.randn(n, LATENT, generator=torch.Generator().manual_seed(1))
    return (latent, torch.arange(n) % 3) if name == "conditional" else (latent,)


@torch.no_grad()
def expected(name: str, n: int) -> torch.Tensor:
    game, y, batches = trained(name)
    return game.modules(y, batches)[0].eval()(*given(name, n))


@pytest.mark.parametrize("name", PAIRS)
def test_a_state_dict_goes_into_the_original_class(name):
    game, y, batches = trained(name)
    made = game.modules(y, batches)
    for module, exported in zip(PAIRS[name](), made, strict=True):
        module.load_state_dict(exported.state_dict())  # strict
        ours = module.eval().state_dict()
        theirs = exported.state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert torch.equal(expected(name, 5), made[0].eval()(*given(name, 5)).detach())


@pytest.mark.parametrize("name", PAIRS)
def test_a_program_runs_without_the_class(name, tmp_path):
    game, y, batches = trained(name)
    torch.export.save(export.program(game, y, batches), tmp_path / "generator.pt2")
    loaded = torch.export.load(tmp_path / "generator.pt2").module()
    for n in (1, 2, 7):
        torch.testing.assert_close(loaded(*given(name, n)), expected(name, n), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_onnx_gives_the_same_samples(name, tmp_path):
    game, y, batches = trained(name)
    export.onnx(game, y, tmp_path / "generator.onnx", batches)
    session = onnxruntime.InferenceSession(tmp_path / "generator.onnx")
    assert {one.shape[0] for one in [*session.get_inputs(), *session.get_outputs()]} == {"batch"}
    for n in (1, 5):
        inputs = dict(zip(("latent", "label"), (x.numpy() for x in given(name, n)), strict=False))
        (found,) = session.run(["sample"], inputs)
        np.testing.assert_allclose(found, expected(name, n).numpy(), rtol=1e-4, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["generator.onnx"]  # weights within


def test_double_precision_is_kept_but_for_onnx(tmp_path):
    torch.manual_seed(0)
    game = odegan.gan(*(module.double() for module in spectral()), latent=LATENT)
    latent = given("plain", 3)[0]
    found = export.program(game, game.init()).module()(latent.double())
    torch.testing.assert_close(
        found, game.modules(game.init())[0].eval()(latent.double()).detach(), rtol=1e-12, atol=1e-13
    )
    export.onnx(game, game.init(), tmp_path / "generator.onnx")
    (single,) = onnxruntime.InferenceSession(tmp_path / "generator.onnx").run(None, {"latent": latent.numpy()})
    np.testing.assert_allclose(single, found.numpy(), rtol=1e-4, atol=1e-5)


def run(block: str, names: dict) -> dict:
    exec(compile(block, "card", "exec"), names)
    return names


@pytest.mark.parametrize("name", ["normed", "conditional"])
def test_a_folder_is_ready_for_a_hub_and_its_card_is_true(name, tmp_path, monkeypatch):
    game, y, batches = trained(name)
    details = {"license": "mit", "datasets": ["zalando-datasets/fashion_mnist"]}
    made = export.folder(
        game, y, tmp_path / "model", title="Clothes", batches=iter(batches), text="Trained by Heun's method.",
        scores={"FID": 12.3456}, metadata=details, n=9,
    )  # fmt: skip
    files = {"README.md", "config.json", "generator.onnx", "generator.pt", "generator.pt2", "samples.png"}
    assert {path.name for path in made.iterdir()} == files
    _, header, text = (made / "README.md").read_text().split("---\n", 2)
    known = yaml.safe_load(header)
    assert known["library_name"] == "odegan"
    assert details.items() <= known.items()
    assert ("pipeline_tag" in known) == (name == "normed")
    assert "# Clothes" in text
    assert "| FID | 12.35 |" in text
    assert "![samples](samples.png)" in text
    facts = json.loads((made / "config.json").read_text())
    assert facts["latent"] == [LATENT]
    assert facts["classes"] == (3 if name == "conditional" else None)
    assert facts["sample"] == list(expected(name, 1).shape[1:])
    monkeypatch.chdir(made)
    own, program, onnx = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    generator, _ = PAIRS[name]()
    run(own, {"generator": generator})
    torch.testing.assert_close(generator.eval()(*given(name, 3)).detach(), expected(name, 3))
    found = run(program, {})
    torch.testing.assert_close(found["generator"](*given(name, 3)), expected(name, 3), rtol=1e-5, atol=1e-6)
    assert found["samples"].shape == run(onnx, {})["samples"].shape == (16, *facts["sample"])


LATENTS = {
    "normal": LATENT,
    "uniform": lambda n, draw: torch.rand(n, LATENT, generator=draw),
    "whole numbers": lambda n, draw: torch.randint(3, (n, LATENT), generator=draw),
}


class Flat(nn.Module):
    """A generator of latents of any type."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(LATENT, 3)

    def forward(self, z):
        return self.out(z.to(self.out.weight.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("latent", LATENTS.values(), ids=LATENTS)
def test_the_cards_uses_draw_the_games_latents(latent, dtype, tmp_path, monkeypatch):
    torch.manual_seed(0)
    game = odegan.gan(Flat().to(dtype), nn.Linear(3, 1).to(dtype), latent=latent)
    made = export.folder(game, game.init(), tmp_path, title="Latents")
    text = (made / "README.md").read_text()
    assert ("standard normal" in text) == (not callable(latent))
    assert (made / "latents.npy").exists() == callable(latent)
    monkeypatch.chdir(made)
    _, program, onnx = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    generator = game.modules(game.init())[0]
    for block in (program, onnx):
        used = run(block, {})
        drawn = torch.as_tensor(used["latent"])
        assert drawn.shape == (16, LATENT)
        found = torch.as_tensor(used["samples"])
        torch.testing.assert_close(found.double(), generator(drawn).detach().double(), rtol=1e-4, atol=1e-5)
        if callable(latent):
            expected = portable.inputs(game, 16, 0, game.init())[0]
            torch.testing.assert_close(drawn.double(), expected.double(), rtol=1e-6, atol=0)


def test_a_grid_has_a_row_a_class(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "odegan.plots.images.image_grid", lambda images, columns: seen.update(images=images, columns=columns)
    )
    monkeypatch.setattr("odegan.export.hub_folder.has_onnx", lambda: False)
    game, y, batches = trained("conditional")
    with pytest.raises(AttributeError, match="savefig"):  # the stand-in draws nothing
        export.folder(game, y, tmp_path, title="Clothes", batches=batches, n=12)
    latent, _ = portable.inputs(game, 12, 0, y)
    rows = torch.arange(3).repeat_interleave(4)
    generator = game.modules(y, batches)[0].eval()
    np.testing.assert_allclose(seen["images"], generator(latent, rows).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert seen["columns"] == 4


def test_samples_that_are_no_images(tmp_path, monkeypatch):
    monkeypatch.setattr("odegan.export.hub_folder.has_onnx", lambda: False)
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1))
    made = export.folder(game, game.init(), tmp_path, title="A mixture")
    assert {path.name for path in made.iterdir()} == {"README.md", "config.json", "generator.pt", "generator.pt2"}


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, z):
        return self.linear(z) if float(z.sum()) > 0 else -self.linear(z)


def untraceable():
    game = odegan.gan(Branches(), nn.Linear(2, 1), latent=3)
    export.program(game, game.init())


def unnormed():
    game, y, _ = trained("normed")
    export.program(game, y)


def without_onnx(monkeypatch):
    monkeypatch.setattr(portable, "has_onnx", lambda: False)
    game, y, _ = trained("plain")
    export.onnx(game, y, "generator.onnx")


WRONG = {
    "modules: bilinear was not made from modules": lambda: export.program(odegan.games.bilinear(), torch.zeros(2)),
    "game: got None; it must be an odegan.Game": lambda: export.program(None, torch.zeros(2)),
    "batches: got None; it must be minibatches (real, latent)": unnormed,
    "generator: torch.export cannot trace its forward pass": untraceable,
    "title: got ''": lambda: export.folder(*trained("plain")[:2], "folder", title=""),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_are_told_in_one_line(message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(odegan.ArgumentError) as told:
        WRONG[message]()
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)
    assert not any(tmp_path.iterdir())


def test_without_its_packages_onnx_says_how_to_get_them(monkeypatch):
    with pytest.raises(odegan.ArgumentError, match=r"pip install 'odegan\[export\]'"):
        without_onnx(monkeypatch)
