"""``python -m experiments.ring8``."""

import sys

from experiments.ring8.experiment import main

sys.exit(main())
