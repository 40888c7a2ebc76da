# Two commands do everything on a fresh machine, set-up included: `make train` and `make test`.
PYTHON ?= python3
VENV ?= .venv
# TensorRT's Python module belongs to the system on a Jetson.
VENV_OPTIONS ?= $(if $(wildcard /etc/nv_tegra_release),--system-site-packages)
BIN := $(VENV)/bin

.PHONY: help train test test-gpu test-jetson check clean

help:
	@echo "make train   train a policy in the model of an AGX Orin and compare it with search (under 5 minutes)"
	@echo "make test    all checks and tests (under 8 minutes)"
	@echo "make test-gpu, make test-jetson   what needs a GPU, or a Jetson; the rest of the tests skips it and says so"
	@echo "make check   ruff, mypy --strict and import contracts alone"
	@echo "make clean   remove the virtual environment and caches; runs/ and traces/ stay"

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV_OPTIONS) $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

train: $(VENV)/ready
	$(BIN)/python -m tuner.train

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest

# What drives a GPU is added if it can be: without nvcc there is no pycuda, and the tests that want it are skipped and say so.
test-gpu: $(VENV)/ready
	-$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[jetson]"
	$(BIN)/python -m pytest -m gpu -rs

test-jetson: $(VENV)/ready
	-$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[jetson]"
	$(BIN)/python -m pytest -m "gpu or jetson" -rs

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
