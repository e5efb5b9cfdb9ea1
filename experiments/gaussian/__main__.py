"""``python -m experiments.gaussian``."""

import sys

from experiments.gaussian.experiment import main

sys.exit(main())
