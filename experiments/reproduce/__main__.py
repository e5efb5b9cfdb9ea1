"""``python -m experiments.reproduce``."""

import sys

from experiments.reproduce.experiment import main

sys.exit(main())
