# The front door. `make run` and `make test` need nothing but Rust, this folder and a network: they
# set up the rest themselves (.ci/setup). `make help` lists everything.

TARGET := $(or $(CARGO_TARGET_DIR),target)
WASM := wasm32-unknown-unknown
BIN := $(TARGET)/debug/tidegate

# Tools that .ci/setup had to put somewhere; Debian keeps nginx out of a plain user's path.
export TOOLS := $(abspath $(TARGET))/tools
export PATH := $(TOOLS)/bin:$(PATH):/usr/sbin

PLUGINS := $(notdir $(patsubst %/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml)))
GUESTS := $(notdir $(patsubst %/Cargo.toml,%,$(wildcard tests/guests/*/Cargo.toml)))
# Those that test what a component built for WASI can do; the others import nothing but the contract.
WASI_GUESTS := wasi wasi-grants wrong-world
# Released versions of the contract, each with a component of its own.
VERSIONS := $(notdir $(patsubst %/wit,%,$(wildcard tests/contract/*/wit)))
# Crates that depend on nothing heavy: their tests are built and done within a minute.
PURE := -p tidegate-config -p tidegate-route -p tidegate-chain

has = $(shell cargo $(1) --version >/dev/null 2>&1 && echo yes)
# All failures of a run, not the first alone: a run is long.
TEST = cargo $(if $(call has,nextest),nextest run --no-tests=pass,test) --no-fail-fast
step = @printf '\n==> %s\n' '$(1)'

# Long steps follow each other, so that what is shown belongs to one of them.
.NOTPARALLEL:
.PHONY: help run build release profile plugins bindings test check fmt bless fuzz bench microbench image-lint clean-run \
        setup-run setup-test setup-bench setup-profile setup-lint \
        bench-parts format pure clippy tested guests released unit integration examples docs contract dependencies

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: build plugins ## build everything, start the quickstart
	$(call step,starting the quickstart; try in another terminal:)
	@sed -n 's/^#[$$] /    /p' config/quickstart.toml
	@exec $(BIN) run --config config/quickstart.toml

test: setup-test format pure clippy tested plugins guests released examples unit integration docs contract dependencies ## every check and every test
	$(call step,all passed)

check: setup-run format pure clippy ## what to run before each commit: format, clippy, tests of the pure crates

build: setup-run ## the proxy, as target/debug/tidegate
	$(call step,building the proxy (some minutes the first time))
	cargo build

# What the proxy does most was recorded while it served the bench: the compiler lays its code out for that, which saves a
# fifth of the processor time outside the kernel. The file is named by its content, so that another one is another build.
# Functions are found in it by names that hang on what is built and how, so both builds select the same, and what a crate
# depends on makes them others.
OPTIMISED = cargo build --locked --release -p tidegate --bin tidegate --target $(TRIPLE)
TRIPLE = $(shell rustc -vV | sed -n 's/^host: //p')
RECORD := host/tidegate/release.profdata.gz
RECORDED = $(abspath $(TARGET))/release-$(firstword $(shell cksum < $(RECORD))).profdata
release: setup-run ## the proxy with all optimisations, as target/optimised/tidegate
	$(call step,building the proxy with all optimisations (a quarter of an hour the first time))
	@mkdir -p $(TARGET)
	@# Once: all of it is built anew where the file is newer than what was built.
	@[ -e $(RECORDED) ] || gzip -dc $(RECORD) > $(RECORDED)
	RUSTFLAGS="-Cprofile-use=$(RECORDED)" $(OPTIMISED)
	@mkdir -p $(TARGET)/optimised
	@ln -f $(TARGET)/$(TRIPLE)/release/tidegate $(TARGET)/optimised/tidegate
	@.ci/record-fits $(RECORDED) $(TARGET)/optimised/tidegate

PROFILED := $(TARGET)/profiled
# Those of Rust itself, if they are installed, otherwise Debian's: as new as the compiler, or not much older.
PROFDATA = $(firstword $(wildcard $(shell rustc --print target-libdir)/../bin/llvm-profdata) \
    $(foreach version,23 22 21 20 19,$(shell command -v llvm-profdata-$(version))) llvm-profdata)
profile: setup-profile plugins bench-parts ## record anew what the proxy does most, for `make release`
	$(call step,building a proxy that records what it does (a quarter of an hour the first time))
	RUSTFLAGS="-Cprofile-generate=$(abspath $(PROFILED))/record" $(OPTIMISED) --target-dir $(PROFILED)
	$(call step,serving requests of many kinds)
	rm -rf $(PROFILED)/record
	bench/run.py --tidegate $(PROFILED)/$(TRIPLE)/release/tidegate --build $(BENCH_BUILD) --out $(PROFILED)/bench \
	    --only tidegate --scenario plain,filter,plugins,pass,upper,log,tls,upload,websocket,routes --seconds 2 --rate-seconds 0 --reps 1
	$(PROFDATA) merge --sparse -o $(PROFILED)/record.profdata $(PROFILED)/record/*.profraw
	gzip -9nc $(PROFILED)/record.profdata > $(RECORD)

plugins: setup-run ## the bundled plugins, into config/plugins
	$(call step,building the bundled plugins)
	$(if $(PLUGINS),cargo build --profile plugin --target $(WASM) $(PLUGINS:%=-p tidegate-plugin-%))
	@# By a rename, so that a running proxy never reads half a file; and only what has changed.
	@mkdir -p config/plugins
	@for name in $(PLUGINS); do \
	    built=$(TARGET)/$(WASM)/plugin/tidegate_plugin_$$(echo $$name | tr - _).wasm; \
	    to=config/plugins/$$name.wasm; \
	    cmp -s $$built $$to && continue; \
	    cp $$built config/plugins/.$$name.tmp && mv -f config/plugins/.$$name.tmp $$to || exit 1; \
	    echo "    $$to is new"; \
	done

BINDGEN := cargo run --quiet --manifest-path sdk/rust/bindgen/Cargo.toml --target-dir $(TARGET)/bindgen
bindings: ## the SDK's bindings, after a change of wit/
	$(BINDGEN)

fmt: ## format all code
	cargo fmt --all

bless: setup-run ## accept the present output of golden tests, and generate what is generated; read the diff
	BLESS=1 cargo test -p tidegate-config -p tidegate-sdk

CASES ?= 100000
FUZZ_SECONDS ?= 60
FUZZ_TARGETS = $(basename $(notdir $(wildcard tests/fuzz/fuzz_targets/*.rs)))
FUZZ = for name in $(FUZZ_TARGETS); do cargo +nightly fuzz run --fuzz-dir tests/fuzz \
    --target-dir $(TARGET)/fuzz $$name -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done
fuzz: setup-run ## many more cases (CASES) of property tests, and each fuzz target for FUZZ_SECONDS
	PROPTEST_CASES=$(CASES) cargo test --release $(PURE) -p tidegate-listen
	$(if $(call has,fuzz),$(FUZZ),@echo 'cargo-fuzz is not installed: no fuzz target was run')

bench: setup-bench plugins release bench-parts ## the proxy beside its peers (BENCH="--scenario filter --reps 5"); see bench/README.md
	$(call step,measuring)
	bench/run.py --tidegate $(TARGET)/optimised/tidegate --build $(BENCH_BUILD) --out $(TARGET)/bench $(BENCH)

BENCH_BUILD := $(TARGET)/bench-build
bench-parts: setup-run
	$(call step,building the filters of the bench and its load generator)
	cargo build --release --locked --manifest-path bench/filters/Cargo.toml --target $(WASM) --target-dir $(BENCH_BUILD)
	cargo build --release --locked --manifest-path bench/load/Cargo.toml --target-dir $(BENCH_BUILD)
	cargo build --release --locked -p tidegate-http --example plain_pingora

# Selected with the proxy, so that both are built with the same features, and what they stand on once.
MICROBENCHES := --bench lookup --bench chain --bench call
microbench: setup-run plugins ## what a lookup of a route, the chain and a call of a plugin take by themselves
	cargo bench -p tidegate -p tidegate-http -p tidegate-route -p tidegate-chain -p tidegate-wasm $(MICROBENCHES)

image-lint: setup-lint ## lint the Dockerfile
	hadolint Dockerfile

clean-run: ## prove the two commands on a fresh clone of the last commit
	.ci/clean-run

setup-run setup-test setup-bench setup-profile setup-lint: setup-%:
	@.ci/setup $*

# The steps of `make test`, in order.

format:
	$(call step,format)
	cargo fmt --all --check

pure:
	$(call step,tests of the pure crates)
	$(TEST) $(PURE)

clippy:
	$(call step,clippy)
	cargo clippy --workspace --all-targets -- -D warnings

# Development dependencies turn on features of Wasmtime's and Pingora's dependencies. So this step and
# the two of tests select the same: all of it is built once, and the proxy is the one that is tested.
tested:
	$(call step,building the proxy and the tests (some minutes the first time))
	cargo build --workspace --bins --tests

guests: PLAIN = $(filter-out $(WASI_GUESTS),$(GUESTS))
guests: setup-test
	$(call step,building the guests that misbehave in tests)
	cargo build --profile plugin --target $(WASM) $(PLAIN:%=-p tidegate-guest-%)
	cargo build --profile plugin --target wasm32-wasip2 $(WASI_GUESTS:%=-p tidegate-guest-%)
	@mkdir -p $(TARGET)/guests
	@for name in $(GUESTS); do \
	    case " $(WASI_GUESTS) " in *" $$name "*) wasm=wasm32-wasip2;; *) wasm=$(WASM);; esac; \
	    built=$(TARGET)/$$wasm/plugin/tidegate_guest_$$(echo $$name | tr - _).wasm; \
	    to=$(TARGET)/guests/$$name.wasm; \
	    cmp -s $$built $$to && continue; \
	    cp $$built $$to.tmp && mv -f $$to.tmp $$to || exit 1; \
	done

# Each stands outside the workspace: it is built for the contract as it was, not as it is.
CONTRACT := $(TARGET)/contract
released: setup-test
	$(call step,building the components for released versions of the contract)
	@for version in $(VERSIONS); do \
	    crate="--manifest-path tests/contract/$$version/Cargo.toml --target-dir $(CONTRACT)"; \
	    cargo build --release --locked $$crate --target $(WASM) && \
	    cargo build --release --locked $$crate --target wasm32-wasip2 && \
	    mkdir -p $(CONTRACT)/$$version && \
	    cp $(CONTRACT)/$(WASM)/release/every_function.wasm $(CONTRACT)/$$version/every-function.wasm && \
	    cp $(CONTRACT)/wasm32-wasip2/release/every_function.wasm $(CONTRACT)/$$version/every-function-wasi.wasm || exit 1; \
	done

unit:
	$(call step,unit tests)
	$(TEST) --workspace --lib --bins

integration: export TIDEGATE_BIN := $(abspath $(BIN))
integration:
	$(call step,integration tests)
	$(TEST) --workspace --test '*'

# The example stands outside the workspace, as a plugin author's folder does.
HELLO := --manifest-path examples/hello-plugin/Cargo.toml --target-dir $(TARGET)/examples
examples:
	$(call step,the example plugin in each way to build it)
	cargo build --release $(HELLO) --target $(WASM)
	cargo build --release $(HELLO) --target wasm32-wasip2
	$(if $(call has,component),cargo component build --release $(HELLO),@echo 'cargo component is not installed: that way is not tested')
	for built in $(TARGET)/examples/wasm32-*/release/hello_plugin.wasm; do \
	    $(BIN) plugin inspect $$built || exit 1; done

COMPARE := --quiet --manifest-path tests/contract/check/Cargo.toml --target-dir $(TARGET)/bindgen
contract: export CONTRACT_COMPONENTS := $(abspath $(CONTRACT))
contract: released
	$(call step,the bindings of the SDK against wit/)
	$(BINDGEN) -- --check
	$(call step,wit/ against the released versions of the contract)
	cargo test $(COMPARE)
	cargo run $(COMPARE)

docs:
	$(call step,examples in the documentation)
	cargo test --workspace --doc

# Advisories come from a database that is fetched; without a network they say nothing.
DENY = cargo deny check bans licenses sources && if cargo deny fetch db; \
    then cargo deny check --disable-fetch advisories; else echo 'advisories are not checked'; fi
dependencies:
	$(call step,licences and sources of dependencies)
	$(if $(call has,deny),$(DENY),@echo 'cargo-deny is not installed: not checked')
