# make help       lists the targets
PYTHON ?= $(shell command -v /usr/bin/python3 || command -v python3)
# A second interpreter of another version, if the machine has one: both must work.
OTHER_PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	p=$$(command -v $$p) || continue; \
	[ "$$($$p -c 'import sys; print(sys.version_info[:2])')" = "$$($(PYTHON) -c 'import sys; print(sys.version_info[:2])')" ] || { echo $$p; break; }; done)
# What each list and target needs of Debian, and no more: `make packages` installs the first, each
# other target its own.
PACKAGES = runc crun containerd podman docker.io docker-cli buildah busybox-static \
	gcc libc6-dev musl-tools binutils auditd systemd strace criu libcriu2 util-linux procps curl git openssl python3-venv \
	prometheus kubernetes-client golang-github-containers-common mmdebstrap mandoc stress-ng redis-server nginx-light xz-utils
DIST_PACKAGES = python3-venv git gcc libc6-dev binutils xz-utils gcc-aarch64-linux-gnu
IMAGE_PACKAGES = $(DIST_PACKAGES) buildah netavark
SHELL_PACKAGES = zsh fish
OTHER_RUNTIMES = runsc
ARCHIVE_PACKAGES = gcc-aarch64-linux-gnu qemu-user-static
PACKAGE_PACKAGES = $(ARCHIVE_PACKAGES) debhelper lintian
FUZZ_PACKAGES = golang-go golang-github-opencontainers-specs-dev
PAGE_PACKAGES = chromium fonts-dejavu-core
VM_PACKAGES = qemu-system-x86 qemu-system-arm qemu-utils e2fsprogs openssh-client gcc-aarch64-linux-gnu
# The programs that tests/corpus runs under every mode
CORPUS_PACKAGES = util-linux keyutils numactl fio linux-perf bpftool strace chrony stress-ng curl \
	redis-server nginx-light postgresql nodejs openjdk-21-jdk-headless golang-go \
	git sqlite3 openssl xz-utils bzip2 zstd util-linux-extra

APT_PATIENCE = -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300
# $(call debian,PACKAGES) installs what is missing of them.
debian = @dpkg-query -W $(1) >/dev/null 2>&1 || { apt-get $(APT_PATIENCE) update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get $(APT_PATIENCE) install -y -qq --no-install-recommends $(1); }

# These run a second time, with an agent for each installation: creates must behave the same.
WITH_AGENT = tests/runtime/create/test_confinement.py \
	tests/runtime/create/test_overlay.py::test_two_lines_in_the_policy_deny_from_the_next_container_on
ALL_WITH_AGENT = $(patsubst %,tests/runtime/%.py,create/test_confinement create/test_overlay \
	create/test_bad_input launcher/test_exec_runtime \
	create/test_restore create/test_diff verify/test_verify)

# The tests that matter on Debian's next release, with current runtimes and engines (tests/worlds).
# Each commit tries each mode on each engine there; all of them are of the nightly list.
FORKY_PACKAGES = runc crun containerd podman docker.io docker-cli buildah busybox-static libseccomp2 gcc libc6-dev \
	musl-tools auditd systemd strace criu libcriu2 util-linux curl python3-venv golang-github-containers-common make \
	ca-certificates procps
# Of the runtimes' tests, what a newer runtime or libseccomp can break.
FORKY_RUNTIME = $(patsubst %,create/test_%,bad_input confinement int_arguments modes restore) \
	live/test_execs observe/test_calls evidence/test_runtimes_own_calls verify/test_filters
FORKY_ENGINE = $(addprefix confinement_,clients containerd) builtin_profiles profile_capture modes_containerd
ALL_OF_FORKY = $(wildcard tests/worlds/test_*.py) $(patsubst %,tests/runtime/%.py,$(FORKY_RUNTIME)) \
	$(patsubst %,tests/engine/test_%.py,$(FORKY_ENGINE))
SOME_OF_FORKY = tests/worlds/test_forky.py tests/runtime/create/test_modes.py \
	tests/engine/test_modes_containerd.py tests/engine/test_confinement_clients.py

# In this order: the first test installs, each file leaves the machine as it found it, and the last
# uninstalls. What a box shows as well (tests/boxes) is not here.
VM_TESTS = $(patsubst %,tests/vm/test_%.py,installed engines records power_cuts tighten power uninstalled)
VM_SHORT = $(patsubst %,tests/vm/test_%.py,installed uninstalled)

.PHONY: $(shell sed -n 's/^\([a-z][a-z0-9-]*\):.*/\1/p' Makefile)

help:           ## lists the targets
	@sed -n 's/^\([a-z0-9-]*\): .*## /\1\t/p' Makefile | expand -t 16

check: lint test-unit   ## linters, types, import contracts, licences and unit tests; no root, about three minutes

lint: .venv/ready   ## linters, types, import contracts, licences
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/reuse lint --quiet || .venv/bin/reuse lint --lines

# The list that a person waits for: three targets at a time, the longest first, as containers' tests wait
# as much as they work. Then what reads the kernel's records, which are of all containers, beside what
# has no container whose calls are logged, and no agent. It goes on after a failure, and fails in the end.
CONTAINERS = test-runtime test-engine test-forky test-services test-box test-faults test-recorded test-agent
RECORDS = test-records test-unit test-archive test-kubernetes test-imports test-launcher lint
QUIETLY = --no-print-directory
make := $(MAKE) $(QUIETLY)

# $(call each,FLAGS,TARGETS...) makes each, and fails in the end if one did.
each = failed=; for target in $(2); do $(MAKE) $(QUIETLY) $(1) $$target || failed="$$failed $$target"; done; \
	[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

test: packages .venv/ready   ## what each commit has to pass, on real runtimes and engines; root, installs Debian packages; 25 minutes
	@failed=; \
	$(MAKE) $(QUIETLY) -k -j3 -O $(CONTAINERS) || failed=yes; \
	$(MAKE) $(QUIETLY) -k -j2 -O FRESH= $(RECORDS) || failed=yes; \
	[ -z "$$failed" ]

# All the rest, one after the other; each can run alone. `make nightly-X` makes X and writes into
# tests/nightly.toml what came of it; `.ci/run` lists those that nobody ran for ten days.
NIGHTLY = test-perf test-unit-other test-unit-long test-install test-slow test-other-programs test-agent-all \
	test-archive-all test-packages test-wheel test-tighten-programs test-tighten-calls test-tighten-killed test-fuzz test-page test-corpus-all test-forky-all test-systemd \
	test-vm test-vm-more test-vm-arm64

nightly:        ## all the rest: other Pythons, releases, architectures, machines, packages, programs, fuzzing; root, some five hours
	+@$(call each,,$(addprefix nightly-,$(NIGHTLY)))

nightly-%:
	$(PYTHON) -m tests.nightly $* $(make) $*

nightly-list:   ## lists the nightly targets with what came of them last
	@$(PYTHON) -m tests.nightly --list $(NIGHTLY)

nightly-old:
	@$(PYTHON) -m tests.nightly --old $(NIGHTLY)

# What shares the kernel with all that runs on the machine.
ONCE_MORE = -p tests.reruns --reruns 1 --durations 15

# This and the archive are made anew by each make, but for those that a make begins.
FRESH = FORCE
FORCE:

# One installation for all runs: a run makes copies of it.
INSTALLED = RUNC_WRAP_TEST_INSTALLED=$(CURDIR)/build/installed
build/installed: .venv/ready $(FRESH)
	rm -rf $@
	./install.sh --prefix $(CURDIR)/$@ --python /usr/bin/python3 --no-services --quiet
	.venv/bin/python -m harness.node.proofs $@

# Of CRI, engines' interface: Debian's package of it would bring 1.7 GB of Go's sources along.
build/api.proto:
	rm -rf build/cri-api
	mkdir -p build/cri-api
	cd build/cri-api && { $(CRI_API) || { apt-get $(APT_PATIENCE) update -qq && $(CRI_API); }; }
	dpkg-deb --fsys-tarfile build/cri-api/*.deb | tar -xO ./usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto > $@.new
	mv $@.new $@
CRI_API = apt-get $(APT_PATIENCE) -o APT::Sandbox::User=root download -qq golang-github-kubernetes-cri-api-dev

# The archive of this checkout, built once for all that needs it; RUNC_WRAP_ARCHIVE names another.
ARCHIVE = RUNC_WRAP_ARCHIVE=$${RUNC_WRAP_ARCHIVE:-$$(echo $(CURDIR)/build/archive/*-linux-amd64.tar.xz)}
build/archive: .venv/ready $(FRESH)
	rm -rf $@
	[ -n "$$RUNC_WRAP_ARCHIVE" ] || .venv/bin/python -m deploy.archive --preset 1 --to $@ amd64

# Real installations by install.sh, in every state of a node: a quarter of a minute each.
INSTALLING = $(patsubst %,tests/runtime/%.py,launcher/test_install_script launcher/test_installation \
	create/test_hostile agent/test_upgrade)
# What takes long, or whose subject is time.
SLOW = $(patsubst %,tests/runtime/%.py,evidence/test_audit_speed agent/test_wakeups agent/test_dashboard \
	observe/test_flood)
OTHER_PROGRAMS = tests/runtime/cli/test_completion.py tests/runtime/create/test_other_runtimes.py
# What judges by the kernel's records, where calls of other containers cast doubt on a verdict.
READING = tests/runtime/evidence $(patsubst %,tests/engine/test_%.py,what_would_break modes_containerd) \
	$(patsubst %,tests/corpus/test_%.py,sample candidate hostile)
IGNORED = $(addprefix --ignore=,$(READING))
LATER = $(addprefix --ignore=,$(INSTALLING) $(SLOW) $(OTHER_PROGRAMS))

test-unit: .venv/ready   ## unit tests only
	.venv/bin/pytest -n 2 --maxprocesses 2 tests/unit

test-imports: .venv/ready   ## import contracts, and exact counts of the hot path's modules and system calls; root
	.venv/bin/pytest -k 'not second' tests/imports bench

test-launcher: .venv/ready build/installed   ## the launcher in C by itself; root
	$(INSTALLED) .venv/bin/pytest tests/launcher --ignore=tests/launcher/test_wheel.py --ignore=tests/launcher/test_fuzz.py

test-kubernetes: .venv/ready   ## manifests, admission policies and the plugin
	.venv/bin/pytest tests/kubernetes

test-runtime: .venv/ready build/installed   ## real runc and crun only; root
	$(INSTALLED) .venv/bin/pytest $(ONCE_MORE) $(patsubst %,tests/runtime/%,cli create launcher live tighten verify) $(LATER)

test-services: .venv/ready build/installed   ## the two services, and the cluster's commands on a node; root
	$(INSTALLED) .venv/bin/pytest $(ONCE_MORE) $(patsubst %,tests/runtime/%,agent observe cluster) $(LATER)

test-agent: .venv/ready build/installed   ## creates decided by the agent; root
	$(INSTALLED) RUNC_WRAP_TEST_AGENT=1 .venv/bin/pytest $(ONCE_MORE) -m 'not cold' $(WITH_AGENT)

test-faults: .venv/ready   ## creates under faults; root
	.venv/bin/pytest $(ONCE_MORE) tests/campaigns/test_faults.py

test-recorded: .venv/ready build/installed   ## real programs, recorded and enforced with what was recorded; root
	$(INSTALLED) .venv/bin/pytest $(ONCE_MORE) tests/corpus/test_recorded.py

test-engine: .venv/ready build/installed build/api.proto   ## real containerd, Podman, Docker, Buildah only; root
	$(INSTALLED) .venv/bin/pytest $(ONCE_MORE) tests/engine $(IGNORED)

test-records: .venv/ready build/installed build/api.proto   ## what reads the kernel's records; root
	$(INSTALLED) .venv/bin/pytest $(ONCE_MORE) $(READING) $(LATER)

test-archive: .venv/ready build/archive   ## the release archive, run with nothing else there; root
	$(ARCHIVE) .venv/bin/pytest -k 'not arm64 and not second_build' tests/archive --ignore=tests/archive/test_image.py

test-box: .venv/ready build/archive build/api.proto   ## the archive under Debian 12's systemd and engines in a box: installed, registered, taken back, served, the cluster's loop, uninstalled; root
	$(ARCHIVE) RUNC_WRAP_SUITE=bookworm .venv/bin/pytest tests/boxes --ignore=tests/boxes/test_packages.py

test-forky: build/api.proto   ## each mode on each engine on Debian's next release, beside this one; root, 1 GB
	$(PYTHON) -m tests.worlds forky $(FORKY_PACKAGES) -- make forky-some

forky-some: .venv-forky/ready
	.venv-forky/bin/pytest $(ONCE_MORE) $(SOME_OF_FORKY)

forky-all: .venv-forky/ready
	.venv-forky/bin/pytest -k first tests/imports
	.venv-forky/bin/pytest $(ONCE_MORE) $(ALL_OF_FORKY)

test-quick: packages .venv/ready   ## what most changes break: unit, imports, launcher, one container each on runc and crun, hooks; root, under three minutes
	$(MAKE) $(QUIETLY) -j2 -O test-unit test-few

test-few: .venv/ready build/installed
	$(INSTALLED) .venv/bin/pytest -k 'not second' tests/imports tests/launcher --ignore=tests/launcher/test_wheel.py --ignore=tests/launcher/test_fuzz.py \
		tests/engine/test_hooks.py tests/runtime/create/test_confinement.py::test_a_container_without_a_profile_gets_one

# The nightly list's.

test-unit-other: .venv-other/ready   ## unit tests on a second Python, if there is one; the imports' too
	.venv-other/bin/pytest -n 2 tests/unit
	OTHER_PYTHON=$(OTHER_PYTHON) .venv/bin/pytest -k second tests/imports

test-unit-long: .venv/ready   ## what hypothesis draws, a thousand times each
	RUNC_WRAP_EXAMPLES=1000 .venv/bin/pytest -n 2 -m hypothesis --timeout 3600 tests/unit

test-install: packages .venv/ready build/installed   ## install.sh and uninstall on this machine, with every failure; root
	$(call debian,$(SHELL_PACKAGES))
	$(INSTALLED) .venv/bin/pytest $(ONCE_MORE) $(INSTALLING)

test-slow: packages .venv/ready build/installed   ## what takes long, or whose subject is time; root, alone
	$(INSTALLED) .venv/bin/pytest $(ONCE_MORE) $(SLOW)

test-other-programs: packages .venv/ready build/installed   ## shells' completions, gVisor's runsc; root
	$(call debian,$(SHELL_PACKAGES) $(OTHER_RUNTIMES))
	$(INSTALLED) .venv/bin/pytest $(OTHER_PROGRAMS)

test-agent-all: packages .venv/ready   ## every create decided by the agent, with a launcher that is not musl's; root
	CC=cc RUNC_WRAP_TEST_AGENT=1 .venv/bin/pytest $(ONCE_MORE) -m 'not cold' $(ALL_WITH_AGENT)

test-archive-all: packages .venv/ready   ## both machines' archives and the image: built twice, and run on arm64; root
	$(call debian,$(ARCHIVE_PACKAGES))
	.venv/bin/pytest tests/archive

test-packages: packages .venv/ready   ## the packages: built twice, installed, upgraded, removed; root
	$(call debian,$(PACKAGE_PACKAGES))
	.venv/bin/pytest tests/packages

# Whom a tightening must not disturb: each in a hundred containers, or before four hundred calls of ptrace.
TIGHTENED = $(INSTALLED) RUNC_WRAP_TEST_RUNS=100 RUNC_WRAP_TEST_KILLS=400 .venv/bin/pytest --timeout 3600 -n 2 --dist worksteal \
	tests/runtime/tighten

test-tighten-programs: packages .venv/ready build/installed   ## programs under load whose processes get filters, for an hour; root
	$(call debian,$(CORPUS_PACKAGES))
	$(TIGHTENED)/test_workloads.py

test-tighten-calls: packages .venv/ready build/installed   ## blocking calls that go on while their threads get filters; root
	$(TIGHTENED)/test_calls_go_on.py

test-tighten-killed: packages .venv/ready build/installed   ## tightenings that are killed; root
	$(TIGHTENED)/test_killed.py

test-wheel: packages .venv/ready   ## the launcher built by each compiler, and fuzzed; root
	.venv/bin/pytest tests/launcher/test_wheel.py tests/launcher/test_fuzz.py

test-fuzz: packages .venv/ready   ## a short fuzzing of every reader of foreign bytes; root
	$(call debian,$(FUZZ_PACKAGES))
	.venv/bin/pytest tests/campaigns

test-page: packages .venv/ready   ## the report's page in headless Chromium; root
	$(call debian,$(PAGE_PACKAGES))
	.venv/bin/pytest tests/page

test-perf: packages .venv/ready   ## cost: ratios within one run; root, alone
	.venv/bin/pytest $(ONCE_MORE) tests/perf

test-corpus-all: packages .venv/ready build/installed   ## 163 of Debian's real programs in every mode on runc and crun, compared with the kernel's own trace; root, 1 GB
	$(call debian,$(CORPUS_PACKAGES))
	RUNC_WRAP_TEST_CORPUS=999 $(INSTALLED) .venv/bin/pytest $(ONCE_MORE) tests/corpus

test-forky-all: packages build/api.proto   ## all that matters on Debian's next release; root, 1 GB
	$(PYTHON) -m tests.worlds forky $(FORKY_PACKAGES) -- make forky-all

test-systemd: packages .venv/ready build/archive build/api.proto   ## the archive and the package under Debian 12's and the next release's systemd, containerd, Docker and Podman, in boxes; root, eight minutes
	$(call debian,$(PACKAGE_PACKAGES))
	@failed=; for suite in bookworm forky; do RUNC_WRAP_SUITE=$$suite $(ARCHIVE) .venv/bin/pytest tests/boxes || failed=yes; done; [ -z "$$failed" ]

test-vm: vm-ready   ## what only a machine of its own kernel shows, on Debian 13: a reboot, systemd's cgroups, AppArmor, who takes audit records, power failures; root, emulated
	$(ARCHIVE) .venv/bin/pytest $(VM_TESTS)

vm-ready: packages .venv/ready build/archive build/api.proto
	$(call debian,$(VM_PACKAGES))

test-vm-more: vm-ready   ## installed, registered, rebooted, uninstalled on machines of Debian 12 and the next release; root, emulated, 3 GB
	@failed=; for suite in bookworm forky; do RUNC_WRAP_SUITE=$$suite $(ARCHIVE) .venv/bin/pytest $(VM_SHORT) || failed=yes; done; [ -z "$$failed" ]

test-vm-arm64: packages .venv/ready   ## the archive on a whole arm64 machine of Debian 13: runc, crun, services, observe, a reboot; root, always emulated
	$(call debian,$(VM_PACKAGES) $(ARCHIVE_PACKAGES))
	.venv/bin/pytest tests/vm/arm64

N ?= 100000
campaign-faults: packages .venv/ready   ## N creates (100,000) under injected faults; root, half an hour
	RUNC_WRAP_TEST_CREATES=$(N) RUNC_WRAP_TEST_SEED=$$(date +%s) .venv/bin/pytest -s --timeout 14400 -k no_fault tests/campaigns/test_faults.py

S ?= 3600
campaign-fuzz: packages .venv/ready   ## fuzzes every reader of foreign bytes, S seconds each (an hour), two at once; root
	$(call debian,$(FUZZ_PACKAGES))
	RUNC_WRAP_TEST_FUZZ=$(S) .venv/bin/pytest -n 2 --timeout 0 -k no_fuzzed tests/campaigns/test_fuzz.py

MINUTES ?= 20
BASE ?= main
mutants: .venv/mutants-ready   ## plants defects in MODULES (those changed since BASE, main), lists those that no unit test detects; MINUTES (20)
	.venv/bin/python -m tests.mutants --base $(BASE) --minutes $(MINUTES) $(MODULES)

bench: packages .venv/ready   ## measures the cost, prints a table; root, a third of an hour
	.venv/bin/python -m bench $(BENCH)

dist: .venv/dist-ready   ## builds the release archives, for amd64 and arm64, in build/dist; DIST=--locked for a release
	.venv/bin/python -m deploy.archive $(DIST) $(MACHINES)

dist-packages: dist   ## builds the packages, .deb, from the archives in build/dist
	$(call debian,$(PACKAGE_PACKAGES))
	.venv/bin/python -m deploy.packages.debian_package $(MACHINES)

image: image-debian dist   ## builds the image of a cluster's installer, for amd64 and arm64, from the archives in build/dist; buildah
	.venv/bin/python -m deploy.image $(IMAGE_URLS) $(MACHINES)

dist-debian:
	$(call debian,$(DIST_PACKAGES))

image-debian:
	$(call debian,$(IMAGE_PACKAGES))

architecture: .venv/ready   ## writes build/architecture.md: every file with its first line, every import between rooms
	.venv/bin/python -m tests.architecture

packages:       ## installs the Debian packages that `make test` needs
	$(call debian,$(PACKAGES))

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# What building needs; .venv/ready has it, too.
.venv/dist-ready: pyproject.toml constraints.txt | dist-debian
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dist]'
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
	.venv/bin/python -m deploy.archive.debian_packages

clean:          ## removes what make and the tests created
	rm -rf .venv .venv-other .venv-forky build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
