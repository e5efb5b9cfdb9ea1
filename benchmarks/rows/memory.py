"""Peak memory of a run with RK4 against the usual alternating Adam on the same networks."""

from __future__ import annotations

from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, verdict
from benchmarks.worker import Worker

CASES = ("digits", "dcgan32")
STATES = 2  # that RK4 may need more than Adam


def measure(settings: Settings) -> Result:
    """Everything that torch allocates from the networks' making to the end of three steps, data included."""
    lines = []
    verdicts = []
    for case in CASES:
        with Worker(1) as worker:
            common = {"case": case, "batch": 4 if settings.quick else 64}
            peaks = {}
            state = 0
            for name, factory, more in (
                ("Adam by hand", "peer_torch:training", {}),
                ("odegan RK4", "peer_odegan:training", {"solver": "rk4_classic"}),
                ("odegan Adam", "peer_odegan:training", {"solver": "adam"}),
            ):
                facts = worker.add("peaks:of_training", factory=factory, keywords=common | more).facts()
                peaks[name] = facts["bytes"]
                state = facts["state"]
                lines.append({"row": "memory", "case": case, "peer": name, "MB": peaks[name] / 1e6})
        extra = (peaks["odegan RK4"] - peaks["Adam by hand"]) / state
        note = f"a state is {state / 1e6:.3g} MB; {peaks['odegan RK4'] / peaks['Adam by hand']:.3g} times Adam's"
        verdicts.append(verdict("memory", case, "states that RK4 needs more than Adam", extra, STATES, note=note))
    return Result(lines, verdicts)
