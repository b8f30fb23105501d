# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
PYTHON ?= python3
NAME ?= polyp_coat
BIN := .venv/bin
READY := .venv/.installed
.PHONY: help .venv .venv-label .venv-flare demo demo-3d test check fix bench gpu-check validate label-test label-demo flare-test bundle bundles clean

help:  ## list the targets
	@sed -n 's/^\([-.a-z0-9]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.venv: $(READY)  ## make the environment; every other target does if need be
$(READY): setup.cfg pyproject.toml constraints.txt
	@echo "Installing into .venv, which takes a few minutes ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(READY)  ## train, calibrate and evaluate on generated images
	$(BIN)/python tutorials/demo.py
DEMO3D := .venv/.demo3d
$(DEMO3D): $(READY)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[demo3d]"
	@touch $@
demo-3d: $(DEMO3D)  ## brain extraction by public networks on a public head, calibrated on deformations of it
	$(BIN)/python -W ignore tutorials/demo_3d.py
test: $(READY)  ## tests and the examples in docstrings, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup
check: $(READY)  ## style, types and architecture
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_names.py
fix: $(READY)  ## format, and correct what can be corrected
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
bench: $(READY)  ## speed and memory
	$(BIN)/python -m benchmarks
gpu-check: $(READY)  ## tests and times on a GPU; says what it skips where there is none
	$(BIN)/python -m pytest -m gpu -rs
	$(BIN)/python -m benchmarks.gpu
VALIDATE := .venv/.validate
$(VALIDATE): $(READY)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[validate]" || echo "The packages to compare with are left out."
	@touch $@
validate: $(VALIDATE)  ## slow tests and docs/results/validity.md; on real images if COAT_DATA_DIR is set
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n auto --dist loadgroup
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.validity
LABEL := .venv-label/.installed
.venv-label: $(LABEL)  ## the environment of MONAI Label
$(LABEL): setup.cfg constraints.txt constraints-label.txt
	@echo "Installing MONAI Label into .venv-label, which takes a few minutes ..."
	@$(PYTHON) -m venv .venv-label
	@grep -v '^pydicom==' constraints.txt > .venv-label/constraints.txt  # MONAI Label needs an older one
	@.venv-label/bin/pip install -q --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	@.venv-label/bin/pip install -q --disable-pip-version-check -c .venv-label/constraints.txt -e ".[bundle,report]" pytest hypothesis jsonschema
	@.venv-label/bin/pip install -q --disable-pip-version-check -c .venv-label/constraints.txt -r constraints-label.txt
	@.venv-label/bin/pip install -q --disable-pip-version-check --no-deps monailabel==0.8.5 pydicom-seg==0.4.1 torchvision==0.28.0
	@touch $@
label-test: $(LABEL)  ## a real MONAI Label server with our app, driven as viewers do
	.venv-label/bin/python -m pytest -o filterwarnings= tests/apps
label-demo: $(LABEL)  ## train on generated volumes and serve them to viewers, on this machine only
	.venv-label/bin/python tutorials/label_demo.py
FLARE := .venv-flare/.installed
.venv-flare: $(FLARE)  ## the environment of NVIDIA FLARE
$(FLARE): setup.cfg constraints.txt
	@echo "Installing NVIDIA FLARE into .venv-flare, which takes a few minutes ..."
	@$(PYTHON) -m venv .venv-flare
	@.venv-flare/bin/pip install -q --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	@.venv-flare/bin/pip install -q --disable-pip-version-check -c constraints.txt -e ".[bundle]" pytest hypothesis nvflare==2.9.0
	@touch $@
flare-test: $(FLARE)  ## federated calibration of three sites in FLARE's simulator
	OMP_NUM_THREADS=1 .venv-flare/bin/python -m pytest -o filterwarnings= tests/fl/flare
bundles: $(READY)  ## write the self-contained configs of all bundles, from their overlays
	$(BIN)/python -c "from pathlib import Path; from monai_coat.bundles import write_configs; \
	    [write_configs(bundle) for bundle in Path('bundles').iterdir()]"
bundle: $(READY)  ## write bundles/$(NAME) to build/$(NAME), self-contained
	$(BIN)/python -m monai_coat export-bundle bundles/$(NAME) build/$(NAME)
clean:  ## remove what can be made again, but not the environment
	rm -rf build demo_output demo_3d_output .mypy_cache .pytest_cache .ruff_cache .hypothesis
