#!/usr/bin/env bash
# Runs every test: what a change must pass. Installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
ran=()
step() { # name, command...
	local name=$1 from=$SECONDS
	shift
	printf '\n== %s\n' "$name"
	"$@"
	ran+=("$(printf '%-52s %4d s' "$name" $((SECONDS - from)))")
}
tool="go tool -modfile=$PWD/hack/tools/go.mod"
suite() { # go test arguments...
	$tool gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg -- -count=1 "$@"
}

step "packages" hack/deps.sh
step "OVS and OVN" hack/ovn-root.sh
step "etcd, kube-apiserver, kubectl" hack/envtest-assets.sh
step "a Docker Engine" hack/docker-engine.sh
step "build" make --no-print-directory build
step "gofmt, vet, staticcheck" hack/lint.sh
step "generated code is fresh" hack/generate.sh --check
export KUBEBUILDER_ASSETS=$PWD/bin/envtest
step "tests, race detector on" suite -race -timeout 30m ./...
step "faults, the short form" hack/fault.sh -short
step "controllers on a real kube-apiserver and etcd" env ARCA_TEST_API=kube bash -c "$(declare -f suite); tool='$tool'; suite -timeout 15m ./controllers/..."

printf '\ntest: all of these ran and passed, in %d s\n' $((SECONDS - started))
printf '  %s\n' "${ran[@]}"
