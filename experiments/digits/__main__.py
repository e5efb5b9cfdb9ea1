"""``python -m experiments.digits``."""

import sys

from experiments.digits.experiment import main

sys.exit(main())
