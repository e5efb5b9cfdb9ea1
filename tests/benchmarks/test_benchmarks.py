"""The benchmarks run, and refuse peers that do not compute the same step."""

import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks import networks, problems, report
from benchmarks.rows import ROWS, penalties
from benchmarks.rows.result import Result
from benchmarks.side_by_side import Times, compared, ratio, same_outcome, verdict
from benchmarks.worker import Worker
from experiments.framework import results

SHORT = ["penalties"]


class Known:
    """A peer whose outcome is known."""

    def __init__(self, outcome):
        self._outcome = outcome

    def outcome(self):
        return self._outcome


def test_ratios_are_taken_pair_by_pair():
    a = Times([1.0, 2.0, 30.0], [1.0, 1.0, 1.0])
    b = Times([1.0, 1.0, 10.0], [2.0, 2.0, 2.0])
    assert ratio(a, b) == (2.0, 1.0, 3.0, 0.5)
    assert compared("row", "case", "what", a, b, 2.0)["met"] == "yes"
    assert compared("row", "case", "what", a, b, 2.5, at_least=True)["met"] == "no"
    assert verdict("row", "case", "what", 1.0, None)["met"] == "-"


def test_different_steps_are_refused():
    same_outcome({"a": Known([1.0, 2.0]), "b": Known([1.0, 2.0])})
    with pytest.raises(RuntimeError, match="b does not give the step of a"):
        same_outcome({"a": Known([1.0, 2.0]), "b": Known([1.0, 2.1])})


def test_peers_give_the_same_step():
    with Worker(1) as worker:
        peers = {
            "odegan": worker.add("peer_odegan:mog16", steps=1),
            "by hand": worker.add("peer_torch:mog16", steps=1),
        }
        same_outcome(peers)
        moved = np.asarray(peers["odegan"].outcome()) - problems.mog16().y0
        assert abs(moved).max() > 1e-3
        without = worker.add("peer_torch:mog16", steps=1, weight=0.0)
        with pytest.raises(RuntimeError, match="without the penalty"):
            same_outcome({"odegan": peers["odegan"], "without the penalty": without})


def test_lines_without_a_goal_are_not_drawn():
    line = {"row": "memory", "case": "a", "what": "b", "value": 1.0}
    drawn = report.goals_figure([line | {"goal": goal} for goal in ("at most 2", "-", None)])  # None: as read back
    assert len(drawn.axes[0].get_yticks()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("members", [0, 3])
def test_jax_gives_the_same_step(members):
    pytest.importorskip("jax")
    with Worker(1) as worker:
        odegan = worker.add("peer_odegan:mog16", steps=1, members=members)
        same_outcome({"odegan": odegan, "JAX": worker.add("peer_jax:mog16", steps=1, members=members)})


@pytest.mark.slow
def test_diffrax_solves_the_same_problem():
    pytest.importorskip("diffrax")
    with Worker(1) as worker:
        peers = {name: worker.add(f"peer_{name}:dopri5", tol=1e-5, end=0.2) for name in ("odegan", "diffrax")}
        same_outcome(peers, rtol=1e-2, atol=1e-3)
        assert peers["diffrax"].facts()["evaluations"] > 6


def test_an_error_in_a_worker_arrives():
    with Worker(1) as worker, pytest.raises(RuntimeError, match="no_such_case"):
        worker.add("peer_odegan:field", case="no_such_case")


def test_peak_memory_is_what_is_out_at_a_time():
    import torch

    def three_then_one():
        a = torch.ones(1000)
        b = a + 1
        del a
        return b + b

    assert 8000 <= networks.peak_memory(three_then_one) < 8100  # two at a time, and the constant 1
    assert networks.peak_memory(lambda: np.ones(10_000), arrays=True) >= 80_000


def test_quick_run_writes_all_it_says(tmp_path, capsys, monkeypatch):
    """Of the row's smaller networks and the two penalties that have a goal."""
    monkeypatch.setattr(penalties, "BATCHES", {"mog16": 512})
    monkeypatch.setattr(penalties.penalties, "names", lambda: list(penalties.GOALS))
    assert program.main([*SHORT, "--quick", "--docs", str(tmp_path)]) == 0
    found = results.load(tmp_path / "results/speed.json")
    goals, measurements = found.tables
    command, _, comment = found.command.partition("  # ")
    assert command == "python -m benchmarks penalties --quick"
    assert comment.startswith("load at the start: ")
    assert found.made_with["machine"]["cores"] >= 1
    assert {row["row"] for row in (*goals.rows, *measurements.rows)} == set(SHORT)
    assert all(row["ms"] > 0 for row in measurements.rows)
    assert {row["goal"] for row in goals.rows} == {"at most 2.2", "at most 3.6", "-"}
    page = (tmp_path / "results/speed.md").read_text()
    assert found.command in page
    assert goals.markdown() in page
    assert (tmp_path / "figures/speed_goals.png").stat().st_size > 10_000
    assert "generator_gradient" in capsys.readouterr().out


def test_rows_that_are_not_measured_again_stay(tmp_path):
    def measured(row, value):
        line = {"row": row, "case": "a", "what": "b", "goal": "-", "met": "-"}
        return Result([{"row": row, "case": "a", "peer": "c", "ms": value}], [line | {"value": value}])

    first = {"mog16": measured("mog16", 1.0), "memory": measured("memory", 2.0)}
    report.publish(tmp_path, first, {"load at the start": 0.1}, "python -m benchmarks mog16 memory --turn 2")
    for load in (0.5, 0.7):  # once more: nothing is left of the one before
        again = {"mog16": measured("mog16", load)}
        report.publish(tmp_path, again, {"load at the start": load}, "python -m benchmarks mog16")
    found = results.load(tmp_path / "results/speed.json")
    assert [(row["row"], row["ms"]) for row in found.tables[1].rows] == [("mog16", 0.7), ("memory", 2.0)]
    assert found.command.splitlines() == [
        "python -m benchmarks memory --turn 2  # load at the start: 0.1",
        "python -m benchmarks mog16  # load at the start: 0.7",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_quick_form_of_every_row(row, tmp_path):
    if row in ("mog16", "ensembles", "adaptive"):
        pytest.importorskip("diffrax")
    assert program.main([row, "--quick", "--docs", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    "argument, sentence", [("rows", "one of mog16"), ("--repetitions=0", ">= 1"), ("--turn=0", "number > 0")]
)
def test_wrong_arguments(argument, sentence, capsys):
    assert program.main([argument]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
