#!/bin/sh
# Builds a current Docker Engine for tests from the module hack/docker-engine
# into bin/docker: dockerd, docker-proxy, containerd and its shim, runc, and the
# clients docker and docker-compose. From nothing that takes about eight
# minutes on two cores; what is there in the right version is left alone.
#
#   hack/docker-engine.sh [FOLDER]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root/bin/docker}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root/hack/docker-engine"
export CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off

version_of() { go list -m -f '{{.Version}}' "$1" | sed 's/+incompatible//'; }

# The client's module has no go.mod to say which Go it is written in.
lang=github.com/docker/cli/...=-lang=go$(go list -m -f '{{.GoVersion}}' | cut -d. -f1,2)

# build NAME PACKAGE VERSION LDFLAGS
build() {
	stamp="$3 $(go env GOVERSION)"
	if [ -x "$out/$1" ] && [ "$(cat "$out/.$1.version" 2>/dev/null)" = "$stamp" ]; then
		return
	fi
	echo "docker-engine: building $1 $3"
	# Under another name first: an interrupted build must not look finished.
	go build -trimpath -gcflags "$lang" -ldflags "-s -w $4" -o "$out/.$1.new" "$2"
	mv "$out/.$1.new" "$out/$1"
	echo "$stamp" >"$out/.$1.version"
}

moby=$(version_of github.com/moby/moby/v2)
containerd=$(version_of github.com/containerd/containerd/v2)
runc=$(version_of github.com/opencontainers/runc)
cli=$(version_of github.com/docker/cli)
compose=$(version_of github.com/docker/compose/v5)

build dockerd github.com/moby/moby/v2/cmd/dockerd "$moby" "-X github.com/moby/moby/v2/dockerversion.Version=${moby#v}"
build docker-proxy github.com/moby/moby/v2/cmd/docker-proxy "$moby" ""
build containerd github.com/containerd/containerd/v2/cmd/containerd "$containerd" ""
build containerd-shim-runc-v2 github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 "$containerd" ""
build docker github.com/docker/cli/cmd/docker "$cli" "-X github.com/docker/cli/cli/version.Version=${cli#v}"
build docker-compose github.com/docker/compose/v5/cmd "$compose" "-X github.com/docker/compose/v5/internal.Version=$compose"
# runc enters namespaces in C, before Go begins. It is built without libseccomp:
# an engine that runs it wants --seccomp-profile unconfined.
CGO_ENABLED=1 GOFLAGS="$GOFLAGS -tags=netgo,osusergo" build runc github.com/opencontainers/runc "$runc" "-linkmode external -extldflags -static"
