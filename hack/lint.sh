#!/usr/bin/env bash
# gofmt, go vet and staticcheck over all but generated code.
set -eu
cd "$(dirname "$0")/.."
unformatted=$(git ls-files '*.go' | grep -vE '/(nbdb|ovsdb)/' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'lint: not gofmt-ed:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
go tool -modfile="$PWD/hack/tools/go.mod" staticcheck ./...
echo "lint: gofmt, vet and staticcheck are clean"
