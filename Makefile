# Two commands do everything on a fresh machine with python3 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-cuda test-lowest coverage check lint docs zensical build parity pictures clean

demo: $(VENV)/ready      ## score clips, fine-tune the mini world, write two pages
	$(BIN)/rewardkit demo --out demo

test: lint               ## all checks that take minutes: format, lint, types, tests
	$(BIN)/pytest -n 2 --dist worksteal

test-slow: $(VENV)/ready ## the checks that take longer
	$(BIN)/pytest -m slow

test-cuda: $(VENV)/ready ## whether a GPU gives what the processor gives
	$(BIN)/pytest -m cuda

test-lowest:             ## the fast tests on the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv $(VENV)/lowest
	$(VENV)/lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(VENV)/lowest $(VENV)/lowest/bin/uv pip install --quiet --resolution lowest-direct -e '.[train,report,parquet,metrics]'
	VIRTUAL_ENV=$(VENV)/lowest $(VENV)/lowest/bin/uv pip install --quiet pytest pytest-xdist hypothesis beartype
	$(VENV)/lowest/bin/python -m pytest -n 2 --dist worksteal -W default --ignore tests/test_start_up.py --ignore tests/test_shapes.py

coverage: $(VENV)/ready  ## which lines of the package the fast tests run; less than 90 % is an error
	$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=90

check: test docs         ## what must pass before a commit

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/docs-ready ## build the documentation into site/
	$(BIN)/mkdocs build --strict

zensical: $(VENV)/zensical/ready ## build the documentation with Zensical
	$(VENV)/zensical/bin/zensical build --strict

build: $(VENV)/ready     ## a wheel and an sdist in dist/
	$(BIN)/python -m hatchling build

$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/docs-ready: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

$(VENV)/zensical/ready: $(VENV)/ready
	$(PYTHON) -m venv $(VENV)/zensical
	$(VENV)/zensical/bin/python -m pip install --quiet --disable-pip-version-check zensical 'mkdocstrings[python]>=0.28'
	touch $@

parity: $(VENV)/ready    ## let the official packages score anew and compare; FULL=1: models of full size (10 GB)
	$(PYTHON) benchmarks/parity/build.py $(if $(MIRROR),--mirror $(MIRROR))
	$(BIN)/python benchmarks/check_parity.py --rebuild $(if $(FULL),--full)

pictures: demo           ## draw the pictures of the README again; needs chromium and a run of side_by_side.py methods
	$(BIN)/rewardkit score 'demo/clips/*-[dgn]*.mp4' --prompts demo/clips/prompts.csv -o demo/pictures.jsonl --overwrite --quiet
	$(BIN)/rewardkit report demo/pictures.jsonl -o demo/pictures.html
	mkdir -p docs/pictures
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,860 \
		--user-data-dir=$$(mktemp -d) --screenshot=docs/pictures/report.png file://$(CURDIR)/demo/pictures.html
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1500 \
		--user-data-dir=$$(mktemp -d) --screenshot=docs/pictures/benchmark.png file://$(CURDIR)/benchmarks/.work/methods/report.html

clean:
	rm -rf $(VENV) demo site build dist
