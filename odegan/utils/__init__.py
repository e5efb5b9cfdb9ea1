"""Shared tools: argument checks, autodiff, random streams, fingerprints, checkpoints, process groups, compilation."""
