"""``python -m experiments.dual_flow_scheme``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["dual_flow_scheme", *sys.argv[1:]]))
