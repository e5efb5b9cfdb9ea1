"""``python -m odegan``: the command ``odegan``."""

import runpy

if __name__ == "__main__":
    # By its name, since the experiments use the library, which knows none of them.
    runpy.run_module("experiments", run_name="__main__", alter_sys=True)
