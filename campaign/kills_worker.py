"""One process of a run that may be killed: python -m campaign.kills_worker CASE FOLDER RANK RENDEZVOUS.

Says "step CHECKPOINT INDEX SECONDS" after each refresh interval. Exit code 3: another process was lost.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from campaign.kills_cases import CASES
from odegan.utils.distributed import LostRankError

LOST = 3
PAUSE = 0.003  # seconds a step, so that there is time to be killed in
PATIENCE = timedelta(seconds=60)


def report(name: str) -> Callable[[Any, Any], None]:
    """The callback that tells of a run's steps, each at once and whole."""

    def callback(state: Any, info: Any) -> None:
        os.write(1, f"step {name} {state.aux['index']} {time.monotonic()}\n".encode())
        time.sleep(PAUSE)

    return callback


def main(name: str, folder: str, rank: str, rendezvous: str) -> int:
    """Run, or resume, a case."""
    torch.set_num_threads(1)
    case = CASES[name]
    if case.ranks > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=case.ranks, timeout=PATIENCE
        )
    try:
        case.run(Path(folder), report)
    except LostRankError as error:
        print(error, file=sys.stderr)
        return LOST
    if case.ranks > 1:
        dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
