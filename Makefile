# `make demo` and `make test` do all their own set-up in .venv; `make help` lists the targets.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
NATIVE := pyproject.toml setup.py $(shell find converters/custom_ops -name '*.[ch]')
INSTALL_SYSTEM := apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv gcc libc6-dev

DEMO_MODELS := $(addprefix build/demo/,float32.tflite int8.tflite int4.tflite int2.tflite)
# For the microphone of the app. It is not among the demo's, which are compared with each other.
LIVE_MODEL := build/android/live.tflite
ANDROID_PROGRAMS := javac aapt aapt2 apksigner enjarify clang-19 ld.lld-19 qemu-aarch64-static cmake npm
ANDROID_FILES := /usr/share/android-framework-res/framework-res.apk /usr/share/java/json-android.jar
# npm comes from elsewhere where there is one already: Debian's brings a Node.js of its own.
INSTALL_ANDROID := apt-get update && apt-get install --yes --no-install-recommends openjdk-17-jdk-headless aapt apksigner \
	android-framework-res libandroid-json-org-java enjarify clang-19 lld-19 qemu-user-static cmake \
	$(if $(shell command -v npm),,npm)

export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv test docs demo demo-speech runtime-wheel apk aar android-tools clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/.installed  ## the virtual environment with pinned dependencies and the native library

# Each process of pytest has a core to itself; threads of TensorFlow and NumPy would only wait for each other.
test: export TF_NUM_INTRAOP_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: venv  ## style, types, direction of imports, and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	git ls-files '*.[ch]' ':!android_bench/bionic/include' | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest

docs: venv  ## the documentation: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

demo: venv  ## fine-tune, export, score and report on the sample corpus: build/demo/report.html
	$(BIN)/tfconformer demo

demo-speech: venv  ## convert sample speakers to one voice, two minutes: build/demo-speech/report.html
	$(BIN)/tfconformer demo-speech

runtime-wheel: venv  ## tfconformer-runtime, which runs files without TensorFlow: dist/
	$(BIN)/python runtime_wheel/build.py dist

apk: venv android-tools $(DEMO_MODELS) $(LIVE_MODEL)  ## the Android app with the demo's models: build/android/tfconformer-bench.apk
	$(BIN)/python -m android_bench.toolchain.apk $(DEMO_MODELS) $(LIVE_MODEL)

aar: venv android-tools  ## the Android library for apps of your own: build/android/tfconformer.aar
	$(BIN)/python -m android_bench.toolchain.aar

android-tools:  ## what `make apk` and the tests of the Android benchmark need; installs it if you are root
	@missing() { for p in $(ANDROID_PROGRAMS); do command -v $$p || echo "$$p is missing"; done; \
		for f in $(ANDROID_FILES); do [ -e $$f ] || echo "$$f is missing"; done; }; \
	if missing | grep -q 'is missing' && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo '$(INSTALL_ANDROID)'; $(INSTALL_ANDROID); \
	fi; \
	if missing | grep 'is missing'; then \
		echo "On Debian 12 run as root:"; echo '    $(INSTALL_ANDROID)'; exit 1; \
	fi

$(DEMO_MODELS) &:
	$(MAKE) demo

$(LIVE_MODEL): | venv
	mkdir -p $(@D)
	$(BIN)/tfconformer export models/small_streaming $@ --streaming --post-training configs/streaming/int8.yaml --bundled-utterances

clean:  ## remove everything that was built, but not the virtual environment
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	rm -f converters/custom_ops/*.so $(VENV)/.installed
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A line for each part of the system that is missing: Python 3.11, its venv module, a C compiler, its headers.
missing_system = { \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
		echo "$(PYTHON) is missing, or is not Python 3.11"; \
	! $(PYTHON) -c '' 2>/dev/null || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		echo "the venv module of $(PYTHON) is missing (python3-venv)"; \
	command -v gcc >/dev/null || echo "gcc is missing"; \
	! command -v gcc >/dev/null || echo '\#include <stdio.h>' | gcc -E - >/dev/null 2>&1 || \
		echo "gcc finds no C headers (libc6-dev)"; \
	}

# An environment whose Python does not start is replaced.
$(VENV)/.dependencies: requirements.lock
	@if [ -n "$$($(missing_system))" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "$(INSTALL_SYSTEM)"; $(INSTALL_SYSTEM); \
	fi; \
	if [ -n "$$($(missing_system))" ]; then \
		$(missing_system); \
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
