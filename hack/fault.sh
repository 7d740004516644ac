#!/usr/bin/env bash
# Runs the fault suite (test/fault) with the given flags; -list prints the faults,
# -run REGEXP chooses, -short takes about three minutes. Needs bin/arca-network.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(hack/ovn-root.sh)
[ "$root" = system ] && root=
mkdir -p bin
CGO_ENABLED=0 go build -o bin/fault ./test/fault
exec bin/fault -ovn-root "$root" "$@"
