"""``python -m experiments.mog16``."""

import sys

from experiments.mog16.experiment import main

sys.exit(main())
