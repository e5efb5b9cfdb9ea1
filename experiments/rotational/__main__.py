"""``python -m experiments.rotational``."""

import sys

from experiments.rotational.experiment import main

sys.exit(main())
