# Two commands for everybody: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
ARGS ?=
VENV := .venv
MUTATION := .venv-mutation
BIN := $(VENV)/bin

.PHONY: test-slow test-data mutants mutation growth soak e2e image base-named boot-kit image-test card-cuts power-cuts lintian deb models side demo test check lint docs bench lock clean mosquitto

demo: $(VENV)/demo.stamp
	$(BIN)/appliance demo $(ARGS)

# All of them at once: they wait more than they compute. Some (ARGS=tests/test_x.py) one by one.
PARALLEL := $(if $(strip $(ARGS)),,-n 5 --dist worksteal -m "not slow")

test: $(VENV)/dev.stamp mosquitto
	@$(BIN)/python scripts/fetch_test_data.py || [ $$? = 75 ]
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# The long forms: minutes of lossy networks, a thousand openings, the accuracy of every
# format, layouts measured.
test-slow: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 4 --dist worksteal -m slow $(ARGS)

# Labelled pictures for the accuracy tests, once, from a package (NOTICE); 75: it cannot be had.
test-data: $(VENV)/dev.stamp
	$(BIN)/python scripts/fetch_test_data.py

# What a change must pass besides the tests: style, types, architecture, generated documents.
check lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_docs.py --check
	$(BIN)/python scripts/draw_rooms.py --check
	$(BIN)/python scripts/make_dashboards.py --check

docs: $(VENV)/dev.stamp
	$(BIN)/python scripts/generate_docs.py
	$(BIN)/python scripts/draw_rooms.py

# Every figure of docs/performance.md but those of hours: make bench ARGS="--video FILE --model FILE"
bench: $(VENV)/demo.stamp mosquitto
	$(BIN)/python scripts/benchmark.py $(ARGS)

# What frame size and number of cameras cost; half an hour at full speed.
growth: $(VENV)/demo.stamp
	$(BIN)/python scripts/growth.py $(ARGS)

soak: $(VENV)/demo.stamp mosquitto
	$(BIN)/python scripts/soak.py $(ARGS)

# The tests talk to a real broker.
mosquitto:
	@PATH="$$PATH:/usr/sbin" command -v mosquitto >/dev/null || sh scripts/install_mosquitto.sh

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/demo.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@ $(VENV)/demo.stamp

# Faults of one line that the tests must notice: tests/mutants.toml. One alone: make mutants ARGS="'exchange: the turn is forgotten'"
mutants: $(VENV)/dev.stamp mosquitto
	$(BIN)/python scripts/mutants.py $(ARGS)

# Faults made by a tool, thousands of them: an hour for all, minutes for a module: make mutation ARGS=appliance.heat.governor
mutation: $(MUTATION)/stamp
	$(MUTATION)/bin/python scripts/mutation.py $(ARGS)

$(MUTATION)/stamp: requirements/mutation.txt
	$(PYTHON) -m venv --clear $(MUTATION)
	$(MUTATION)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutation.txt
	touch $@

# Locks carry hashes and no index addresses. Needs uv (pip install uv).
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/run.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra demo --group build -o requirements/demo.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra demo --group dev -o requirements/dev.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group mutation -o requirements/mutation.txt

# Every format of the default model, for the other runtimes; and old Pythons for theirs.
models:
	PYTHON=$(PYTHON) sh scripts/build_models.sh

side:
	sh scripts/side_interpreters.sh

# The Debian package: make deb ARGS="--arch arm64 --release bookworm"
deb: $(VENV)/dev.stamp
	$(BIN)/python scripts/build_deb.py $(ARGS)

# The package on a clean Debian with a real systemd, in a container: its life, its updates. Needs root.
e2e: $(VENV)/dev.stamp
	rm -rf dist/e2e
	$(BIN)/python scripts/build_deb.py --out dist/e2e
	PYTHON=$(BIN)/python sh tests/e2e/nspawn.sh dist/e2e/*.deb
	sh tests/e2e/updates.sh dist/e2e/*.deb

# The plug pulled at random moments of an update: make power-cuts ROUNDS=20
ROUNDS ?= 20
power-cuts: $(VENV)/dev.stamp
	rm -rf dist/e2e
	$(BIN)/python scripts/build_deb.py --out dist/e2e
	PYTHON=$(BIN)/python sh tests/e2e/power_cuts.sh dist/e2e/*.deb $(ROUNDS)

# The image to flash, from Raspberry Pi OS Lite: make image BASE=FILE.img.xz [ACCELERATORS=coral,hailo,imx500]
# [PACKAGES=DIR]. Needs root.
BASE ?=
RELEASES := trixie bookworm
export ACCELERATORS PACKAGES
image: base-named $(VENV)/dev.stamp
	rm -rf dist/arm64
ifeq ($(BASE),debian)
	$(BIN)/python scripts/build_deb.py --arch arm64 --out dist/arm64
	$(BIN)/python scripts/build_card_deb.py --out dist/arm64
	PYTHON=$(BIN)/python sh deploy/image/debian.sh dist/arm64 dist/image
else
	PYTHON=$(BIN)/python sh deploy/image/raspios.sh "$(BASE)" dist/arm64 dist/raspios
endif

base-named:
	@[ -n "$(BASE)" ] || { echo "make image BASE=FILE: get Raspberry Pi OS Lite (64-bit) from https://www.raspberrypi.com/software/operating-systems/; BASE=debian makes one of Debian's packages instead (Pi 3 and 4, USB camera)" >&2; exit 2; }

# What to copy onto a card that Imager wrote with stock Raspberry Pi OS.
boot-kit: $(VENV)/dev.stamp
	rm -rf dist/boot-kit
	mkdir -p dist
	cp -R deploy/boot-kit dist/boot-kit
	for one in $(RELEASES); do $(BIN)/python scripts/build_deb.py --arch arm64 --release $$one --out dist/boot-kit/appliance-kit || exit; done
	$(BIN)/python scripts/build_card_deb.py --out dist/boot-kit/appliance-kit

# Emulated boards that start from both images and from a card with the kit; the plug pulled, too.
image-test: $(VENV)/dev.stamp
	PYTHON=$(BIN)/python sh tests/image/run.sh --all

# The plug pulled at random moments of the first starts: make card-cuts ROUNDS=10
card-cuts: $(VENV)/dev.stamp
	PYTHON=$(BIN)/python sh tests/image/run.sh --cuts $(ROUNDS)

# What Debian's checker says of both packages, besides what is overridden with a reason.
lintian: $(VENV)/dev.stamp
	rm -rf dist/e2e
	$(BIN)/python scripts/build_deb.py --out dist/e2e
	$(BIN)/python scripts/build_card_deb.py --out dist/card
	sh scripts/lintian.sh dist/e2e/*.deb dist/card/*.deb

clean:
	rm -rf $(VENV) $(MUTATION) mutants .venv-models .side .vendors build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
