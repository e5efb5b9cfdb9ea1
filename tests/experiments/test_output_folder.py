"""What a run writes, keeps, replaces and resumes, and how it ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("tyro")

import odegan
from experiments.framework import runner
from experiments.framework.folder import Folder
from experiments.framework.options import Options
from odegan import ArgumentError, LostRankError, NonFiniteError, plots
from tests.experiments import tiny
from tests.experiments.tiny import Tiny, call, summary


def test_resume_refuses_other_options_and_names_them(tmp_path: Path, capsys) -> None:
    assert call(tmp_path / "run") == 0
    assert call(tmp_path / "run", "--resume", "--size", "3") == 2
    assert "size: got 3.0, but the run in" in capsys.readouterr().err
    assert call(tmp_path / "run", "--resume") == 0
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 1


def test_an_overwriting_run_replaces_its_own_files_and_no_others(tmp_path: Path, capsys) -> None:
    assert call(tmp_path / "run") == 0
    (tmp_path / "run/figures/mine.png").touch()
    stale = Folder(tmp_path / "run", "tiny", "").checkpoint("stale")
    stale.touch()
    assert call(tmp_path / "run", "--size", "3", "--overwrite") == 0
    assert summary(tmp_path / "run") == [{"run": "tiny", "size": 3.0}]
    assert (tmp_path / "run/figures/mine.png").exists()
    assert not stale.exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").touch()
    assert call(tmp_path / "other", "--overwrite") == 2
    assert "output: got" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("summary_is_there, said", [(True, "a finished run"), (False, "--resume continues")])
def test_a_run_is_replaced_only_when_asked(summary_is_there: bool, said: str, tmp_path: Path, capsys) -> None:
    assert call(tmp_path / "run") == 0
    if not summary_is_there:
        (tmp_path / "run/summary.json").unlink()
    capsys.readouterr()
    assert call(tmp_path / "run") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "--overwrite" in line


def test_default_folders(tmp_path: Path, monkeypatch, capsys) -> None:
    """The quick form has one of its own, in which a finished run may be replaced."""
    monkeypatch.chdir(tmp_path)
    assert [tiny.main("--quick"), tiny.main("--quick"), tiny.main()] == [0, 0, 0]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"tiny-quick", "tiny"}
    assert tiny.main() == 2
    (tmp_path / "runs/tiny-quick/summary.json").unlink()
    assert tiny.main("--quick") == 2
    printed = capsys.readouterr().out
    paths = re.findall(r"^\w+: (\S+)$", printed, re.MULTILINE)
    assert len(paths) == 6
    assert all(Path(path).exists() for path in paths)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), LostRankError("distributed: rank 0 of 2 has lost another rank")]
)
def test_a_full_disk_and_a_lost_process_are_one_line(error: Exception, tmp_path: Path, capsys) -> None:
    def run(options: Tiny, folder: Folder) -> list[dict]:
        raise error

    assert runner.main(Tiny, run, ["--output", str(tmp_path / "run")]) == 1
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert str(error) in said
    assert "--resume" in said


def test_what_a_full_disk_cuts_short_is_not_kept(tmp_path: Path, capsys, monkeypatch) -> None:
    assert call(tmp_path / "run") == 0
    before = (tmp_path / "run/summary.json").read_text()

    def full(path: Path, text: str) -> None:
        with path.open("w") as file:
            file.write(text[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert call(tmp_path / "run", "--resume") == 1
    assert "config.json' could not be written ([Errno 28] No space left on device)" in capsys.readouterr().err
    assert (tmp_path / "run/summary.json").read_text() == before
    assert list((tmp_path / "run").glob("*.part")) == []


def test_a_run_that_is_refused_at_its_start_leaves_the_earlier_one(tmp_path: Path) -> None:
    def refused(options: Tiny, folder: Folder) -> list[dict]:
        raise ArgumentError("data: got 'nowhere'; it must be an existing path")

    assert call(tmp_path / "run") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert runner.main(Tiny, refused, ["--output", str(tmp_path / "run"), "--quick"]) == 2
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_docs_get_figures_and_the_command(tmp_path: Path) -> None:
    assert call(tmp_path / "run", "--size", "2", "--docs", str(tmp_path / "docs")) == 0
    assert [path.name for path in (tmp_path / "docs/figures").iterdir()] == ["tiny_line.png"]
    page = (tmp_path / "docs/results/tiny.md").read_text()
    assert "tiny --quick --size 2\n" in page
    assert (tmp_path / "run/summary.md").read_text() in page


def test_metrics_are_json_whatever_the_numbers(tmp_path: Path) -> None:
    folder = Folder.open(Tiny(output=tmp_path / "run"), "tiny", "")
    folder.log({"step": 1, "values": torch.tensor([1.0, float("nan")]), "kl": float("inf")})
    assert (tmp_path / "run/metrics.jsonl").read_text() == '{"step": 1, "values": [1.0, null], "kl": null}\n'


def test_a_solution_that_cannot_go_on_ends_with_3(tmp_path: Path, capsys) -> None:
    def run(options: Tiny, folder: Folder) -> list[dict]:
        raise NonFiniteError("field: not finite at t = 2", None)  # type: ignore[arg-type]

    assert runner.main(Tiny, run, ["--output", str(tmp_path / "run")]) == 3
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith("diverged: field: not finite at t = 2")


@pytest.mark.parametrize("words, said", [(["--quick"], ["quick form"]), ([], [])])
def test_figures_of_quick_forms_say_so(words: list[str], said: list[str], tmp_path: Path, monkeypatch) -> None:
    saved = []
    monkeypatch.setattr(plots, "save", lambda figure, path: saved.append(figure))
    assert tiny.main(*words, "--no-progress", "--output", str(tmp_path / "run")) == 0
    assert [text.get_text() for figure in saved for text in figure.texts] == said


def test_options_need_a_quick_form() -> None:
    with pytest.raises(NotImplementedError):
        Options().quick_form()


@pytest.mark.parametrize("switch", ["--progress", "--no-progress"])
def test_without_progress_start_reports_and_end_stay(switch: str, tmp_path: Path, capsys) -> None:
    def run(options: Tiny, folder: Folder) -> list[dict]:
        def report(state: odegan.State, info: odegan.Info) -> None:
            folder.log({"run": "tiny", "step": state.aux["index"]})

        shown = "a solution" if options.progress else False
        start = torch.tensor([1.0, 0.0])
        odegan.odeint_gan(
            odegan.games.bilinear(), start, [0.0, 0.1], step_size=0.1, refresh=0.1, callback=report, progress=shown
        )
        return [{"run": "tiny", "size": options.size}]

    run.__module__ = tiny.__name__
    assert runner.main(Tiny, run, [switch, "--output", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    assert f"tiny: writing to {tmp_path / 'run'}" in printed.err
    assert "tiny: run tiny, step 1" in printed.err
    assert f"summary: {tmp_path / 'run/summary.md'}" in printed.out
    assert ("a solution" in printed.err) == (switch == "--progress")
