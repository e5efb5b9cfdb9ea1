"""``python -m experiments.mog16``: run the experiment, or say in a line which extra it needs."""

import sys

from experiments.__main__ import main

sys.exit(main(["mog16", *sys.argv[1:]]))
