# Everything is built by this file; `make help` lists the targets.

PYTHON ?= python3
UFS ?=
MOUNT ?=
ENGINE ?=
# Those that run here and have their headers.
WHEEL_PYTHONS = $(shell for minor in 11 12 13 14; do python3.$$minor -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null && echo python3.$$minor; done)

# Of make fuzz: for each parser; and any number, by which inputs are made again.
FUZZ_SECONDS ?= 60
FUZZ_SEED ?=

# Of make image and make image-alluxio, as scripts/build-image says.
BASE ?= debian:bookworm-slim
IMAGE ?=
ARCHIVE ?=

# Of make cluster, and CLUSTER_ARGS, as --help of it says; VERSION: of Alluxio.
VERSION ?= 2.9.6
MASTERS ?= 1
WORKERS ?= 1
STORE ?= FILE
AUTH ?= SIMPLE
JOBS ?=

.SHELLFLAGS := -ec
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build docs run cluster cluster-jars helm test test-quick test-needs test-images python-tests quick-units quick-sources quick-alluxio quick-mounts server-tests test-k8s check ci newest-python lint wheels asan tsan ubsan fuzz bench clean distclean c-tests c-warnings c-locks system-build system-test system-cluster system-container image image-alluxio

CSRC := $(wildcard csrc/*.c csrc/*/*.c)
C_INPUTS := csrc/cflags $(CSRC) $(wildcard csrc/*.h csrc/*/*.h csrc/*/*.def)
C_TESTS := $(patsubst tests/c/%.c,%,$(wildcard tests/c/*.c))
MODULE_INPUTS := $(C_INPUTS) $(wildcard src/alluxio_jnifuse/*.pyx src/alluxio_jnifuse/*.px[di])
PROTO := src/alluxio_jnifuse/sources/alluxio/proto

PIP := .venv/bin/python -m pip --quiet --disable-pip-version-check

help:
	@sed -n 's/^\([a-z0-9 -]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

# ---- the package, in .venv

# A stamp has the time at which its work began: what is edited meanwhile counts as changed.

build: .venv/.built ## .venv with the package as an editable install: .venv/bin/alluxio-jnifuse

system-build:
	@PYTHON="$(PYTHON)" scripts/ensure-system build

system-test:
	@PYTHON="$(PYTHON)" scripts/ensure-system build test

system-cluster:
	@PYTHON="$(PYTHON)" scripts/ensure-system build cluster

system-container:
	@PYTHON="$(PYTHON)" scripts/ensure-system build container

# The distribution's pip may be too old for dependency groups.
.venv/.tools: pyproject.toml | system-build
	"$(PYTHON)" -m venv .venv
	touch $@.new
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --group build
	mv $@.new $@

.venv/.installed: pyproject.toml setup.py src/alluxio_jnifuse/__init__.py .venv/.tools | system-build
	touch $@.new
	scripts/ensure-libfuse >/dev/null
	$(PIP) install --no-build-isolation --editable '.[alluxio,oss,llfuse,rocks]'
	mv $@.new $@

# After the install only the extensions and the messages can be out of date.
.venv/.built: $(MODULE_INPUTS) $(wildcard $(PROTO)/*.proto) .venv/.installed
	touch $@.new
	scripts/ensure-libfuse >/dev/null
	.venv/bin/python setup.py --quiet build_proto build_ext --inplace
	mv $@.new $@

.venv/.test .venv/.dev .venv/.wheel: .venv/.%: pyproject.toml .venv/.tools
	$(PIP) install --group $*
	touch $@

# A table that cannot be read leaves the old page there.
docs: .venv/.built ## write what is made of tables: the generated files of docs/
	@.venv/bin/python -m alluxio_jnifuse.config.document >build/CONFIGURATION.md
	PYTHONPATH=tests .venv/bin/python -m guide >build/GUIDE.md
	PYTHONPATH=tests .venv/bin/python -m their_cases >build/CASES.md
	mv build/CONFIGURATION.md build/GUIDE.md build/CASES.md docs
	.venv/bin/python -m alluxio_jnifuse.cli.manual docs

run: .venv/.built $(if $(filter alluxio,$(ENGINE)),cluster-jars-2.9.6) ## mount a demonstration: make run [UFS=directory] [MOUNT=directory] [ENGINE=alluxio]
	.venv/bin/python scripts/run_demo.py $(if $(ENGINE),--engine $(ENGINE)) $(if $(UFS),--ufs "$(UFS)") $(if $(MOUNT),--mount "$(MOUNT)")

CLUSTER := PYTHONPATH=tests .venv/bin/python -m cluster

cluster: .venv/.built cluster-jars-$(VERSION) ## an Alluxio cluster in the foreground: make cluster [WORKERS=2] [MASTERS=3] [STORE=PAGE] ...
	@exec env $(CLUSTER) --version $(VERSION) --masters $(MASTERS) --workers $(WORKERS) --store $(STORE) --auth $(AUTH) $(if $(JOBS),--jobs) $(if $(UFS),--ufs "$(UFS)") $(CLUSTER_ARGS)

cluster-jars: cluster-jars-2.9.6 cluster-jars-2.3.0 ## fetch what test clusters need, once

cluster-jars-%: .venv/.tools | system-cluster
	@scripts/ensure-alluxio $* >/dev/null
	$(CLUSTER).archives $*

helm: .venv/.tools ## build the pinned helm, once
	@PYTHON=.venv/bin/python scripts/ensure-helm >/dev/null

# ---- checks

# A part that fails does not keep the others from running. The servers' tests wait much of their time for servers.
TEST_PARTS := --beside test-images --beside server-tests c-tests python-tests
CHECK_PARTS := lint c-warnings c-locks
SANITIZERS := asan ubsan tsan
CI_FUZZ_SECONDS := 8

test: test-needs ## the C tests and the Python tests
	@MAKE="$(MAKE)" scripts/run-parts $(TEST_PARTS)

test-quick: .venv/.built .venv/.test | system-test ## those that take seconds: no cluster, no container, no chart, few mounts
	@MAKE="$(MAKE)" scripts/run-parts --beside quick-mounts --beside quick-alluxio --beside quick-sources c-tests quick-units

check: test-needs .venv/.dev ## linters, types, C warnings as errors, and the tests
	@MAKE="$(MAKE)" scripts/run-parts $(CHECK_PARTS) $(TEST_PARTS)

ci: test-needs .venv/.dev ## all that is checked of a change: check, the sanitizers, fuzz, the newest Python
	@MAKE="$(MAKE)" FUZZ_SECONDS=$(CI_FUZZ_SECONDS) scripts/run-parts $(CHECK_PARTS) $(TEST_PARTS) $(SANITIZERS) fuzz newest-python

newest-python: | system-container
	@scripts/test-python trixie

test-needs: .venv/.built .venv/.test cluster-jars helm | system-test system-container

SERVERS := cluster or container or chart

python-tests: .venv/.built .venv/.test
	@.venv/bin/python -m pytest -m "not ($(SERVERS))"

# Processes beside each other: these tests wait much of their time, and touch nothing but what is their own.
quick-units: TESTS := tests/test_tree.py tests/unit tests/bench tests/oss tests/cache tests/fuzz
quick-sources: TESTS := tests/sources
quick-alluxio: TESTS := tests/alluxio
quick-mounts: TESTS := $(addprefix tests/fuse/test_,api.py read.py listing.py metadata.py command.py)
quick-units quick-sources quick-alluxio quick-mounts: .venv/.built .venv/.test
	@.venv/bin/python -m pytest -m "not ($(SERVERS) or slow)" $(TESTS)

# Those of containers come last: their images are built meanwhile.
server-tests: test-needs
	@.venv/bin/python -m pytest -m "$(SERVERS)"

# Those that the tests ask for.
test-images: | system-container system-cluster
	@for image in fuse alluxio; do CONTAINER_BUILDER=buildah scripts/build-image --base packages $$image; done

# Parsers of what strangers send, beside each other, as many as there are processors; then the one in C.
fuzz: .venv/.built .venv/.test | system-test ## mutated inputs for every parser: make fuzz [FUZZ_SECONDS=60] [FUZZ_SEED=n]
	@$(C_MAKE) build/c/asan/test_h2_fuzz
	mkdir -p build/fuzz
	seed=$(or $(FUZZ_SEED),$$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')) code=0
	PYTHONPATH=tests .venv/bin/python -m fuzz --seconds $(FUZZ_SECONDS) --seed $$seed || code=1
	$(SANITIZER_ENV) build/c/asan/test_h2_fuzz -t $(FUZZ_SECONDS) -s $$((seed << 32)) -o build/fuzz/h2-$$seed.bin || {
		code=1; echo "h2: again: build/c/asan/test_h2_fuzz -n 0 build/fuzz/h2-$$seed.bin"
	}
	exit $$code

lint: .venv/.built .venv/.dev
	@.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

c-warnings: .venv/.built
	AJF_WERROR=1 .venv/bin/python setup.py --quiet build_ext --build-temp build/werror --build-lib build/werror

# clang's analysis of locks (base/sync.h). The last run proves that it would have found a mistake.
LOCKS := .venv/bin/clang-tidy --quiet --warnings-as-errors=* --checks=-*,bugprone-infinite-loop,clang-diagnostic-*

c-locks: .venv/.dev
	@libfuse=$$(scripts/ensure-libfuse)
	flags="-std=gnu11 -DAJF_ANALYSIS $$(grep '^-D' csrc/cflags) -DAJF_LIBFUSE_STATIC=1 -Icsrc -I$$libfuse/include/fuse3 -Wno-everything -Wthread-safety-analysis"
	printf '%s\n' $(CSRC) | xargs -n 1 -P $(shell nproc) sh -c '$(LOCKS) "$$@" -- '"$$flags" sh
	if $(LOCKS) tests/c/planted/lock.c -- $$flags >/dev/null 2>&1; then
		echo "c-locks: the planted mistake was not reported"
		exit 1
	fi
	echo "c-locks: clean, and the planted mistake was reported"

test-k8s: .venv/.built .venv/.test helm ## install the chart on the cluster of KUBECONFIG: make test-k8s [ALLUXIO_IMAGE=name:tag] [FUSE_IMAGE=name:tag]
	@PYTHONPATH=tests ALLUXIO_IMAGE="$(ALLUXIO_IMAGE)" FUSE_IMAGE="$(FUSE_IMAGE)" .venv/bin/python -m k8s

bench: .venv/.built .venv/.test | system-test ## the benchmarks
	.venv/bin/python -m benchmarks

# ---- the C core as a plain program

# The objects of one program on every core; the rest of this file is not made for that: pip wants .venv for itself.
C_MAKE := $(MAKE) --no-print-directory --jobs=$(shell nproc)

# An exit code that nothing else uses tells a sanitizer's report from any other failure.
REPORT := 86
SANITIZER_ENV := ASAN_OPTIONS=exitcode=$(REPORT) TSAN_OPTIONS=exitcode=$(REPORT) UBSAN_OPTIONS=exitcode=$(REPORT):print_stacktrace=1

FLAGS_plain :=
FLAGS_asan := -fsanitize=address -fno-omit-frame-pointer
FLAGS_tsan := -fsanitize=thread
FLAGS_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
# The address space layout of newer kernels leaves no room for the shadow memory of gcc 12's TSan.
RUN_tsan := setarch --addr-no-randomize

define C_PROGRAMS
build/c/$(1)/%.o: %.c csrc/cflags Makefile
	@echo "$(1): $$<"
	mkdir -p $$(@D)
	libfuse=$$$$(scripts/ensure-libfuse)
	gcc @csrc/cflags $(FLAGS_$(1)) -MMD -MP -DAJF_CHECKS=1 -DAJF_LIBFUSE_STATIC=1 -Icsrc -I"$$$$libfuse/include/fuse3" -c $$< -o $$@

build/c/$(1)/%: build/c/$(1)/tests/c/%.o $(CSRC:%.c=build/c/$(1)/%.o)
	@libfuse=$$$$(scripts/ensure-libfuse)
	gcc $(FLAGS_$(1)) -pthread $$^ "$$$$libfuse/lib/libfuse3.a" -l:liburing.a -ldl -lrt -o $$@
endef
$(foreach variant,plain asan tsan ubsan,$(eval $(call C_PROGRAMS,$(variant))))
-include $(wildcard build/c/*/*/*.d build/c/*/*/*/*.d)
.SECONDARY:
.ONESHELL:

c-tests: .venv/.tools | system-test
	@programs="$(C_TESTS:%=build/c/plain/%)"
	if [ -n "$$programs" ]; then $(C_MAKE) $$programs; fi
	passed=0 failed=0 names=
	for program in $$programs; do
		echo "$$program"
		if timeout 600 "$$program"; then passed=$$((passed + 1)); else failed=$$((failed + 1)) names="$$names $${program##*/}"; fi
	done
	[ -z "$$names" ] || echo "failed:$$names"
	echo "c-tests: $$passed passed, $$failed failed"
	[ "$$failed" -eq 0 ]

# Programs that read what strangers send. They run before the stress test.
SANITIZED := test_h2 test_h2_calls test_h2_fuzz test_http

# The last run proves that the alarm rings: a planted mistake must be reported.
asan tsan ubsan: .venv/.tools ## the C stress test, and those of parsers, under a sanitizer
	@program=build/c/$@/stress
	tests="$(SANITIZED:%=build/c/$@/%)"
	$(C_MAKE) $$program $$tests
	export $(SANITIZER_ENV)
	for test in $$tests; do $(RUN_$@) timeout 300 $$test; done
	$(RUN_$@) timeout 300 $$program
	code=0
	$(RUN_$@) timeout 300 $$program --plant=$@ >build/c/$@/plant.log 2>&1 || code=$$?
	if [ $$code -ne $(REPORT) ]; then
		tail -n 20 build/c/$@/plant.log
		echo "$@: the planted mistake was not reported (exit code $$code, not $(REPORT))"
		exit 1
	fi
	echo "$@: clean, and the planted mistake was reported"

# ---- packages

wheels: .venv/.installed .venv/.wheel ## wheels for old systems and each Python here, in dist/: make wheels [WHEEL_PYTHONS="python3.11 python3.13"]
	scripts/build-wheels $(WHEEL_PYTHONS)

image: ## the container image of the client: make image [BASE=debian:bookworm-slim|packages] [IMAGE=name:tag]
	@scripts/build-image --base "$(BASE)" $(if $(IMAGE),--tag "$(IMAGE)") $(if $(ARCHIVE),--archive "$(ARCHIVE)") fuse

image-alluxio: | system-cluster ## the one of Alluxio's servers: make image-alluxio [BASE=...] [IMAGE=...]
	@scripts/build-image --base "$(BASE)" $(if $(IMAGE),--tag "$(IMAGE)") $(if $(ARCHIVE),--archive "$(ARCHIVE)") alluxio

clean: ## remove what was built
	rm -rf build dist .venv/.installed .venv/.built src/*.egg-info src/alluxio_jnifuse/*.so $(PROTO)/*_pb2.py*
	find . -path ./.venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## and the virtual environment and the tools' caches
	rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
