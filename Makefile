# Everything here is a short name for a Go program; see the doc comment of each
# below tools/.
GO    ?= go
TPM   ?= tis
ACCEL ?= tcg
RELEASE ?= bookworm
BUILD := build

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: deps images ## boot Xen with manager, vTPM and guest, and tell the story (RELEASE=trixie, TPM=crb, ACCEL=kvm)
	$(if $(filter trixie,$(RELEASE)),$(GO) run ./tools/deps -for trixie)
	$(GO) run ./tools/xenlab run -release $(RELEASE) -tpm $(TPM) -accel $(ACCEL)

.PHONY: test
test: deps images ## all tests: units, fuzz seeds, real clients, bare metal, a real Xen
	$(GO) run ./tools/check

.PHONY: test-unit
test-unit: ## the tests that need nothing but Go, in seconds
	$(GO) test -short ./...

.PHONY: images
images: ## build the unikernels, the command stubtpm and its manual pages, and measure them
	@mkdir -p $(BUILD)/images
	$(GO) run ./tools/baremetal build -o $(BUILD)/images/vtpmmgr.elf ./stubdom/vtpmmgr
	$(GO) run ./tools/baremetal build -o $(BUILD)/images/vtpm.elf ./stubdom/vtpm
	$(GO) run ./tools/baremetal build -o $(BUILD)/images/loader.elf ./stubdom/loader
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BUILD)/stubtpm ./tools/stubtpm
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BUILD)/ringabuse ./tools/ringabuse
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BUILD)/stubtpm-host ./tools/stubtpm-host
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BUILD)/guestbridge ./tools/guestbridge
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BUILD)/stubtpm-guest ./tools/stubtpm-guest
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BUILD)/pqclient ./tools/pqclient
	$(GO) run ./tools/image manifest $(BUILD)/images
	$(BUILD)/stubtpm man $(BUILD)/man

.PHONY: deps
deps: ## get the Debian packages that are missing (root or sudo)
	$(GO) run ./tools/deps

.PHONY: vet
vet: ## gofmt, go vet, staticcheck, and the rules of tools/house
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'not formatted by gofmt'; exit 1; }
	$(GO) vet ./...
	$(GO) run ./tools/baremetal vet
	$(GO) tool -modfile=tools/check/lint/go.mod staticcheck ./...
	$(GO) test ./tools/house

.PHONY: conformance
conformance: ## other projects' test suites and Debian's programs on this device; writes docs/conformance.md
	$(GO) run ./tools/deps -for everyday
	cd tools/conformance && $(GO) run . -record

.PHONY: difftest-long
difftest-long: ## 100,000 generated commands: this device against swtpm, 20,000 against the reference
	$(GO) run ./tools/difftest -n 100000
	cd tools/difftest/msref && DIFFTEST_COMMANDS=20000 $(GO) test -count=1 ./...

.PHONY: bench
bench: deps images ## this device against swtpm, and what manager and vTPM cost on Xen
	$(GO) run ./tools/tpmbench -n 2000 -rounds 20
	$(GO) run ./tools/tpmbench -many
	$(GO) run ./tools/tpmbench -185
	$(GO) run ./tools/xenlab bench -tpm $(TPM) -accel $(ACCEL)

INVARIANTS ?= 1h
CAMPAIGN ?= 28
KILLS ?= 50
GUESTS ?= 3
.PHONY: soak
soak: deps ## the device driven by generated commands for INVARIANTS (1h); an accident at every step of CAMPAIGN (28) commands: power, disks, hardware TPM; 10,000 exchanges with other implementations of ML-KEM and ML-DSA; KILLS (50) domains destroyed on Xen, disks that stall there for 90 s, firmware that goes back; hours
	$(GO) run ./tools/invariants -for $(INVARIANTS) -seed $$(date +%s)
	STUBTPM_LONG=1 $(GO) test -count 1 -timeout 1h -v -run '^TestAgainstLibraries' ./vtpm/tpmcrypto/mlkem ./vtpm/tpmcrypto/mldsa
	STUBTPM_CAMPAIGN=$(CAMPAIGN) $(GO) test -count 1 -timeout 4h -v -run '^Test(Campaign|GuestLives)' ./stubdom/service
	STUBTPM_CAMPAIGN=$(CAMPAIGN) $(GO) test -count 1 -timeout 2h -v -run '^TestMutations' ./stubdom/service
	$(MAKE) images
	STUBTPM_XEN=1 STUBTPM_GUESTS=$(GUESTS) STUBTPM_KILLS=$(KILLS) $(GO) test -count 1 -timeout 4h -v -run '^TestXenLife' ./tools/xenlab/scenario
	STUBTPM_XEN=1 STUBTPM_LONG=1 $(GO) test -count 1 -timeout 2h -v -run '^TestXen(Trouble|Firmware|Pair|Migrate|Save|Doorbell|PostQuantum)' ./tools/xenlab/scenario

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	$(GO) run ./tools/check -fuzz $(FUZZTIME)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD)
