"""Experiments: a folder each, run as ``python -m experiments.NAME`` or ``odegan NAME``."""
