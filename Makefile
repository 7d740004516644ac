# Every target works from a clone on Debian, as root; Go, make and git are taken as given.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

KUBE_VERSION := v1.37.2
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION) -X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION) \
	-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37
SIZES ?= 10,100
TOOL := go tool -modfile=$(CURDIR)/hack/tools/go.mod

.PHONY: help
help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/arca-network, bin/arcad, bin/arcactl and bin/arca-cni, static.
	CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: demo
demo: deps ovn-root build ## Run the main job in private namespaces and clean up after.
	hack/demo.sh

.PHONY: demo-docker
demo-docker: deps ovn-root build ## The same for Docker users: Debian's Docker Engine, "Use it with Docker" of the README, and crashes.
	hack/demo-docker.sh

.PHONY: install
install: ovn-root build ## Make arcad and arca-network services of this machine, in front of its Docker Engine.
	hack/install.sh

.PHONY: test
test: ## Install what is missing and run every test.
	hack/test.sh

.PHONY: test-kube
test-kube: deps ovn-root envtest-assets ## Run the controllers' tests on a real kube-apiserver and etcd.
	ARCA_TEST_API=kube KUBEBUILDER_ASSETS=$(CURDIR)/bin/envtest go test -count=1 ./controllers/...

.PHONY: bench
bench: deps ovn-root build ## Measure beside a bare client, the command line tools, a Docker Engine; SIZES=10,100 and more by ARGS.
	hack/coredns.sh
	hack/docker-engine.sh
	root=$$(hack/ovn-root.sh); go run ./test/bench --ovn-root "$${root#system}" --sizes $(SIZES) $(ARGS)

.PHONY: fault
fault: deps ovn-root build ## Break things one at a time under traffic; writes test/fault/RESULTS.md. About ten minutes.
	hack/fault.sh -markdown test/fault/RESULTS.md -json bin/fault.json

FUZZTIME ?= 60s
.PHONY: fuzz
fuzz: deps ## Send anything to every call of the control API, for FUZZTIME=60s.
	go test ./pkg/control -run '^$$' -fuzz FuzzCalls -fuzztime $(FUZZTIME)

.PHONY: generate
generate: ovn-root ## Write what is generated: deep copies, CRDs, database models, the control API.
	hack/generate.sh

.PHONY: lint
lint: ## gofmt, go vet, staticcheck.
	hack/lint.sh

.PHONY: vuln
vuln: ## govulncheck; needs the vulnerability database.
	$(TOOL) govulncheck ./...

.PHONY: deps
deps: ## Install the Debian packages that the other targets use.
	hack/deps.sh

.PHONY: ovn-root
ovn-root: ## Make the Debian 13 root folder with OVS and OVN, where the system's are older.
	hack/ovn-root.sh

.PHONY: docker-engine
docker-engine: ## Build a current Docker Engine and its clients into bin/docker.
	hack/docker-engine.sh

.PHONY: envtest-assets
envtest-assets: ## Build etcd, kube-apiserver and kubectl into bin/envtest.
	hack/envtest-assets.sh
