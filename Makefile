# The few commands of this repository. Each makes what it needs in .venv, once, and says so; a second call is quick.
#
#   make serve            install the server and the demo model, then serve on http://127.0.0.1:5000
#   make test             install what the tests need, then run them
#   make lint types layers docs     the other checks (see noxfile.py)
#   make clean            remove .venv and what builds left behind

PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 5000
TESTS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO := examples/demo_model
WHAT_IT_IS := setup.cfg pyproject.toml $(wildcard $(DEMO)/setup.cfg $(DEMO)/pyproject.toml)

.PHONY: serve test install lint types layers docs clean

serve: $(VENV)/.installed
	$(BIN)/deepaas-core serve --host $(HOST) --port $(PORT)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(TESTS)

install: $(VENV)/.installed

lint types layers docs: $(VENV)/.installed-dev
	$(BIN)/python -m nox --session $@

$(VENV)/.installed: $(BIN)/python $(WHAT_IT_IS)
	@echo "Installing the server and the demo model into $(VENV) …"
	$(PIP) --editable . --editable ./$(DEMO)
	@touch $@

$(VENV)/.installed-test: $(BIN)/python $(WHAT_IT_IS)
	@echo "Installing the server, the demo model and the tests' tools into $(VENV) …"
	$(PIP) --editable '.[test]' --editable ./$(DEMO)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: $(VENV)/.installed-test
	@echo "Installing the checks' tools into $(VENV) …"
	$(PIP) --editable '.[test,dev]'
	@touch $@

# Some systems ship Python without ensurepip; there, another pip or virtualenv can furnish the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "This needs Python 3.11 or newer. Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) …"
	@if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	    $(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -c 'import pip, venv' 2>/dev/null; then \
	    $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; \
	elif command -v virtualenv >/dev/null; then \
	    virtualenv --quiet --python $(PYTHON) $(VENV); \
	else \
	    echo "Your $(PYTHON) comes without ensurepip, so it cannot make virtual environments." >&2; \
	    echo "On Debian and Ubuntu: sudo apt-get install python3-venv. Then call make again." >&2; exit 1; \
	fi

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .nox
