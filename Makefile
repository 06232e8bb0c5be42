# make book    the HTML, warnings as errors; the last line is the page to open
# make test    the tests, then every notebook re-executed and compared with what is stored
# make lint    format, lint, types, spelling
# make lab     open the notebooks
# make bench   time what chapter 4 draws (make notebooks then draws it anew), and graph attention
# make notebooks   execute them in place and normalise their metadata
# Each makes its own .venv when it is missing or stale.

PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

# The stamp's name is a hash of what the environment is made from, so another call starts at
# once and a changed pin installs anew.
HASH := $(shell $(PYTHON) -c "import hashlib, sys; assert sys.version_info >= (3, 11); print(hashlib.sha256(b''.join(open(f, 'rb').read() for f in ('pyproject.toml', 'constraints.txt'))).hexdigest()[:16])" 2>/dev/null)
STAMP := $(VENV)/stamp-$(HASH)
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb)) book/results.ipynb

# No progress bars in stored outputs, and no pages from the network.
export GATUTILS_PROGRESS := 0
export PYTHONHASHSEED := 0

.PHONY: book test lab bench notebooks lint drawings env clean

book: $(STAMP)
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@echo "Open this page in a browser:"
	@echo "$(CURDIR)/_build/html/index.html"

test: $(STAMP)
	$(BIN)/python -m pytest tests
	$(BIN)/python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=600 $(NOTEBOOKS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell

lab: $(STAMP)
	GATUTILS_PROGRESS=1 $(BIN)/jupyter lab notebooks

notebooks: $(STAMP)
	$(BIN)/python book/execute.py $(NOTEBOOKS)

bench: $(STAMP)
	$(BIN)/python benchmarks/attention_cost.py
	$(BIN)/python benchmarks/gat_layer.py

# What is drawn or written by code and stored: the logo, the home page's picture, the style, and
# the graph of SciPy's API, read from its sources.
drawings: $(STAMP)
	$(BIN)/python book/draw.py
	$(BIN)/python -m gatutils.viz > book/_static/roles.css
	$(BIN)/python book/scipy_api.py

env: $(STAMP)

$(STAMP):
	@test -n "$(HASH)" || { echo "error: '$(PYTHON)' is not Python 3.11 or newer; try make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[book,lab,test,lint]"
	@touch $@

clean:
	rm -rf _build $(VENV)
