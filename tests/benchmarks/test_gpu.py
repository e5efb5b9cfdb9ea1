"""The benchmarks on a device: their table fits the peers, and a peer that fails leaves the others."""

import importlib
import inspect
import json

import pytest

from benchmarks.gpu import __main__ as program
from benchmarks.gpu import process
from benchmarks.gpu.rows import Peer, Ratio, Row, rows
from experiments.framework import results


@pytest.mark.parametrize("tiny", [False, True])
def test_every_row_names_its_peers(tiny):
    for row in rows("cuda", tiny).values():
        named = {*row.alike, *(name for ratio in row.ratios for name in (ratio.above, ratio.below))}
        assert named <= row.peers.keys()
        for peer in row.peers.values():
            module, function = peer.factory.split(":")
            if module == "peer_jax":
                pytest.importorskip("jax")
            factory = getattr(importlib.import_module(f"benchmarks.{module}"), function)
            inspect.signature(factory).bind(**peer.keywords)
            assert peer.keywords.get("device", "cuda") == "cuda"


def test_a_peer_that_fails_leaves_the_others():
    field = {"width": 5, "batch": 4}
    peers = {
        "broken": Peer("peer_odegan:connected_field", field | {"device": "nowhere"}),
        "whole": Peer("peer_odegan:connected_field", field),
    }
    row = Row("a case", "evaluations", peers, (Ratio("one over the other", "broken", "whole", 1.0),))
    with process.ExitStack() as stack:
        found, notes = process.prepared(row, process.workers("cpu", stack))
    assert found.keys() == {"whole"}
    assert notes["broken"].startswith("failed: ")
    lines = process.lines_of("a row", row, {}, notes)
    assert [line["note"].startswith("failed") for line in lines] == [True, False]
    assert process.verdicts_of("a row", row, {}) == []


@pytest.mark.slow
def test_a_row_from_end_to_end(tmp_path, capsys):
    argv = ["--device", "cpu", "--tiny", "--no-tests", "--rows", "spectrum", "--docs", str(tmp_path)]
    assert program.main(argv) == 0
    goals, measurements = results.load(tmp_path / "results/speed_gpu.json").tables
    assert [row["row"] for row in goals.rows] == ["spectrum"]
    assert all(row["ms"] > 0 for row in measurements.rows)
    assert json.dumps("spectrum") in capsys.readouterr().out
    assert goals.markdown() in (tmp_path / "results/speed_gpu.md").read_text()


@pytest.mark.parametrize("argument", [["--rows", "none"], ["--device", "abacus"]])
def test_wrong_arguments(argument, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(["--device", "cpu", *argument])
    assert ended.value.code == 2
    assert argument[1] in capsys.readouterr().err
