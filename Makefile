# Two commands do everything on a fresh machine, set-up included: `make train` and `make test`.
PYTHON ?= python3
VENV ?= .venv
# On a Jetson, TensorRT's Python module belongs to the system.
VENV_OPTIONS ?= $(if $(wildcard /etc/nv_tegra_release),--system-site-packages)
BIN := $(VENV)/bin

.PHONY: help train test test-gpu test-jetson check results clean

help:
	@echo "make train     train a policy in the model of an AGX Orin and compare it with searches (3 minutes)"
	@echo "make test      all checks and tests (6 minutes)"
	@echo "make check     only ruff, mypy --strict and the import contracts"
	@echo "make results   a short form of every benchmark, into docs/results.md (20 minutes)"
	@echo "make test-gpu, make test-jetson   only the tests that need a GPU, or a Jetson"
	@echo "make clean     remove the virtual environment and caches; runs/ and traces/ stay"
	@echo "Times are for two cores; the first command also installs the packages."

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
	$(BIN)/python -m pytest -n 2 --dist worksteal

results: $(VENV)/ready
	$(BIN)/python -m benchmarks.results --short

# pycuda needs nvcc. Where it cannot be installed, the tests that need it are skipped and say so.
test-gpu: $(VENV)/ready
	-$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[jetson]"
	$(BIN)/python -m pytest -m gpu -rs

test-jetson: $(VENV)/ready
	-$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[jetson]"
	$(BIN)/python -m pytest -m "gpu or jetson" -rs

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
