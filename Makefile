# make            what there is to make
# Everything a target needs beyond Rust, Go and apt is built or installed by the scripts themselves, into the user's cache.

export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/trackway/target

.PHONY: help demo cluster install down test soak bench lint fmt

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: ## A cluster, Trackway and batches that run through three tracks (LLM_URL=, CLUSTER=current, REGISTRY=)
	@tests/demo/demo

cluster: ## The same without tracks and batches
	@tests/cluster/cluster up
	@KUBECONFIG=$$(tests/cluster/cluster kubeconfig) tests/demo/install
	@echo "KUBECONFIG=$$(tests/cluster/cluster kubeconfig)"

down: ## Remove the cluster without a trace
	@tests/cluster/cluster down

test: ## Every test but soak, with counts by kind
	@tests/run

soak: ## The long versions
	@tests/run --soak

bench: ## Measure, print goals met and missed
	@tests/run --bench

lint: ## What a change must pass before anything runs
	@tests/lint

fmt: ## Format the sources
	cargo fmt --all
