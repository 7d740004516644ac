#!/usr/bin/env bash
# Runs every test: what a change must pass. Installs what is missing. What fails is
# run once more by itself, for a machine that stood still; the last lines name it. More
# than eight failures are not tried again, and no data race passes but one of libovsdb.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
ran=()
again=$(mktemp)
trap 'rm -f "$again"*' EXIT
step() { # name, command...
	local name=$1 from=$SECONDS
	shift
	printf '\n== %s\n' "$name"
	"$@"
	ran+=("$(printf '%-52s %4d s' "$name" $((SECONDS - from)))")
}
tool="go tool -modfile=$PWD/hack/tools/go.mod"
# Reports of data races, but for that of libovsdb 0.8.1 where a connection is lost before
# its first use: it waits for its handlers (sync.WaitGroup) while it starts them.
races() {
	{ cat "$again".race.* 2>/dev/null || true; } | awk -v RS='==================\n' '
		/DATA RACE/ && !/libovsdb\/client\.\(\*ovsdbClient\)\.connect\.gowrap2\(\)/ { print; found = 1 }
		END { exit found }'
}
suite() { # packages, go test arguments...
	local packages=$1 failed=0
	shift
	rm -f "$again.suite"
	GORACE="log_path=$again.race" $tool gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg \
		--rerun-fails=1 --rerun-fails-max-failures=8 \
		--rerun-fails-report="$again.suite" --packages="$packages" -- -count=1 "$@" || failed=$?
	races || failed=1
	[ "$failed" = 0 ] || return "$failed"
	[ ! -s "$again.suite" ] || cat "$again.suite" >>"$again"
}
faults() {
	hack/fault.sh -short || { hack/fault.sh -short && echo "the short faults, whole" >>"$again"; }
}

# Tests build programs in namespaces from which no module can be downloaded.
modules() {
	go mod download
	go mod download -modfile=hack/tools/go.mod
}

step "packages" hack/deps.sh
step "Go modules" modules
step "OVS and OVN" hack/ovn-root.sh
step "etcd, kube-apiserver, kubectl" hack/envtest-assets.sh
step "a Docker Engine" hack/docker-engine.sh
step "build" make --no-print-directory build
step "gofmt, vet, staticcheck" hack/lint.sh
step "generated code is fresh" hack/generate.sh --check
export KUBEBUILDER_ASSETS=$PWD/bin/envtest
step "tests, race detector on" suite ./... -race -timeout 30m
step "faults, the short form" faults
export ARCA_TEST_API=kube
step "controllers on a real kube-apiserver and etcd" suite ./controllers/... -timeout 15m

printf '\ntest: all of these ran and passed, in %d s\n' $((SECONDS - started))
printf '  %s\n' "${ran[@]}"
if [ -s "$again" ]; then
	printf 'test: passed only when run again:\n'
	sed 's/^/  /' "$again"
fi
