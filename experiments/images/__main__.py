"""``python -m experiments.images``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["images", *sys.argv[1:]]))
