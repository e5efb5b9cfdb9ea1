"""``python -m experiments.vanishing_step``."""

import sys

from experiments.vanishing_step.experiment import main

sys.exit(main())
