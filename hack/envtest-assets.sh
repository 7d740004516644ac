#!/bin/sh
# Builds etcd, kube-apiserver and kubectl for tests from the module
# hack/envtest-assets into bin/envtest. From nothing that takes about eight
# minutes on two cores; what is there in the right version is left alone.
#
#   hack/envtest-assets.sh [-n] [FOLDER]
#
# -n prints what would be built, and builds nothing.
set -eu

dry=
if [ "${1:-}" = -n ]; then
	dry=1
	shift
fi
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root/bin/envtest}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root/hack/envtest-assets"
export CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off

version_of() { go list -m -f '{{.Version}}' "$1"; }
kube=$(version_of k8s.io/kubernetes)
etcd=$(version_of go.etcd.io/etcd/server/v3)
minor=${kube#v1.}
minor=${minor%%.*}

# build NAME PACKAGE VERSION LDFLAGS
build() {
	stamp="$3 $(go env GOVERSION)"
	if [ -x "$out/$1" ] && [ "$(cat "$out/.$1.version" 2>/dev/null)" = "$stamp" ]; then
		return
	fi
	echo "envtest-assets: building $1 $3"
	[ -z "$dry" ] || return 0
	# Under another name first: an interrupted build must not look finished.
	go build -trimpath -ldflags "-s -w $4" -o "$out/.$1.new" "$2"
	mv "$out/.$1.new" "$out/$1"
	echo "$stamp" >"$out/.$1.version"
}

p=k8s.io/component-base/version
flags="-X $p.gitVersion=$kube -X $p.gitMajor=1 -X $p.gitMinor=$minor"
build etcd go.etcd.io/etcd/server/v3 "$etcd" ""
build kubectl k8s.io/kubernetes/cmd/kubectl "$kube" "$flags"
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver "$kube" "$flags"
