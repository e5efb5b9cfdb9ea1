"""``python -m experiments.step_size``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["step_size", *sys.argv[1:]]))
