# Needs only Python >= 3.11 and make; everything else goes into .venv, at the versions pinned in requirements.txt.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
NBSTRIPOUT := $(BIN)/nbstripout --keep-id
# Two workers of one thread each; the tests of a group stay on one of them (tests/conftest.py).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup book pdf test test-slow test-all wheel mutants torture lab lint format bench lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) ## make .venv and install the pinned versions

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is not Python 3.11 or newer (found: $$($(PYTHON) --version 2>&1)). Name one, as in: make PYTHON=python3.12" >&2; \
	  exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --editable .
	@touch $@

book: setup ## run every chapter at its quick defaults and build _build/html
	$(BIN)/ssltheory book

pdf: book ## print the book as _build/one-eigenmode-at-a-time.pdf (needs Chromium)
	$(BIN)/ssltheory pdf

test: setup ## run the tests, all but the slow ones (make test ARGS='-k stepwise' for some)
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: setup ## run the slow tests: pauses, kills, larger networks, the whole book; more malformed input
	SSLTHEORY_EXAMPLES=200 $(PYTEST) -m slow $(ARGS)

test-all: test test-slow ## run both

wheel: setup ## build the wheel into dist and run its tests in an environment of its own, without Jupyter
	rm -rf dist _build/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(PYTHON) -m venv _build/wheel
	_build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.txt dist/*.whl pytest pytest-timeout hypothesis
	_build/wheel/bin/python -m pytest $(ARGS)

mutants: setup ## plant faults one after another: each must turn a test red (make mutants ARGS=losses for some)
	$(BIN)/python tests/mutants.py $(ARGS)

lab: setup ## open the notebooks in JupyterLab
	GOMP_SPINCOUNT=3000 $(BIN)/jupyter lab notebooks

torture: setup ## try to break it, half an hour (ARGS='kill read-only' for some); the table goes to book/torture.json
	$(BIN)/python -m torture $(ARGS)

lint: setup ## check style, formatting, types, spelling, that notebooks carry no outputs and that their parameters are the tables'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m ssltheory.book.lists --check
	$(if $(NOTEBOOKS),$(NBSTRIPOUT) --verify $(NOTEBOOKS))

format: setup ## mend what lint can mend; write the parameters cell of every notebook
	$(BIN)/python -m ssltheory.book.lists
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(if $(NOTEBOOKS),$(NBSTRIPOUT) $(NOTEBOOKS))

bench: setup ## time ours against its peers, which are added to .venv; ratios go to runs/benchmarks (on a GPU also: .venv/bin/python -m benchmarks.gpu --device cuda)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint requirements.txt --editable '.[bench]'
	for what in losses augmentations training directpred ntk deep_tensor unitary tracking contention; do $(BIN)/python -m benchmarks.$$what || exit; done

lock: setup ## renew requirements.txt from pyproject.toml (LOCK_FLAGS=--upgrade for new versions)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --universal --python-version 3.11 --extra book --extra dev --extra ray \
	  $(LOCK_FLAGS) --output-file requirements.txt pyproject.toml

clean: ## remove what the build made; .venv and the full, paper and custom runs stay
	rm -rf _build book/chapters book/generated runs/tiny runs/quick runs/tests dist .pytest_cache .ruff_cache
