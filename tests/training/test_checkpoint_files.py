"""Checkpoints as files: plain data, written atomically, and refused in one line when damaged."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import odegan
from campaign import checkpoints as campaign
from odegan import ArgumentError, ExponentialAverage
from odegan.utils import checkpoint
from tests.training.checkpoint_cases import run

torch.set_num_threads(1)


def test_the_file_is_plain_data(tmp_path):
    path = tmp_path / "run.pt"
    numbers = {"step_size": np.float64(0.1), "rates": (np.float32(1.0), np.int64(1)), "seed": np.int64(3)}
    solution = run(solver="adam", checkpoint=str(path), callback=ExponentialAverage(), **numbers)
    payload = torch.load(path, weights_only=True)
    assert torch.equal(payload["y"], solution.y)
    assert payload["arguments"]["seed"] == 3
    assert payload["arguments"]["rates"] == ["float32 1.0", 1]


def test_two_that_write_one_file_do_not_tear_it(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    save = torch.save

    def second(payload, file):
        monkeypatch.setattr(torch, "save", save)
        checkpoint.save(path, {"y": torch.zeros(2)})
        save(payload, file)

    monkeypatch.setattr(torch, "save", second)
    checkpoint.save(path, {"y": torch.ones(2)})
    assert torch.equal(checkpoint.load(path)["y"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_what_a_killed_writer_left_goes_and_nothing_of_the_users(tmp_path):
    """Unfinished files of this checkpoint are removed where a run takes it up; none else, and no link is followed."""
    kept = ["run.pt.part", ".run.pt.part", ".other.pt.0123456789abcdef.part", ".run.pt.backup"]
    for name in [*kept, ".run.pt.0123456789abcdef.part"]:
        (tmp_path / name).write_bytes(b"x" * 1000)
    (tmp_path / ".run.pt.fedcba9876543210.part").symlink_to(tmp_path / "run.pt.part")
    run(checkpoint=tmp_path / "run.pt")
    found = {file.name for file in tmp_path.iterdir()}
    assert found == {"run.pt", *kept, ".run.pt.fedcba9876543210.part"}
    assert all((tmp_path / name).read_bytes() == b"x" * 1000 for name in kept)


def test_a_link_and_a_mode_are_kept(tmp_path):
    real = tmp_path / "store" / "run.pt"
    path = tmp_path / "run.pt"
    real.parent.mkdir()
    checkpoint.save(real, {"y": torch.zeros(2)})
    real.chmod(0o640)
    path.symlink_to(real)
    checkpoint.save(path, {"y": torch.ones(2)})
    assert path.is_symlink()
    assert torch.equal(checkpoint.load(real)["y"], torch.ones(2))
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_failing_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    checkpoint.save(path, {"y": torch.ones(2)})
    kept = path.read_bytes()

    def half(payload, file):
        file.write(kept[: len(kept) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, {"y": torch.zeros(2)})
    assert path.read_bytes() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize(
    "write, shown",
    [
        (lambda path: path.write_bytes(b"garbage"), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: torch.save({"odegan_checkpoint": 0}, path), "version 0"),
        (lambda path: torch.save([1], path), "version None"),
    ],
    ids=["garbage", "empty", "folder", "version", "foreign"],
)
def test_a_wrong_file_is_refused(tmp_path, write, shown):
    write(tmp_path / "run.pt")
    with pytest.raises(ArgumentError, match=f"^checkpoint: got .*run.pt.*{shown}.*odegan checkpoint") as error:
        run(checkpoint=tmp_path / "run.pt")
    assert "\n" not in str(error.value)


def test_a_damaged_list_of_what_could_not_be_read_is_called_so(tmp_path):
    path = tmp_path / "run.pt"
    run(checkpoint=path)
    checkpoint.save(path, checkpoint.load(path) | {"unread": {"x": 1}})
    with pytest.raises(
        ArgumentError, match=r"^checkpoint: got .*run.pt', in which something is missing or wrong \(unread"
    ):
        run(checkpoint=path)


def test_a_flipped_byte_is_noticed(tmp_path):
    """torch itself compares no checksums."""
    path = tmp_path / "run.pt"
    checkpoint.save(path, {"x": torch.zeros(1000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(odegan.ArgumentError, match="is damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.pop("arguments"),
        lambda p: p.pop("statistics"),
        lambda p: p["aux"].clear(),
        lambda p: p.update(t="x"),
        lambda p: p.update(y=p["y"][:-1]),
    ],
    ids=["no arguments", "no statistics", "no aux", "no time", "short y"],
)
def test_a_checkpoint_with_missing_parts_is_one_line(tmp_path, change):
    path = tmp_path / "run.pt"
    game = odegan.games.bilinear()

    def run(end):
        return odegan.odeint_gan(
            game,
            game.init(0),
            torch.tensor([0.0, 1.0]),
            solver="alternating",
            step_size=0.1,
            checkpoint=path,
            callback=end,
        )

    run(lambda state, info: state.t > 0.4)
    payload = checkpoint.load(path)
    change(payload)
    checkpoint.save(path, {k: v for k, v in payload.items() if k != "odegan_checkpoint"})
    with pytest.raises(odegan.ArgumentError, match=r"^(checkpoint|arguments|t|y): ") as error:
        run(lambda state, info: None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", campaign.FORMS)
@pytest.mark.parametrize("evil", campaign.EVIL)
def test_code_in_a_file_is_not_run(tmp_path, form, evil):
    """An incautious reader does run it: each file is read in that way afterwards."""
    path = tmp_path / "run.pt"
    canary = tmp_path / "canary"
    campaign.FORMS[form].write(path, campaign.EVIL[evil](canary))
    with pytest.raises(ArgumentError, match=r"^checkpoint: got .*run.pt.*cannot be read") as error:
        checkpoint.load(path)
    assert "\n" not in str(error.value)
    assert not canary.exists()
    campaign.FORMS[form].fire(path)
    assert canary.exists()


@pytest.mark.parametrize("kind", campaign.FOREIGN)
def test_a_foreign_file_or_version_is_refused(tmp_path, kind):
    path = tmp_path / "run.pt"
    campaign.FOREIGN[kind](path)
    with pytest.raises(ArgumentError, match=r"^checkpoint: got .*run.pt.*it must be an odegan checkpoint") as error:
        checkpoint.load(path)
    assert "\n" not in str(error.value)
    if version := re.fullmatch(r"version (-?\d+)", kind):
        assert f"of version {version[1]}; it must be an odegan checkpoint of version {checkpoint.VERSION}" in str(
            error.value
        )


def outcomes(folder, files):
    """What came of so many damaged files of each kind, and of each kind which they were."""
    found = list(campaign.damaged(folder, campaign.run(), files))
    assert len(found) == files * (len(campaign.DAMAGE) + 1)
    return found


def test_damage_is_refused_or_harmless(tmp_path):
    found = outcomes(tmp_path, 4)
    assert {outcome for _, outcome in found} <= {campaign.REFUSED, campaign.SAME}
    assert {outcome for kind, outcome in found if kind == "cut off"} == {campaign.REFUSED}


@pytest.mark.slow
def test_much_damage_is_refused_or_harmless(tmp_path):
    assert {outcome for _, outcome in outcomes(tmp_path, 400)} <= {campaign.REFUSED, campaign.SAME}


@pytest.mark.parametrize("version", range(1, checkpoint.VERSION + 1))
def test_a_file_of_every_version_resumes_or_is_refused_by_its_version(tmp_path, version):
    """Made by ``python -m campaign.checkpoints --fixture tests/utils/checkpoints`` when that version was the present one."""
    stored = Path(__file__).parents[1] / "utils" / "checkpoints" / f"checkpoint_version_{version}"
    path = shutil.copy(stored.with_suffix(".pt"), tmp_path / "run.pt")
    if version < checkpoint.VERSION:
        with pytest.raises(ArgumentError, match=f"of version {version}; .* of version {checkpoint.VERSION}"):
            campaign.run(path)
        return
    kept = checkpoint.load(path)
    assert (kept["aux"]["index"], kept["status"]) == (6, "stopped")
    resumed = campaign.run(path)
    assert resumed.stats["steps"] == 16
    expected = torch.tensor(json.loads(stored.with_suffix(".json").read_text())["ys"], dtype=torch.float64)
    torch.testing.assert_close(resumed.ys, expected, rtol=0, atol=1e-9)
