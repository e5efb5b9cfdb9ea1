"""``python -m experiments.dual_flow_scheme``."""

import sys

from experiments.dual_flow_scheme.experiment import main

sys.exit(main())
