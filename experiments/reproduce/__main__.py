"""``python -m experiments.reproduce``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["reproduce", *sys.argv[1:]]))
