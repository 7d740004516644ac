#!/usr/bin/env bash
# Writes all generated code. With --check, fails where that changes a file.
set -eu
cd "$(dirname "$0")/.."
tool="go tool -modfile=$PWD/hack/tools/go.mod"
root=$(hack/ovn-root.sh)
[ "$root" = system ] && root=
generated=(api/v1alpha1/zz_generated.deepcopy.go config/crd/bases pkg/ovnsync/nbdb pkg/vnet/ovsdb api/control)

$tool controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/v1alpha1
$tool controller-gen crd paths=./api/v1alpha1 output:crd:dir=config/crd/bases
# Extended: with generated copies, or the cache would copy rows through JSON.
$tool modelgen -extended -p nbdb -o pkg/ovnsync/nbdb "$root/usr/share/ovn/ovn-nb.ovsschema"
$tool modelgen -extended -p ovsdb -o pkg/vnet/ovsdb "$root/usr/share/openvswitch/vswitch.ovsschema"
(cd hack/tools && go run ./protogen ../.. api/control/network.proto)

if [ "${1:-}" = --check ]; then
	if [ -n "$(git status --porcelain -- "${generated[@]}")" ]; then
		git --no-pager diff --stat -- "${generated[@]}" >&2
		echo "generate: the files above are stale; run make generate and commit" >&2
		exit 1
	fi
	echo "generate: nothing is stale"
fi
