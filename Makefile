# `make demo` and `make test` do all their own set-up in .venv; `make help` lists the targets.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
NATIVE := pyproject.toml setup.py $(shell find converters/custom_ops -name '*.[ch]')
INSTALL_SYSTEM := apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv gcc libc6-dev

export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv test demo clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/.installed  ## the virtual environment with pinned dependencies and the native library

test: venv  ## style, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

demo: venv  ## fine-tune, export, score and report on the sample corpus: build/demo/report.html
	$(BIN)/tfconformer demo

clean:  ## remove everything that was built, but not the virtual environment
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	rm -f converters/custom_ops/*.so $(VENV)/.installed
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Python 3.11 that can create environments, and a C compiler that finds its headers.
has_system = $(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	&& echo '\#include <stdio.h>' | gcc -E - >/dev/null 2>&1

# An environment whose Python does not start any more is made anew.
$(VENV)/.dependencies: requirements.lock
	@if ! { $(has_system); } && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "$(INSTALL_SYSTEM)"; $(INSTALL_SYSTEM); \
	fi; \
	if ! { $(has_system); }; then \
		echo "The set-up needs Python 3.11 with its venv module, and gcc. On Debian 12 run as root:"; \
		echo "    $(INSTALL_SYSTEM)"; \
		echo "Elsewhere, install them in your own way; 'make PYTHON=/path/to/python3.11' chooses the interpreter."; \
		exit 1; \
	fi
	$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --requirement requirements.lock
	touch $@

# Without build isolation, so that the build uses the pinned setuptools.
$(VENV)/.installed: $(VENV)/.dependencies $(NATIVE)
	$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	touch $@
