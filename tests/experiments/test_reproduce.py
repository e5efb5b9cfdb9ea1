"""make reproduce: its table is that of the published pages; it resumes, goes on after failures, and publishes."""

import json
import re
import shlex
import shutil
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("tyro")

from experiments.digits.options import Digits
from experiments.drift.options import DriftOptions
from experiments.edge.options import Edge
from experiments.framework import command_line
from experiments.framework.folder import Folder
from experiments.framework.options import Options
from experiments.framework.publishing import publish
from experiments.framework.results import load
from experiments.images import experiment as images
from experiments.mog16.options import Mog16
from experiments.reproduce import experiment as reproduce
from experiments.reproduce.commands import COMMANDS, FULL, Command
from experiments.reproduce.runs import Failed, Runs, state
from experiments.ring8.options import Ring8

RESULTS = Path(__file__).parents[2] / "docs" / "results"
UNPUBLISHED = {"ring8_full"}  # takes more than a day
BENCHMARKS = {"speed"}  # timings need a quiet machine: make bench


def test_the_table_is_that_of_the_published_pages():
    made = {page.stem: re.findall(r"^python -m (.*)$", page.read_text(), re.MULTILINE) for page in RESULTS.glob("*.md")}
    shown = {name: line for name, (line, *_) in made.items() if name not in BENCHMARKS and "reliability" not in name}
    assert shown.keys() | UNPUBLISHED == COMMANDS.keys() | FULL.keys()
    for name, line in shown.items():
        forms = [table[name].line().removeprefix("python -m ") for table in (COMMANDS, FULL) if name in table]
        assert line in forms


def test_the_default_form_takes_two_hours_and_its_longest_come_first():
    assert sum(command.minutes for command in COMMANDS.values()) / 2 < 120
    assert not any("--minutes" in command.line() for command in COMMANDS.values())
    for table in (COMMANDS, FULL):
        minutes = [command.minutes for command in table.values()]
        assert minutes == sorted(minutes, reverse=True)


OPTIONS = {
    "mog16": Mog16,
    "digits": Digits,
    "drift": DriftOptions,
    "edge": Edge,
    "ring8": Ring8,
}
RENAMED = {"drift_full"}  # in the table alone
UNDERSTOOD = [
    (page, table, OPTIONS.get(name, images.Command))
    for table in (COMMANDS, FULL)
    for page, (name, *_) in ((page, command.experiment.split()) for page, command in table.items())
    if (name in OPTIONS or name == "images") and page not in RENAMED
]


@pytest.mark.parametrize("page, table, options", UNDERSTOOD)
def test_commands_are_understood(page, table, options):
    _, _, module, *arguments = shlex.split(table[page].line())
    found = command_line.parse(options, module, "", arguments)
    assert found.name(module.removeprefix("experiments.")) == page


@pytest.mark.slow
def test_runs_resumes_and_names_what_failed(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(
        reproduce, "COMMANDS", {"spiral": Command("rotational"), "wrong": Command("rotational --seed none")}
    )
    arguments = ["--only", "spiral", "wrong", "--quick", "--output", str(tmp_path), "--docs", str(tmp_path / "docs")]

    good = [word for word in arguments if word != "wrong"]
    assert reproduce.main(arguments) == 1
    printed = capfd.readouterr()
    assert re.search(r"0:00:\d\d  \d of 2  spiral: 0:00:\d\d, 0:00:\d\d of a processor\n", printed.out)
    assert printed.err == f"wrong: exit code 2, see {tmp_path / 'wrong'}.log\n"
    assert "--seed" in (tmp_path / "wrong.log").read_text()
    table = (tmp_path / "docs/results/spiral.md").read_text()

    # Finished: published again from what is there, and not run again.
    before = (tmp_path / "spiral/config.json").read_text()
    shutil.rmtree(tmp_path / "docs")
    assert reproduce.main(good) == 0
    assert "1 of 1  spiral: finished before" in capfd.readouterr().out
    assert (tmp_path / "docs/results/spiral.md").read_text() == table
    assert (tmp_path / "spiral/config.json").read_text() == before

    # Begun: goes on.
    (tmp_path / "spiral/summary.json").unlink()
    assert reproduce.main(good) == 0
    assert "--resume" in json.loads((tmp_path / "spiral/config.json").read_text())["command"]
    assert (tmp_path / "docs/results/spiral.md").read_text() == table


def test_an_interruption_reaches_what_runs(tmp_path):
    runs = Runs(tmp_path, docs=None)
    command = COMMANDS["vanishing_step"]
    raised = []

    def play():
        try:
            runs("vanishing_step", command)
        except Failed as error:
            raised.append(str(error))

    thread = threading.Thread(target=play)
    thread.start()
    while not runs._running:
        time.sleep(0.01)
    time.sleep(1)
    runs.end()
    thread.join(timeout=120)
    for process in list(runs._running):
        process.kill()  # which a test that fails must not leave behind
    assert raised
    (said,) = raised
    assert said.startswith("vanishing_step: exit code")
    with pytest.raises(Failed, match="exit code 130"):
        runs("vanishing_step", command)


def folder(path, command):
    return Folder.open(Options(output=path), "given", f"python -m experiments.{command}")


def test_state_is_that_of_the_same_command(tmp_path):
    run = folder(tmp_path, "given --full --resume --output somewhere")
    assert state(tmp_path, "python -m experiments.given --full") == "new"
    run.log({"run": "a"})
    assert state(tmp_path, "python -m experiments.given --full") == "begun"
    run.finish([{"a": 1}])
    assert state(tmp_path, "python -m experiments.given --full") == "finished"
    assert state(tmp_path, "python -m experiments.given") == "new"


def test_publishing_keeps_pairs_infinities_facts_and_further_tables(tmp_path):
    run = folder(tmp_path / "run", "given")
    run.facts["farthest"] = 1.00289
    run.tables["More"] = [{"x": 1}, {"x": (2.0, 0.5)}]
    for name in ("shown", "hidden"):
        run.own(f"figures/{name}.png").write_text(name)
    run.finish([{"a": float("inf"), "b": (1.25, 0.5), "c": (float("nan"), float("nan")), "d": float("nan"), "e": 2.0}])
    assert (tmp_path / "run/summary.md").read_text().splitlines()[2] == "| inf | 1.25 ± 0.5 | - | - | 2 |"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text("![](figures/given_shown.png)")
    publish(tmp_path / "run", tmp_path / "docs")
    publish(tmp_path / "run", tmp_path / "docs", "another")
    assert load(tmp_path / "docs/results/another.json").name == "another"
    assert [path.name for path in (tmp_path / "docs/figures").iterdir()] == ["given_shown.png"]
    found = load(tmp_path / "docs/results/given.json")
    assert found.tables[0].rows == [{"a": "inf", "b": {"mean": 1.25, "deviation": 0.5}, "c": None, "d": None, "e": 2.0}]
    assert (found.tables[1].title, found.tables[1].rows[0]) == ("More", {"x": 1})
    assert found.tables[2].rows == [{"fact": "farthest", "measured": 1.00289}]
    assert (found.made_with["seed"], found.made_with["device"]) == (0, "cpu")
    assert (tmp_path / "docs/results/given.md").read_text().splitlines()[-14:] == [
        "| a | b | c | d | e |",
        "| --- | --- | --- | --- | --- |",
        "| inf | 1.25 ± 0.5 | - | - | 2 |",
        "",
        "## More",
        "",
        "| x |",
        "| --- |",
        "| 1 |",
        "| 2 ± 0.5 |",
        "",
        "| fact | measured |",
        "| --- | --- |",
        "| farthest | 1.003 |",
    ]


def test_a_page_of_the_full_form_is_kept(tmp_path):
    full = Command("given", "--full")
    folder(tmp_path / "given", "given --full").finish([{"a": 1}])
    assert Runs(tmp_path, tmp_path / "docs")("given", full) == "finished before"
    page = tmp_path / "docs/results/given.md"
    page.write_text("as it was")
    assert "not published" in Runs(tmp_path, tmp_path / "docs", kept={"given": full})("given", full)
    assert page.read_text() == "as it was"
    assert Runs(tmp_path, tmp_path / "docs", kept={"given": Command("given")})("given", full) == "finished before"
    assert page.read_text() != "as it was"


@pytest.mark.parametrize(
    "wrong, said", [(["--only", "mog17"], "only: got 'mog17'.*did you mean"), (["--workers", "0"], "workers: got 0")]
)
def test_wrong_options(wrong, said, capsys):
    assert reproduce.main(wrong) == 2
    assert re.search(said, capsys.readouterr().err)
