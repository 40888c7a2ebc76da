# Two commands do everything on a fresh machine, set-up included: `make train` and `make test`.
PYTHON ?= python3
VENV ?= .venv
# On a Jetson, TensorRT's Python module belongs to the system.
VENV_OPTIONS ?= $(if $(wildcard /etc/nv_tegra_release),--system-site-packages)
BIN := $(VENV)/bin
DEVICE_VENV := $(VENV)-device

.PHONY: help train docs test test-driver test-cluster test-names test-gpu test-jetson check results clean

help:
	@echo "make train     train a policy in the model of an AGX Orin and compare it with searches (3 minutes)"
	@echo "make test      all checks and tests (9 minutes, of which 2 to build pycuda once)"
	@echo "make check     only ruff, mypy --strict, the import contracts and the links of the documentation"
	@echo "make docs      the documentation as a site, site/index.html"
	@echo "make results   a short form of every benchmark, into docs/results.md (20 minutes)"
	@echo "make test-gpu, make test-jetson   only the tests that need a GPU, or a Jetson"
	@echo "make test-driver   pycuda on a stub of the CUDA driver; a part of make test"
	@echo "make test-cluster   the controller against a real Kubernetes API server, which is built once (5 minutes)"
	@echo "make test-names   compare TensorRT's names with its published modules (needs the network)"
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
	$(MAKE) --no-print-directory docs

# The variable silences a notice about the future of MkDocs.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

test: check test-driver
	$(BIN)/python -m pytest -n 2 --dist worksteal

results: $(VENV)/ready
	$(BIN)/python -m benchmarks.results --short

# Real pycuda on a stub of the CUDA driver, which are built once; skipped where they cannot be.
test-driver: $(VENV)/ready
	$(BIN)/python -m tests.driver.build $(VENV)/driver
	ORIN_TUNER_STUB_DRIVER=$(VENV)/driver $(BIN)/python -m pytest tests/driver -rs

# Debian's kube-apiserver and etcd, downloaded and built once; skipped where they cannot be.
test-cluster: $(VENV)/ready
	$(BIN)/python -m tests.cluster.kubernetes.build
	$(BIN)/python -m pytest -m api_server -rs tests/cluster/kubernetes

# Downloads 8 MB once: the Python modules of every TensorRT version that is supported.
test-names: $(VENV)/ready
	$(BIN)/python -m tests.bindings.wheels
	$(BIN)/python -m pytest tests/bindings -rs

# pycuda needs nvcc. Where it cannot be installed, the tests that need it are skipped and say so.
test-gpu: $(VENV)/ready
	-$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[jetson]"
	$(BIN)/python -m pytest -m gpu -rs tests/envs/runtimes

# No package for training. Warnings of the system's packages are shown, and fail no test.
$(DEVICE_VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --system-site-packages $(DEVICE_VENV)
	$(DEVICE_VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[tune,metrics]" hypothesis pytest pytest-timeout
	touch $@

test-jetson: $(DEVICE_VENV)/ready
	-$(DEVICE_VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[jetson]"
	$(DEVICE_VENV)/bin/python -m pytest -m "gpu or jetson" -rs -W default tests/envs/runtimes

clean:
	rm -rf $(VENV) $(DEVICE_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
