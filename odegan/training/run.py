"""A run under way: the loop over refresh intervals that ``odeint_gan`` makes of a ``Stepper``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from odegan.data.minibatches import Minibatches
from odegan.training.callbacks import Ending, Hook, around
from odegan.training.solution import NonFiniteError, Solution, Statistics
from odegan.training.state import Info, State
from odegan.training.stepper import Stepper
from odegan.training.time_grid import Clock, plain
from odegan.utils import checkpoint
from odegan.utils.checks import ArgumentError

_OPEN = frozenset({"reported", "table", "replay", "proposed", "callbacks"})  # whose form a fresh run does not tell
_ENDINGS = ("", "stopped", "interrupted")  # the later wins where hooks or ranks differ
READ_EVERY = 64  # intervals between looks at the finiteness flags on a device whose reads wait for it


class Run:
    """The state of a run, its reports and statistics; ``solve`` brings it to its end."""

    def __init__(
        self,
        stepper: Stepper,
        y0: torch.Tensor,
        times: list[float],
        *,
        minibatches: Minibatches | None,
        hooks: Sequence[Hook],
        on_nonfinite: str,
        fingerprint: dict[str, Any],
    ) -> None:
        self.stepper, self.times, self.minibatches = stepper, times, minibatches
        self.hooks, self.on_nonfinite, self.fingerprint = hooks, on_nonfinite, fingerprint
        self.state = stepper.init(y0, times[0], minibatches.seeds if minibatches else 0)
        self.statistics = Statistics()
        self.reported = [y0]
        self.status, self.message = "running", ""
        self.stopped_at = torch.full(y0.shape[:-1], math.nan, dtype=torch.float64)
        self._unread: list[Info] = []
        self._asked: Ending | None = None

    def solve(self) -> Solution:
        """Step from interval to interval until the last time, or until something ends the run."""
        with around(self):
            while self.status == "running":
                ending = ("finished", "") if self.state.t >= self.times[-1] else self._advance()
                if ending is not None:
                    self.status, self.message = self._read() or ending
        return self.solution()

    def _advance(self) -> Ending | None:
        batch, position = self.batch(self.state.aux["index"]), len(self.reported)
        self.state, info, states = self.stepper.advance(self.state, batch, self.times[-1], (self.times, position))
        self.reported.extend(states)
        self._unread.append(info)
        ending = self._read() if self._time_to_read() else None
        asked = self.asked(info)
        return self.agreed(ending or asked)

    def asked(self, info: Info) -> Ending | None:
        """What the hooks say after an interval; Ctrl-C is heard above a callback."""
        endings = [ending for hook in self.hooks if (ending := hook.after(self, info))]
        return max(endings, key=lambda ending: _ENDINGS.index(ending[0]), default=None)

    def agreed(self, ending: Ending | None) -> Ending | None:
        """An ending that one rank asks for, as Ctrl-C may, is every rank's, and after the same interval."""
        ranks = self.stepper.arguments.ranks
        if ranks is None:
            return ending
        self._asked = self._asked or ending
        if not self._time_to_agree():
            return None
        code = ranks.largest(_ENDINGS.index(self._asked[0]) if self._asked else 0, self.state.y.device)
        return self._asked or ((_ENDINGS[code], f"{_ENDINGS[code]} by another rank") if code else None)

    def _time_to_agree(self) -> bool:
        free = self.state.y.device.type == "cpu"
        return free or self.state.aux["index"] % READ_EVERY == 0 or self.state.t >= self.times[-1]

    def batch(self, index: int) -> Any:
        """The interval's minibatch, or the list of its stages'."""
        if self.minibatches is None:
            return None
        arguments = self.stepper.arguments
        if arguments.refresh == "stage":
            return [self.minibatches(index * arguments.stages + i) for i in range(arguments.stages)]
        return self.minibatches(0 if arguments.refresh == math.inf else index)

    def _time_to_read(self) -> bool:
        free = self.state.y.device.type == "cpu"
        return free or len(self._unread) >= READ_EVERY or self.state.t >= self.times[-1]

    def _read(self) -> Ending | None:
        """Look at the finiteness flags of the intervals since the last look, and count their steps."""
        for info in self._unread:
            if self.ended_by_nonfinite():
                break
            kept = []
            for record in info.records:
                kept.append(record)
                if self.note_finite(record.t, record.finite):
                    break
            self.statistics.add(kept, info.nfe, info.rejected)
        self._unread.clear()
        if not self.ended_by_nonfinite():
            return None
        return "stopped", self.nonfinite_message()

    def note_finite(self, t: float, finite: torch.Tensor) -> bool:
        """Take down which members turned non-finite in the step from t; whether that ends the run."""
        if bool(finite.all()):
            return False
        new = ~finite.cpu() & self.stopped_at.isnan()
        self.stopped_at = torch.where(new, t, self.stopped_at)
        return self.ended_by_nonfinite()

    def ended_by_nonfinite(self) -> bool:
        """All members have turned non-finite; one is enough to raise, or where they share an adaptive step."""
        gone = ~self.stopped_at.isnan()
        shared = self.on_nonfinite == "raise" or self.stepper.arguments.solver.adaptive
        return bool(gone.any() if shared else gone.all())

    def nonfinite_message(self) -> str:
        """When, and who."""
        gone = (~self.stopped_at.isnan()).nonzero().flatten().tolist()
        when = f"the field turned non-finite in the step from t = {self.stopped_at[~self.stopped_at.isnan()].min():g}"
        return when + (f" (members {gone})" if self.stopped_at.ndim else "")

    def solution(self) -> Solution:
        """What was reached, as a Solution; raises NonFiniteError where that was asked for."""
        ended = self.ended_by_nonfinite()
        last = float(self.stopped_at[~self.stopped_at.isnan()].max()) if ended else self.state.t
        reached = [i for i, t in enumerate(self.times[: len(self.reported)]) if t <= last or not ended]
        ts = torch.tensor(self.times, dtype=torch.float64)[: len(reached)]
        ys = torch.stack(self.reported[: len(reached)])
        if ys.ndim == 3 and not self.stopped_at.isnan().all():
            gone = (ts[:, None] > self.stopped_at).to(ys.device)
            ys = torch.where(gone[..., None], math.nan, ys)
        stats = self.statistics.as_dict() | {"stopped_at": self._stopped_at(), "compiled": self.stepper.compiler.works}
        result = Solution(ts, ys, self.state.y, last, self.status, stats, self.message)
        if ended and self.on_nonfinite == "raise":
            raise NonFiniteError(
                f"{self.message}; {len(ts)} of {len(self.times)} reported states are in the error's .solution", result
            )
        return result

    def _stopped_at(self) -> Any:
        if self.stopped_at.isnan().all():
            return None
        return float(self.stopped_at) if self.stopped_at.ndim == 0 else self.stopped_at

    def payload(self) -> dict[str, Any]:
        """The run as plain data, for a checkpoint."""
        if self._unread:
            self._read()
        aux = dict(self.state.aux)
        clock = aux["clock"]
        aux["clock"] = (clock.anchor, clock.steps, plain(clock.h))
        statistics = self.statistics
        return {
            "t": self.state.t,
            "y": self.state.y.detach(),
            "aux": aux,
            "reported": torch.stack(self.reported).detach(),
            "statistics": {"nfe": statistics.nfe, "rejected": statistics.rejected, "table": statistics.table()},
            "status": self.status,
            "message": self.message,
            "stopped_at": self.stopped_at,
            "callbacks": [hook.state_dict() for hook in self._users()],
        }

    def restore(self, payload: dict[str, Any]) -> None:
        """Continue from ``payload``. A run that was finished or had turned non-finite stays ended; one that a callback or
        Ctrl-C stopped goes on, or starts again where it is one call of torchdiffeq.
        """
        checkpoint.check_form("it", payload, self.payload(), _OPEN)
        checkpoint.check_form("reported", payload["reported"][:0], torch.stack(self.reported)[:0])
        if payload["statistics"]["table"].shape[-1:] != self.statistics.table().shape[-1:]:
            raise ValueError("the statistics' table is of another form")
        self.stopped_at = payload["stopped_at"].cpu()
        ended = payload["status"] == "finished" or self.ended_by_nonfinite()
        if not ended and self.stepper.arguments.one_call(self.minibatches is not None):
            self.stopped_at.fill_(math.nan)
            return
        self.status, self.message = (payload["status"], payload["message"]) if ended else ("running", "")
        aux = payload["aux"] | {"clock": Clock(*payload["aux"]["clock"])}
        self.state = State(float(payload["t"]), payload["y"], aux)
        self.reported = list(payload["reported"])
        self.statistics.restore(**payload["statistics"])
        users, states = self._users(), payload["callbacks"]
        if len(users) != len(states):
            raise ArgumentError(
                f"callback: got {len(users)} with a state_dict, but the checkpoint was made with {len(states)}; they must be "
                "the same to resume"
            )
        for hook, kept in zip(users, states, strict=True):
            hook.load_state_dict(kept)

    def _users(self) -> list[Any]:
        """The user's callbacks that have a state of their own."""
        users = [getattr(hook, "callback", None) for hook in self.hooks]
        return [user for user in users if hasattr(user, "state_dict")]
