# Everything here does its own set-up, on a fresh machine too.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

BUS ?= embedded
FOR ?= 30s
OUTPUT ?= text
SEED ?= 1
COUNT ?= 20
RECORDS ?= 10000000

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## simulator, bridge, bus and consumer for FOR=30s, checked at the end; BUS=embedded|kafka|nats OUTPUT=text|json
	@scripts/bootstrap rust build $(if $(filter kafka,$(BUS)),java python) $(if $(filter nats,$(BUS)),python)
	@cargo build --quiet
	@scripts/with-bus $(BUS) target/debug/asana-event-bridge demo --for $(FOR) --bus $(BUS) --output $(OUTPUT)

.PHONY: test
test: lint ## every check: format, lints, docs, unit, property, simulation, real Kafka, real NATS, foreign clients
	scripts/services install all
	cargo test
	cargo test --doc

.PHONY: lint
lint: ## format, lints, documentation, the contract's compatibility, and each set of features
	scripts/bootstrap
	scripts/lint-proto
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet
	cargo check --quiet --no-default-features
	cargo check --quiet --no-default-features --features consumer
	cargo check --quiet --no-default-features --features consumer-kafka,consumer-nats
	cargo check --quiet --no-default-features --features kafka
	cargo check --quiet --no-default-features --features nats

.PHONY: kill
kill: ## kill -9 the bridge COUNT=20 times under load, then count with a foreign consumer; BUS=kafka|nats|nats-old SEED=1
	scripts/bootstrap rust build python java
	KILL_BUS=$(if $(filter embedded,$(BUS)),kafka,$(BUS)) KILL_SEED=$(SEED) KILL_COUNT=$(COUNT) \
		cargo test --test kill the_chosen_bus -- --nocapture

.PHONY: bench
bench: ## events/s, CPU and memory of the whole bridge on real Kafka, beside librdkafka alone
	scripts/bootstrap rust build python java
	cargo bench --quiet --bench bridge

.PHONY: detect
detect: ## lose, double and move RECORDS=10000000 records at random, and cut lanes: each must be found; SEED=1
	scripts/bootstrap
	RECORDS=$(RECORDS) SEED=$(SEED) cargo test --release --no-default-features --features consumer \
		--test damage -- --nocapture --test-threads 1

.PHONY: bench-detect
bench-detect: ## decode and detect, records/s of one core
	scripts/bootstrap
	cargo bench --quiet --no-default-features --features consumer --bench detect

.PHONY: generate
generate: ## write what is generated and committed: Rust from proto, schemas, reference pages, conformance vectors
	UPDATE=1 cargo test --quiet --test generated --test conformance
