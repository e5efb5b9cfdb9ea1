"""The table of presets: what it says, what can be changed, and its page in the documentation."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from experiments.images import preset_page, presets
from experiments.images.experiment import main
from experiments.images.options import Overrides, Train
from experiments.images.preset import Preset
from experiments.images.presets import PRESETS
from odegan import ArgumentError, nets, penalties
from odegan.training.arguments import parse as parse_options
from odegan.training.combinations import check_combination

PAGE = Path(__file__).parents[2] / "docs" / "images.md"
PUBLIC = {"odegan-cifar10", *(f"jare-cifar10-{i}" for i in range(1, 7)), "clc-cifar10"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_possible(name):
    preset = presets.get(name)
    preset.check()
    check_combination(parse_options(**preset.keywords()), has_data=True, members=None)
    assert preset.size in (8, 32, 64, 128)
    assert preset.networks in nets.names()


@pytest.mark.parametrize("name", sorted(set(PRESETS) - PUBLIC))
def test_what_no_public_program_says_is_called_our_choice(name):
    assert "ur choice" in presets.get(name).remarks


def test_odegans_schedule():
    """0.01 up to step 500, 0.04 up to 400,000, then 0.02, of 1.2 million."""
    preset = presets.get("odegan-cifar10")
    h = preset.keywords()["step_size"]
    for step, size in {0: 0.01, 499: 0.01, 500: 0.04, 399_999: 0.04, 400_000: 0.02, 1_199_999: 0.02}.items():
        assert h(preset.time(step)) == size
    assert preset.time(preset.steps) == pytest.approx(500 * 0.01 + 399_500 * 0.04 + 800_000 * 0.02)
    assert preset.time(200) == pytest.approx(2.0)


def test_settings_of_the_public_programs():
    odegan = presets.get("odegan-cifar10")
    clc = presets.get("clc-cifar10")
    assert (odegan.placement, odegan.refresh, odegan.batch_size, odegan.latent) == ("first_stage", "stage", 64, 128)
    assert repr(odegan.keywords()["penalties"]) == repr([penalties.generator_gradient(0.02)])
    assert repr(clc.keywords()["penalties"]) == repr([penalties.closed_loop(10.0)])
    assert (clc.loss, clc.latent, clc.flip, clc.decay) == ("wasserstein", 256, True, 0.999)
    for i in range(1, 7):
        jare = presets.get(f"jare-cifar10-{i}")
        assert repr(jare.keywords()["penalties"]) == repr([penalties.jare(100.0)])
        assert jare.step_size == (1e-4,)
        assert jare.solver == ("rmsprop" if i == 4 else "adam")


def test_everything_in_a_preset_can_be_changed():
    free = {f.name for f in fields(Overrides)} - {"preset"}
    assert free == {f.name for f in fields(Preset)} - {"remarks"}


def test_changes():
    changed = Train(preset="odegan-cifar10", step_size=(0.1,), penalty=("none",), steps=7, flip=True).resolved()
    assert (changed.step_size, changed.change, changed.steps, changed.flip) == ((0.1,), (), 7, True)
    assert changed.keywords()["penalties"] == []
    assert changed.networks == "dcgan"
    assert Train(preset="odegan-cifar10").resolved() == presets.get("odegan-cifar10")


def test_another_kind_of_solver_brings_its_own_step_and_penalty():
    adam = Train(preset="odegan-cifar10", solver="adam").resolved()
    assert (adam.step_size, adam.change, adam.option) == ((2e-4,), (), ("betas=0.5,0.999",))
    assert (adam.penalty, adam.placement) == ((), "field")
    heun = Train(preset="odegan-cifar10", solver="heun2").resolved()
    assert (heun.step_size, heun.penalty) == ((0.01, 0.04, 0.02), ("generator_gradient:0.02",))
    jare = Train(preset="jare-cifar10-1", solver="rmsprop").resolved()
    assert (jare.step_size, jare.penalty) == ((1e-4,), ("jare:100",))
    assert Train(preset="jare-cifar10-1", solver="rk4").resolved().step_size == (0.02,)
    assert Train(preset="digits", solver="adam", step_size=(0.3,)).resolved().step_size == (0.3,)


@pytest.mark.parametrize(
    "change",
    [
        {"networks": "dcgan5"},
        {"steps": 0},
        {"step_size": (0.1, 0.2)},
        {"step_size": (-0.1,)},
        {"step_size": (0.1, 0.2), "change": (0,)},
        {"averages": ("exponental",)},
        {"crop": "middle"},
    ],
    ids=str,
)
def test_wrong_changes_are_one_line(change):
    with pytest.raises(ArgumentError, match="|".join(change)) as caught:
        Train(preset="digits", **change).resolved()
    assert "\n" not in str(caught.value)


def test_unknown_presets_are_refused():
    with pytest.raises(ArgumentError, match="did you mean 'digits'"):
        presets.get("digit")


def test_the_page_has_the_table_as_it_is():
    """To renew it: python -c 'from experiments.images import preset_page; print(preset_page.table())'."""
    between = re.search(r"<!-- presets -->\n(.*)\n<!-- /presets -->", PAGE.read_text(), re.DOTALL)
    assert between is not None
    assert between[1].strip() == preset_page.table()


def test_the_presets_are_listed(capsys):
    assert main(["presets"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed[1:]] == list(PRESETS)
    assert main(["presets", "digits"]) == 0
    assert "step_size = (0.4,)" in capsys.readouterr().out
    assert main(["presets", "digit"]) == 2
    assert "did you mean 'digits'" in capsys.readouterr().err
