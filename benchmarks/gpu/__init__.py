"""The benchmarks on an accelerator: ``python -m benchmarks.gpu``."""
