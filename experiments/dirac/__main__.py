"""``python -m experiments.dirac``."""

import sys

from experiments.dirac.experiment import main

sys.exit(main())
