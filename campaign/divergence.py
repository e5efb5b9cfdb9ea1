"""Runs whose field breaks at random times, on many random examples.

    python -m campaign.divergence --examples 100 --docs docs

Exit code 1, and a line for each, where one was not noticed, or something before it was lost.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from campaign.properties import examine_all

MODULES = {"divergence": "tests.invariants.test_properties_divergence"}


def main(argv: Sequence[str] | None = None) -> int:
    """Examine all of them; write the table."""
    return examine_all("divergence", MODULES, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
