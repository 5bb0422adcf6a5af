# make help       lists the targets
PYTHON ?= $(shell command -v /usr/bin/python3 || command -v python3)
# A second interpreter of another version, if the machine has one: both must work.
OTHER_PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	p=$$(command -v $$p) || continue; \
	[ "$$($$p -c 'import sys; print(sys.version_info[:2])')" = "$$($(PYTHON) -c 'import sys; print(sys.version_info[:2])')" ] || { echo $$p; break; }; done)
DEBIAN_PACKAGES = runc crun runsc containerd podman docker.io docker-cli buildah busybox-static libseccomp2 \
	gcc libc6-dev musl-tools auditd systemd strace criu util-linux faketime chromium fonts-dejavu-core prometheus curl kubernetes-client \
	golang-github-containers-common golang-github-opencontainers-specs-dev golang-github-kubernetes-cri-api-dev python3-venv mmdebstrap \
	binutils gcc-aarch64-linux-gnu qemu-user-static mandoc man-db zsh fish debhelper lintian rpm rpmlint \
	dnf createrepo-c \
	$(VM_PACKAGES)

# What tests/vm builds, boots and reaches its machines with
VM_PACKAGES = qemu-system-x86 qemu-system-arm qemu-utils e2fsprogs openssh-client

# The programs that tests/corpus runs under every mode
CORPUS_PACKAGES = util-linux keyutils numactl fio linux-perf bpftool strace chrony stress-ng curl \
	redis-server nginx-light postgresql nodejs openjdk-21-jdk-headless golang-go \
	git sqlite3 openssl xz-utils bzip2 zstd util-linux-extra

APT_PATIENCE = -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300

# These run a second time, with an agent for each installation and a launcher without musl: creates
# must behave the same.
WITH_AGENT = $(patsubst %,tests/runtime/%.py,create/test_confinement create/test_ledger create/test_overlay \
	create/test_bad_input launcher/test_exec_runtime create/test_restore create/test_diff verify/test_verify)

# The tests that matter on Debian's next release, with current runtimes and engines (tests/worlds).
# Left out: tests/page (Chromium is not a runtime), tests/perf (its numbers are for this release),
# tests/corpus (another 2 GB of the same programs), Prometheus' promtool, and a second Python.
FORKY_PACKAGES = $(filter-out runsc chromium fonts-dejavu-core prometheus kubernetes-client golang-% mmdebstrap binutils gcc-aarch64-% qemu-user-static mandoc man-db zsh fish debhelper lintian rpm rpmlint dnf createrepo-c $(VM_PACKAGES),$(DEBIAN_PACKAGES)) \
	golang-github-containers-common make ca-certificates procps
FORKY_RUNTIME = $(patsubst %,create/test_%,bad_input confinement diff int_arguments ledger modes overlay restore rootless) \
	launcher/test_exec_runtime observe/test_calls evidence/test_report evidence/test_runtimes_own_calls \
	verify/test_filters verify/test_verify
FORKY_ENGINE = $(addprefix confinement_,containerd podman) builtin_profiles profile_capture \
	optout_containerd \
	modes_containerd $(addprefix transaction_,containerd docker_podman)
FORKY_TESTS = $(wildcard tests/worlds/test_*.py) $(patsubst %,tests/runtime/%.py,$(FORKY_RUNTIME)) \
	$(patsubst %,tests/engine/test_%.py,$(FORKY_ENGINE))

# Two machines at the same time, each with its list, in this order: the first test installs, each
# file leaves the machine as it found it, and the last uninstalls.
VM_TESTS = $(patsubst %,tests/vm/test_%.py,install faults services engines records uninstall)
VM_CHANGES = tests/vm/test_install.py::$(VM_INSTALLED) $(patsubst %,tests/vm/test_%.py,transaction power_cuts registration power uninstall)
VM_INSTALLED = test_the_services_are_active_and_start_with_the_machine
VM_BOOKWORM = $(patsubst %,tests/vm/test_%.py,install services uninstall)
# The installer's pod by Podman, with its pod network and limits, on a machine of its own
VM_CLUSTER = tests/vm/test_cluster.py
# containerd 2 under its own systemd
VM_FORKY = $(patsubst %,tests/vm/test_%.py,install services transaction uninstall)

# And in this one in a box: another Debian release's systemd as process 1, on this kernel (tests/boxes).
BOX_TESTS = $(patsubst %,tests/vm/test_%.py,install registration services packages uninstall cluster)

.PHONY: help check lock test test-containers test-still test-records test-quick test-few test-unit test-unit-other test-runtime test-engine test-archive test-apart test-beside test-agent test-systemd test-vm test-vm-engines test-vm-changes vm-archive test-vm-short test-vm-cluster test-vm-arm64 test-vm-all test-page test-perf test-corpus corpus-report test-forky forky forky-ready bench picture dashboard-picture dist dist-packages image docs architecture packages campaign-faults campaign-fuzz mutants clean

help:           ## lists the targets
	@sed -n 's/^\([a-z0-9-]*\): .*## /\1\t/p' Makefile | expand -t 16

check: .venv/ready   ## linters, types, import contracts, licences and unit tests; no root, about three minutes
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/reuse lint --quiet || .venv/bin/reuse lint --lines
	.venv/bin/pytest tests/unit

# What needs no container, and takes long.
APART = tests/imports tests/launcher/test_wheel.py tests/launcher/test_fuzz.py \
	tests/campaigns/test_fuzz.py tests/page tests/kubernetes

# Real containers. These neither measure time nor read this kernel's records, which are of all
# containers, so they may run beside other work.
BESIDE = $(patsubst %,tests/runtime/%,cli create launcher verify) \
	$(filter-out %/test_what_would_break.py %/test_modes_containerd.py %/test_engine_default_adopted.py,$(wildcard tests/engine/test_*.py))

# What shares the kernel's records with all that runs on the machine.
ONCE_MORE = -p tests.reruns --reruns 1 --durations 25

# First, alone, what measures time. Then the containers' tests: three at a time those that may run
# beside others, alone those that read the kernel's records, last the next release's. What has no
# containers runs beside them all the time, and takes what they leave of the machine.
test: packages .venv/ready   ## everything, on real runtimes and engines; root, installs Debian packages
	.venv/bin/pytest $(ONCE_MORE) tests/perf bench
	$(MAKE) --no-print-directory -j2 -O test-containers test-still

test-containers:
	$(MAKE) --no-print-directory -j3 -O test-beside test-archive test-systemd test-agent forky-ready
	$(MAKE) --no-print-directory test-records
	$(MAKE) --no-print-directory test-forky

test-still:
	nice -n 15 $(MAKE) --no-print-directory -k check test-apart $(if $(OTHER_PYTHON),test-unit-other)

test-records: .venv/ready
	OTHER_PYTHON=$(OTHER_PYTHON) .venv/bin/pytest $(ONCE_MORE) tests/launcher tests/runtime tests/engine tests/corpus tests/campaigns $(addprefix --ignore=,$(APART) $(BESIDE))

test-beside: .venv/ready
	OTHER_PYTHON=$(OTHER_PYTHON) .venv/bin/pytest $(ONCE_MORE) $(BESIDE)

test-agent: .venv/ready
	CC=cc RUNC_WRAP_TEST_AGENT=1 .venv/bin/pytest $(ONCE_MORE) -m 'not cold' $(WITH_AGENT)

test-forky: packages   ## on Debian's next release, beside this one: current runc, crun, containerd, Podman; root, 1 GB
	$(PYTHON) -m tests.worlds forky $(FORKY_PACKAGES) -- make forky

# Makes that release's root directory and environment, ahead of its tests.
forky-ready: packages
	$(PYTHON) -m tests.worlds forky $(FORKY_PACKAGES) -- make .venv-forky/ready

forky: .venv-forky/ready
	.venv-forky/bin/pytest -k first tests/imports
	.venv-forky/bin/pytest $(ONCE_MORE) $(FORKY_TESTS)

test-quick: packages .venv/ready   ## what most changes break: unit, imports, launcher, one container each on runc and crun, hooks; root, under three minutes
	$(MAKE) --no-print-directory -j2 -O test-unit test-few

# Leaves out the launcher's builds (test_wheel), which take as long as all the others.
test-few: .venv/ready
	OTHER_PYTHON=$(OTHER_PYTHON) .venv/bin/pytest tests/imports tests/launcher --ignore=tests/launcher/test_wheel.py \
		tests/engine/test_hooks.py tests/runtime/create/test_confinement.py::test_a_container_without_a_profile_gets_one

test-unit: .venv/ready   ## unit tests only
	.venv/bin/pytest tests/unit

test-unit-other: .venv-other/ready   ## unit tests on a second Python, if there is one
	.venv-other/bin/pytest tests/unit

test-runtime: .venv/ready   ## real runc and crun only; root
	OTHER_PYTHON=$(OTHER_PYTHON) .venv/bin/pytest tests/imports tests/launcher tests/runtime
	RUNC_WRAP_TEST_AGENT=1 .venv/bin/pytest -m 'not cold' $(WITH_AGENT)

test-engine: .venv/ready   ## real containerd, Podman, Docker, Buildah only; root
	.venv/bin/pytest tests/engine

test-apart: .venv/ready
	OTHER_PYTHON=$(OTHER_PYTHON) .venv/bin/pytest $(APART)

test-archive: packages .venv/ready   ## the release archives and packages: built twice, run with nothing else there, installed, upgraded, on arm64; root, seven minutes
	.venv/bin/pytest tests/archive tests/packages

test-systemd: packages .venv/ready   ## the archive and the package under Debian 12's and the next release's systemd, containerd, Docker and Podman, in boxes; the cluster's installer under the former; root, eight minutes
	rm -rf build/boxes
	.venv/bin/python -m deploy.archive --preset 1 --to build/boxes amd64
	for suite in bookworm forky; do RUNC_WRAP_BOX=1 RUNC_WRAP_VM=$$suite \
		RUNC_WRAP_ARCHIVE=$$(echo build/boxes/*-linux-amd64.tar.xz) .venv/bin/pytest $(BOX_TESTS) || exit 1; done

test-vm: .venv/ready vm-archive   ## the archive on two whole machines of Debian 13 at once: systemd, engines, faults, power failures; root, emulated
	$(MAKE) --no-print-directory -j2 -O test-vm-engines test-vm-changes

test-vm-engines: .venv/ready
	$(VM_ARCHIVE) .venv/bin/pytest $(VM_TESTS)

test-vm-changes: .venv/ready
	$(VM_ARCHIVE) .venv/bin/pytest $(VM_CHANGES)

# Of this checkout, once for both; RUNC_WRAP_ARCHIVE names another. What is missing fails, here too.
VM_ARCHIVE = RUNC_WRAP_REQUIRE_ALL=1 RUNC_WRAP_ARCHIVE=$${RUNC_WRAP_ARCHIVE:-$$(echo build/machines/*-linux-amd64.tar.xz)}

vm-archive: packages .venv/ready
	rm -rf build/machines
	[ -n "$$RUNC_WRAP_ARCHIVE" ] || .venv/bin/python -m deploy.archive --preset 1 --to build/machines amd64

test-vm-short: packages .venv/ready   ## one such machine, only: installed, rebooted, engines' containers confined, services killed, uninstalled; root
	RUNC_WRAP_REQUIRE_ALL=1 .venv/bin/pytest -m short $(VM_TESTS)

test-vm-cluster: .venv/ready vm-archive   ## the cluster's installer on such a machine, its pod by Podman; root, emulated some forty minutes
	$(VM_ARCHIVE) .venv/bin/pytest $(VM_CLUSTER)

test-vm-all: test-vm   ## the same, the package on another machine, and a short programme on Debian 12 and the next release, and test-vm-cluster; root, 3 GB
	$(VM_ARCHIVE) .venv/bin/pytest tests/vm/test_packages.py
	$(VM_ARCHIVE) RUNC_WRAP_VM=bookworm .venv/bin/pytest $(VM_BOOKWORM)
	$(VM_ARCHIVE) RUNC_WRAP_VM=forky .venv/bin/pytest $(VM_FORKY)
	$(VM_ARCHIVE) .venv/bin/pytest $(VM_CLUSTER)
	$(MAKE) --no-print-directory test-vm-arm64

test-vm-arm64: packages .venv/ready   ## the archive on a whole arm64 machine of Debian 13: runc, crun, services, observe, a reboot; root, always emulated
	.venv/bin/pytest tests/vm/arm64

test-page: .venv/ready   ## the report's page in headless Chromium; root
	.venv/bin/pytest tests/page

test-perf: .venv/ready   ## cost: ratios within one run, and exact counts; root
	.venv/bin/pytest tests/perf bench

test-corpus: .venv/ready   ## Debian's real programs in every mode; root
	.venv/bin/pytest tests/corpus

corpus-report: packages .venv/ready   ## compares 163 programs in every mode on runc and crun with the kernel's own trace: table, build/corpus/report.json; root, a quarter of an hour
	.venv/bin/python -m tests.corpus $(CORPUS)

N ?= 100000
campaign-faults: packages .venv/ready   ## N creates (100,000) under injected faults; root, half an hour
	.venv/bin/python -m tests.campaigns.faults --creates $(N) --report build/faults.json

S ?= 3600
campaign-fuzz: packages .venv/ready   ## fuzzes every reader of foreign bytes, S seconds each (an hour), two at once; root
	.venv/bin/python -m tests.campaigns.fuzz --seconds $(S) $(TARGETS)

MINUTES ?= 20
BASE ?= main
mutants: .venv/mutants-ready   ## plants defects in MODULES (those changed since BASE, main), lists those that no unit test detects; MINUTES (20)
	.venv/bin/python -m tests.mutants --base $(BASE) --minutes $(MINUTES) $(MODULES)

bench: packages .venv/bench-ready   ## measures the cost: table, build/bench/bench.json and bench.svg; root, a third of an hour
	.venv/bin/python -m bench $(BENCH)

picture: packages .venv/bench-ready   ## draws docs/cold-create.svg: where the time of a cold create goes; root
	.venv/bin/python -m bench.picture docs/cold-create.svg

dashboard-picture: packages .venv/bench-ready   ## draws docs/dashboard.svg: Grafana's dashboard of a real agent that ran for four minutes; root, six minutes
	.venv/bin/python -m bench.dashboard_picture docs/dashboard.svg

dist: packages .venv/ready   ## builds the release archives, for amd64 and arm64, in build/dist; DIST=--locked for a release
	.venv/bin/python -m deploy.archive $(DIST) $(MACHINES)

dist-packages: dist   ## builds the packages, .deb and .rpm, from the archives in build/dist
	.venv/bin/python -m deploy.packages $(MACHINES)

image: dist   ## builds the image of a cluster's installer, for amd64 and arm64, from the archives in build/dist; buildah
	.venv/bin/python -m deploy.image $(IMAGE_URLS) $(MACHINES)

docs: .venv/ready   ## writes the generated parts: docs/policy.md, docs/architecture.md and .svg
	.venv/bin/python -m tests.documents

architecture: .venv/ready   ## writes docs/architecture.md and .svg only
	.venv/bin/python -m tests.documents architecture

packages:       ## installs the Debian packages that the tests need
	dpkg-query -W $(DEBIAN_PACKAGES) $(CORPUS_PACKAGES) >/dev/null 2>&1 || { apt-get $(APT_PATIENCE) update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get $(APT_PATIENCE) install -y -qq --no-install-recommends \
	$(DEBIAN_PACKAGES) $(CORPUS_PACKAGES); }

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.venv/bench-ready: .venv/ready
	.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

.venv/mutants-ready: .venv/ready
	.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[mutants]'
	touch $@

.venv-other/ready: pyproject.toml constraints.txt
	$(OTHER_PYTHON) -m venv .venv-other
	.venv-other/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.venv-forky/ready: pyproject.toml constraints.txt
	/usr/bin/python3 -m venv .venv-forky
	.venv-forky/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

lock: .venv/ready   ## rewrites requirements/*.txt: Python's and Debian's packages with their hashes, for every supported machine
	.venv/bin/python requirements/lock.py
	.venv/bin/python -m deploy.archive.debian_lock

clean:          ## removes what make and the tests created
	rm -rf .venv .venv-other .venv-forky build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
