# make demo: train, evaluate and show the flagship on synthetic galaxies
# make test: run the test suite
# make lint: check the style, and the types of the public modules
# All make .venv first; nothing else is needed than Python >= 3.11 and make.

PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint clean

demo: .venv/installed
	$(BIN)/python -m gzjax.main --config=configs/p4m.py:demo --workdir=runs/demo

test: .venv/installed
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"gzjax needs Python >= 3.11, not {v[0]}.{v[1]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv runs/demo
