"""``python -m experiments.dual_flow``."""

import sys

from experiments.dual_flow.experiment import main

sys.exit(main())
