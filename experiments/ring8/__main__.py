"""``python -m experiments.ring8``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["ring8", *sys.argv[1:]]))
