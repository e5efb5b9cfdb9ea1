"""``python -m experiments.gmm_tv``."""

import sys

from experiments.gmm_tv.experiment import main

sys.exit(main())
