"""``python -m experiments.vanishing_step``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["vanishing_step", *sys.argv[1:]]))
