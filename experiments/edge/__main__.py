"""``python -m experiments.edge``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["edge", *sys.argv[1:]]))
