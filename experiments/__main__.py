"""``python -m experiments``, installed as ``odegan``: list the experiments, or run one by its name."""

from __future__ import annotations

import ast
import difflib
import importlib
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.framework.printing import closed_pipes_are_no_errors

# Only the standard library is imported before an experiment is: without the extra this must still say what to install.
EXTRAS: Mapping[str, str] = {"datasets": "images", "PIL": "images", "tensorboard": "tensorboard"}
WRONG_OPTION = 2


def experiments() -> dict[str, str]:
    """Name -> the first line of its description; nothing is imported."""
    home = Path(__file__).parent
    sources = {one.name: home / one.name / "experiment.py" for one in pkgutil.iter_modules([str(home)]) if one.ispkg}
    return {name: _first_line(source) for name, source in sorted(sources.items()) if source.exists()}


def _first_line(source: Path) -> str:
    return (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n")[0]


def listing() -> str:
    """The experiments, a line each."""
    found = experiments()
    width = max(map(len, found))
    lines = [f"  {name:{width}}  {line}" for name, line in found.items()]
    usage = "odegan NAME [OPTIONS], or python -m experiments.NAME [OPTIONS]; --help lists an experiment's options"
    return "\n".join([usage, "", *lines])


def main(argv: Sequence[str] | None = None) -> int:
    """Without a name, or with --help, list the experiments; with --version print it; else run one. Returns the exit code."""
    name, *arguments = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name == "--version":
        print(f"odegan {importlib.import_module('odegan').__version__}")
        return 0
    if name in ("-h", "--help"):
        with closed_pipes_are_no_errors():
            print(listing())
        return 0
    if name not in experiments():
        near = difflib.get_close_matches(name, experiments(), n=1)
        guess = f" (did you mean {near[0]!r}?)" if near else ""
        print(f"odegan: got {name!r}; it must be one of {', '.join(experiments())}{guess}", file=sys.stderr)
        return WRONG_OPTION
    sys.path.insert(0, "")  # as for python -m: a user's own networks are modules of the current folder
    try:
        return importlib.import_module(f"experiments.{name}.experiment").main(arguments)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("odegan", "experiments"):
            raise
        extra = EXTRAS.get(missing, "experiments")
        print(f"odegan: {name} needs {missing!r}; install it with: pip install 'odegan[{extra}]'", file=sys.stderr)
        return WRONG_OPTION


if __name__ == "__main__":
    sys.exit(main())
