# Everything here needs only make, Python and pip.
# PYTHON       the interpreter that makes the environment
# CONSTRAINTS  the file of exact versions; empty for the newest that pyproject.toml allows
# PIP_ARGS, PYTEST_ARGS, DEMO_ARGS, BENCH_ARGS, REPRODUCE_ARGS, VERSIONS_ARGS   further arguments for these programs

PYTHON ?= $(shell python3.11 -c 'print("python3.11")' 2>/dev/null || echo python3)
CONSTRAINTS ?= constraints.txt
PYTEST_ARGS ?= -n 2 --dist loadfile

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-cuda test-versions lint docs reproduce reproduce-full bench bench-gpu campaign clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED)  ## make .venv and install the package with everything it is developed with

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install $(addprefix -c ,$(CONSTRAINTS)) $(PIP_ARGS) -e '.[dev]'
	touch $@

demo: $(INSTALLED)  ## train a GAN on handwritten digits with an ODE solver
	$(PY) -m experiments.digits --output runs/demo --overwrite $(DEMO_ARGS)

# Each worker keeps to one thread: two workers with a thread pool each only get in each other's way.
test: lint docs  ## all checks: ruff, mypy, documentation, tests
	OMP_NUM_THREADS=1 $(PY) -m pytest $(PYTEST_ARGS)

test-slow: $(INSTALLED)  ## the long tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slow $(PYTEST_ARGS)

test-cuda: $(INSTALLED)  ## the tests of a CUDA device alone, in under three minutes
	CUBLAS_WORKSPACE_CONFIG=:4096:8 $(PY) -m pytest tests/cuda -m cuda

lint: $(INSTALLED)  ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: $(INSTALLED)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --site-dir site

reproduce: $(INSTALLED)  ## run every experiment, and write the figures and tables of the documentation; two hours on two cores
	$(PY) -m experiments.reproduce $(REPRODUCE_ARGS)

reproduce-full: $(INSTALLED)  ## the experiments at their authors' own lengths; many hours, goes on where it was ended
	$(PY) -m experiments.reproduce --full $(REPRODUCE_ARGS)

test-versions: $(INSTALLED)  ## the tests with the lowest and the newest dependencies, in clean environments
	$(PY) -m campaign.versions --folder runs/versions --docs docs $(VERSIONS_ARGS)

bench: $(INSTALLED)  ## speed beside JAX, PyTorch and diffrax, into runs/benchmarks; BENCH_ARGS="--docs docs" into the documentation
	$(PY) -m benchmarks $(BENCH_ARGS)

# On a machine as it is: nothing is installed for it.
bench-gpu:  ## the tests of a CUDA device, and speed there beside JAX and PyTorch, in under eight minutes, into runs/gpu
	sh benchmarks/gpu.sh $(BENCH_ARGS)

campaign: $(INSTALLED)  ## the reliability campaign of docs/reliability.md, two hours
	for part in properties divergence checkpoints wrong_inputs kills soak; do \
	  OMP_NUM_THREADS=1 $(PY) -m campaign.$$part --docs docs || exit 1; done

clean:  ## remove what was built; .venv and runs/ stay
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
