#!/usr/bin/env bash
# Builds bin/coredns, a peer of the bench, from its own module.
set -euo pipefail
cd "$(dirname "$0")/coredns"
CGO_ENABLED=0 go build -ldflags '-s -w' -o ../../bin/coredns .
