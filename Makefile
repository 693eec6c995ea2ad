# make help lists the targets. Everything runs in .venv; nothing needs to be activated.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: help setup browser repro repro-full test lint types unit test-dag test-slow test-faults test-sharing test-gpu test-ray test-extras deps params-doc fix lock picture

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/installed  ## make .venv from the lock

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Triptych needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 setup")'
	@test -x .venv/bin/python || { echo "setup: creating .venv"; $(PYTHON) -m venv .venv; }
	@echo "setup: installing $$(grep -c '==' requirements.lock) packages and PyTorch's CUDA libraries, which takes minutes"
	@.venv/bin/python -m pip install --disable-pip-version-check --progress-bar on -r requirements.lock
	@echo "setup: installing triptych"
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
	@echo "setup: done"

browser:  ## bring Debian's chromium, which the tests of the page run in
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null \
	  || { echo "the tests of the page need a command named chromium: install it by your system's packages"; exit 1; }; \
	  sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$sudo apt-get update -qq && $$sudo apt-get install -qq -y --no-install-recommends chromium; }

repro: setup  ## run the whole DAG, then show the result
	dvc repro
	triptych results

repro-full: setup  ## the same with a reranker, which takes nearly twice as long; sets its steps in params.yaml
	dvc exp run --set-param train_reranker.steps=160
	triptych results

test: setup lint types unit  ## lint, types, tests

lint: setup
	ruff check .
	ruff format --check .

types: setup
	mypy

unit: setup
	OMP_NUM_THREADS=1 python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-dag: setup  ## whole pipelines, by dvc or stage by stage, on little documentation
	OMP_NUM_THREADS=1 python -m pytest -q -n 2 --dist loadfile -m 'dag and not slow'

test-slow: setup  ## the tests that take minutes
	python -m pytest -q -m slow

test-faults: setup  ## kill, starve and damage every stage; FAULTS=quick takes minutes
	FAULTS=$${FAULTS:-full} OMP_NUM_THREADS=1 python -m pytest -q -m faults tests/faults

test-sharing: setup  ## two machines over S3, ssh and a shared cache; needs openssh-server
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[sharing]'
	python -m pytest -q -m slow tests/test_sharing.py

test-gpu: setup  ## the tests that need a GPU; without one they are skipped
	python -m pytest -q -m gpu

test-ray: setup  ## the stages on a Ray cluster of two nodes
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[ray]'
	OMP_NUM_THREADS=1 python -m pytest -q -m slow tests/engine/test_ray.py

test-extras: setup  ## the retrievers of LangChain and LlamaIndex, in the real packages
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[langchain,llamaindex]'
	python -m pytest -q tests/serving/test_extras.py

deps: setup  ## write the code deps of dvc.yaml from the imports
	python -m stages.code_deps

params-doc: setup  ## write docs/params.md from the fields in triptych/params
	python -m triptych.params.reference

fix: setup  ## let ruff mend what it can
	ruff check --fix .
	ruff format .

lock: setup  ## pin the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	(echo "# Exact versions of everything but PyTorch's CUDA libraries, which torch itself pins and brings where they belong."; \
	 echo "# Made by \`make lock\`; installed by \`make setup\`."; \
	 uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --extra demo --extra dev pyproject.toml \
	 | grep -vE '^(nvidia-|cuda-|triton)') > requirements.lock.new
	mv requirements.lock.new requirements.lock

picture: setup  ## take docs/report.png from the page of the last run
	python docs/screenshot.py
