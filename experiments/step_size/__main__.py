"""``python -m experiments.step_size``."""

import sys

from experiments.step_size.experiment import main

sys.exit(main())
