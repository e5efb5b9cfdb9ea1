"""``python -m experiments.gmm_tv``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["gmm_tv", *sys.argv[1:]]))
