# Needs python3 (3.11 to 3.14) and make; everything else goes into .venv.
# Another interpreter: make PYTHON=python3.12 install

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_INSTALL := $(PIP) install --no-input --no-deps --require-hashes --only-binary :all:
CPU_TORCH := CPython 3.11 on Linux, x86-64

.DEFAULT_GOAL := help
.PHONY: help install demo test simulate chaos check format clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## make the environment in .venv (the other targets do it where they need it)

# torch is had in two ways. Where pip is told of a CPU-only build (PIP_FIND_LINKS, a mirror) that one
# is taken, and satisfies the lock; else the public one, which on Linux needs several GB of CUDA
# packages more: pip check says so. The stamp comes last: an install cut short starts again.
$(STAMP): requirements.lock requirements-cpu.lock requirements-cuda.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 14) \
	else "bucketsight needs Python 3.11 to 3.14, $(PYTHON) is %d.%d: name another one, as in make PYTHON=python3.12 install" % v)'
	$(PYTHON) -m venv $(VENV)
	@{ said=$$($(PIP_INSTALL) -r requirements-cpu.lock 2>&1 >&3) || case "$$said" in \
	*"No matching distribution found"*|*"DO NOT MATCH THE HASHES"*) \
	echo "pip finds no CPU-only torch that the lock knows ($(CPU_TORCH)): the public one follows." ;; \
	*) printf "The CPU-only torch could not be installed, the public one follows. pip said: %s\n" \
	"$$(printf "%s\n" "$$said" | tail -n 1)" ;; esac; } 3>&1
	$(PIP_INSTALL) -r requirements.lock
	@if $(PIP) check | grep '^torch .* not installed' >/dev/null; then \
	echo "This torch needs its CUDA packages:"; $(PIP_INSTALL) -r requirements-cuda.lock; fi
	$(PIP) check
	@touch $@

demo: install  ## caption and tag examples/images at one look with the pocket model, into build/demo
	$(BIN)/python jobs/label_bucket.py examples/images build/demo --tasks caption,tags
	$(BIN)/python jobs/report.py build/demo

test: install  ## run all tests, two at a time, those of one file one after the other
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

simulate: install  ## put the driver and the commit through 10,000 seeds of faults
	$(BIN)/python -m tests.simulation

chaos: install  ## kill drivers, actors and machines of a real Ray a hundred times, into build/chaos
	$(BIN)/python -m tests.chaos

check: install  ## what CI runs: format, lint, types, import rules, then the tests
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m ruff check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

format: install  ## format the code and mend what the linter can
	$(BIN)/python -m ruff format
	$(BIN)/python -m ruff check --fix

clean:  ## remove build/ and the caches; the environment and the downloads stay
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
