"""``python -m experiments.images``."""

import sys

from experiments.images.experiment import main

sys.exit(main())
