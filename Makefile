# make book    the HTML in both languages, warnings as errors; the last line is the page to open
# make translate   take what is new in English into the catalogues of book/locale, and say what
#              is to be translated
# make test    the tests, then every notebook re-executed and compared with what is stored
#              (the book that its tests read is built if `make book` has not done so; slow tests
#              are left out: make test SLOW=1 runs them too, as CI does)
# make test-portable   the notebooks again, as processors with other instruction sets run them
#                      (all three; or one: make test-portable UNDER=default)
# make pdf     the whole book in one PDF, printed by Chromium
# make lab     open the notebooks
# make lint    format, lint, types, spelling (make lint-js: the scripts, with npx)
# make bench   time what chapters 4 and 12 and the page Performance draw (make notebooks draws it
#              anew)
# make notebooks   execute them in place and normalise their metadata
# Each makes its own .venv when it is missing or stale. TORCH=cpu or TORCH=cuda says which build of
# PyTorch to take; PYTHON=python3.12, which Python; VENV=folder, where.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= auto
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb)) book/results.ipynb book/performance.ipynb
# Each notebook runs on one thread, so as many run at once as there are cores.
COMPARE = $(BIN)/python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=600 \
	--numprocesses auto --dist loadfile $(NOTEBOOKS)

# What PyTorch, MKL and oneDNN are told, so that they compute as on another processor.
UNDER ?= own avx2 default
SETTINGS_own :=
SETTINGS_avx2 := ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=AVX2 ONEDNN_MAX_CPU_ISA=AVX2
SETTINGS_default := ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=SSE41

# No progress bars in stored outputs, and no pages from the network.
export GATUTILS_PROGRESS := 0
export PYTHONHASHSEED := 0

.PHONY: book pages-en pages-ko translate pdf test test-portable lab bench notebooks lint lint-js drawings env clean

# One site, in two languages: each is built on its own, and the second then moves into the first.
book: env
	$(MAKE) --no-print-directory -j2 --output-sync pages-en pages-ko
	rm -rf _build/html/ko
	mv _build/ko/_build/html _build/html/ko
	@echo "Open this page in a browser:"
	@echo "$(CURDIR)/_build/html/index.html"

pages-en pages-ko: pages-%: env
	BOOK_LANGUAGE=$* $(BIN)/python book/build.py build . --all -W -n --keep-going \
		$(if $(filter-out en,$*),--path-output _build/$*)

translate: env
	$(BIN)/python book/build.py build . --all --builder custom --custom-builder gettext \
		--path-output _build/messages
	$(BIN)/python book/translate.py

pdf: book
	$(BIN)/python book/pdf.py

# A file that is opened without naming its encoding fails the tests: Windows has another default.
test: env
	PYTHONWARNDEFAULTENCODING=1 $(BIN)/python -m pytest tests $(if $(SLOW),-m "slow or not slow") \
		--numprocesses auto --dist worksteal
	$(COMPARE)

test-portable: $(UNDER:%=under-%)

under-%: env
	env $(SETTINGS_$*) $(COMPARE)

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell

# The interactive figures' scripts; the tool comes from npm, so Node.js must be there.
lint-js:
	npx --yes @biomejs/biome@2.6.8 lint

# Jupyter shows the stored figures only of notebooks that it trusts.
lab: env
	$(BIN)/jupyter trust $(NOTEBOOKS)
	GATUTILS_PROGRESS=1 $(BIN)/jupyter lab notebooks

notebooks: env
	$(BIN)/python book/execute.py $(NOTEBOOKS)

bench: env
	$(BIN)/python benchmarks/attention_cost.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/gat_layer.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/gat_forms.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/out_of_core.py

# What is drawn or written by code and stored: the logo, the home page's picture, the style, and
# the graph of SciPy's API, read from its sources.
drawings: env
	$(BIN)/python book/draw.py
	$(BIN)/python -m gatutils.book.figures > book/_static/roles.css
	$(BIN)/python book/scipy_api.py

env:
	@$(PYTHON) book/install.py --venv $(VENV) --torch $(TORCH)

clean:
	$(PYTHON) book/install.py --venv $(VENV) --remove
	rm -rf _build build dist
