# Everything here does its own set-up, on a fresh machine too.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

ARCH ?=
BUS ?= embedded
FOR ?= 30s
OUTPUT ?= text
SEED ?= 1
COUNT ?= 20
RECORDS ?= 10000000
RESOURCES ?= 1000000
MINUTES ?= 10
HOURS ?= 6
ROUNDS ?= 20
STREAMS ?= 10000
TASKS ?= 50000

CORE := -p asana-event-bridge-core -p asana-event-bridge-consumer -p asana-event-bridge-contract

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## simulator, bridge, bus and consumer for FOR=30s, checked at the end; BUS=embedded|kafka|nats OUTPUT=text|json
	@scripts/bootstrap rust build $(if $(filter kafka,$(BUS)),java python) $(if $(filter nats,$(BUS)),python)
	@cargo build --quiet --profile demo --no-default-features
	@scripts/with-bus $(BUS) target/demo/asana-event-bridge demo --for $(FOR) --bus $(BUS) --output $(OUTPUT)

.PHONY: check
check: ## the inner loop, under 2 minutes when built: format, lints, the tests of core, consumer and contract
	scripts/bootstrap rust build
	cargo fmt --check
	cargo clippy --all-targets $(CORE) -- -D warnings
	SIMULATION_SEEDS=1000 ADVERSARIAL_EVENTS=50000 cargo test --quiet $(CORE)

.PHONY: test
test: lint ## every check: format, lints, docs, unit, property, simulation, real Kafka, real NATS, foreign clients
	scripts/services install all
	scripts/chart-env >/dev/null
	scripts/run-tests

.PHONY: lint
lint: ## format, lints, documentation, the contract's compatibility, workflows, and each set of features
	scripts/bootstrap
	scripts/lint-proto
	scripts/lint-workflows
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo check --quiet --no-default-features --features kafka-full
	for features in "" kafka nats file; do \
		cargo check --quiet -p asana-event-bridge-consumer --features "$$features"; \
	done
	cargo check --quiet -p asana-event-bridge-contract

.PHONY: image
image: ## build the image without a daemon or a registry, and run it; ARCH=amd64|arm64; needs root on Debian
	scripts/bootstrap rust build python
	scripts/check-image $(ARCH)

.PHONY: dist
dist: ## what a release consists of, in dist/: static program, image, chart, SBOM, checksums; ARCH="amd64 arm64"; needs root on Debian
	scripts/bootstrap rust build python
	scripts/dist $(addprefix --arch ,$(ARCH)) dist

.PHONY: control-plane
control-plane: ## the chart before a real Kubernetes control plane, with pods that run; builds Kubernetes the first time; needs root
	scripts/bootstrap rust build python java
	cargo build --quiet
	scripts/check-control-plane

.PHONY: kill
kill: ## kill -9 the bridge COUNT=20 times under load, then count with a foreign consumer; BUS=kafka|nats|nats-old SEED=1
	scripts/bootstrap rust build python java
	KILL_BUS=$(if $(filter embedded,$(BUS)),kafka,$(BUS)) KILL_SEED=$(SEED) KILL_COUNT=$(COUNT) \
		cargo test --test durability kill::the_chosen_bus -- --nocapture

.PHONY: healing
healing: ## a simulated week on 200 streams that lose events and tokens, killed 20 times, then the state is compared
	scripts/bootstrap rust build python java
	HEALING_DAYS=7 HEALING_SPEED=1000 HEALING_STREAMS=200 HEALING_KILLS=20 HEALING_SEED=$(SEED) \
		cargo test --test durability healing -- --nocapture

.PHONY: crawl
crawl: ## a project of TASKS=50000 at 150 requests a minute and 25 tasks a page, with a takeover in the middle
	scripts/bootstrap rust build python java
	CRAWL_TASKS=$(TASKS) cargo test --test durability crawl -- --nocapture

.PHONY: webhooks
webhooks: ## time from a change to its record with webhooks on and a polling interval of 60 s
	scripts/bootstrap rust build python java
	cargo test --test program webhooks -- --nocapture --test-threads 1

.PHONY: chaos
chaos: ## 4 replicas, 1,000 streams, 3 nodes, and everything that can go wrong, then the ledger judges; BUS=kafka|nats SEED=1 MINUTES=10
	scripts/bootstrap rust build python java
	CHAOS_BUS=$(if $(filter embedded,$(BUS)),kafka,$(BUS)) CHAOS_SEED=$(SEED) CHAOS_MINUTES=$(MINUTES) CHAOS_STREAMS=1000 \
		cargo test --test durability chaos::the_chosen_bus_has_every_event -- --nocapture

.PHONY: takeover
takeover: ## how long shards go without an owner after SIGTERM, SIGKILL and SIGSTOP; BUS=kafka|nats ROUNDS=20
	scripts/bootstrap rust build python java
	TAKEOVER_BUS=$(if $(filter embedded,$(BUS)),kafka,$(BUS)) TAKEOVER_ROUNDS=$(ROUNDS) \
		cargo test --test durability chaos::the_chosen_bus_has_other_owners -- --nocapture

.PHONY: restore
restore: ## how long a cold start takes with STREAMS=10000, of 1 replica and of 4; BUS=kafka|nats
	scripts/bootstrap rust build python java
	RESTORE_BUS=$(if $(filter embedded,$(BUS)),kafka,$(BUS)) RESTORE_STREAMS=$(STREAMS) \
		cargo test --test durability chaos::the_chosen_bus_has_all_streams -- --nocapture

.PHONY: recipes
recipes: ## every recipe of docs/recipes against the real thing; downloads DuckDB and ClickHouse
	scripts/bootstrap rust build python java
	cargo test --test foreign recipes -- --include-ignored --nocapture --test-threads 1

.PHONY: bench
bench: ## events/s, CPU and memory of the whole bridge on real Kafka, beside librdkafka alone
	scripts/bootstrap rust build python java
	cargo bench --quiet --bench bridge

.PHONY: detect
detect: ## lose, double and move RECORDS=10000000 records at random, and cut lanes: each must be found; SEED=1
	scripts/bootstrap
	RECORDS=$(RECORDS) SEED=$(SEED) cargo test --release -p asana-event-bridge-consumer damage -- \
		--nocapture --test-threads 1

.PHONY: bench-detect
bench-detect: ## decode and detect, records/s of one core
	scripts/bootstrap
	cargo bench --quiet -p asana-event-bridge-consumer --bench detect

.PHONY: bench-schedule
bench-schedule: ## delay, fairness and cost of the schedule beside round robin and the optimum; HOURS=6 SEED=1 STREAMS=1000000
	scripts/bootstrap
	HOURS=$(HOURS) SEED=$(SEED) SCHEDULE_STREAMS=$(if $(filter file,$(origin STREAMS)),1000000,$(STREAMS)) \
		cargo bench --quiet -p asana-event-bridge-core --bench schedule

.PHONY: bench-index
bench-index: ## the state index: bytes for each of RESOURCES=1000000 resources, and how fast it is
	scripts/bootstrap rust build
	RESOURCES=$(RESOURCES) cargo bench --quiet --bench index

.PHONY: generate
generate: ## write what is generated and committed: code from proto, schemas, reference pages, conformance vectors
	UPDATE=1 cargo test --quiet --lib reference
	scripts/generate-clients
	UPDATE=1 cargo test --quiet --test repository generated
	UPDATE=1 cargo test --quiet -p asana-event-bridge-core conformance
	UPDATE=1 cargo test --quiet --test chart
