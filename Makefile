# make demo: build an image, run three programs on it, replay, report.  make test: everything that is checked.
PYTHON ?= python3
BIN = .venv/bin

demo: .venv/demo.stamp
	@$(BIN)/workbench demo --out demo

test: .venv/test.stamp system-packages
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 tests
	$(BIN)/pytest --nbmake notebooks

bench: .venv/test.stamp
	@for bench in tests/bench/bench_*.py; do echo "== $$bench"; PYTHONPATH=. $(BIN)/python $$bench || exit 1; done

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: set PYTHON=python3.11, say."; exit 1; }
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || \
		{ rm -rf .venv; echo "Python's venv is missing: install it with 'apt install python3-venv' (Debian) or 'brew install python' (macOS)."; exit 1; }

.venv/demo.stamp: .venv/bin/python pyproject.toml
	@echo "Installing into .venv, once."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e .
	@touch $@

.venv/test.stamp: .venv/bin/python pyproject.toml
	@echo "Installing into .venv, once."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[test]'
	@touch .venv/demo.stamp $@

# Guided by coverage, until a finding or RUNS mutated inputs of each target; the tests have a seeded part of it.
RUNS ?= 100000
fuzz: .venv/test.stamp
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[fuzz]'
	@for target in $$($(BIN)/python -c 'from tests.fuzz.targets import TARGETS; print(*TARGETS)'); do \
		echo "== $$target"; $(BIN)/python -m tests.fuzz.run $$target --runs $(RUNS) 2>&1 | tail -1; done

# The long runs of what the tests do for a short while: so many kills, and so many seconds of so many processes.
KILLS ?= 300
SECONDS ?= 60
survive: .venv/test.stamp
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && mkdir "$$folder/kills" "$$folder/crowd" && \
		$(BIN)/python tests/storage/cache/kills.py "$$folder/kills" $(KILLS) $$(date +%s) && \
		$(BIN)/python tests/storage/cache/crowd.py "$$folder/crowd" 4 32 $(SECONDS)

# What a few tests need of the system, as Debian names it; without root they skip with a reason.
DEBIAN_PACKAGES = btrfs-progs cryptsetup-bin docker-registry erofs-utils fdisk iproute2 nginx-light skopeo

system-packages:
	@if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || dpkg -s $(DEBIAN_PACKAGES) >/dev/null 2>&1; then :; else \
		apt-get install -y -q $(DEBIAN_PACKAGES) >/dev/null 2>&1 || \
		{ apt-get update -q >/dev/null && apt-get install -y -q $(DEBIAN_PACKAGES) >/dev/null; }; fi

clean:
	rm -rf .venv demo

.PHONY: bench clean demo fuzz survive system-packages test
