#!/usr/bin/env bash
# Checks with Docker's own client that networks behave as a Docker user knows
# them, at any host:
#
#   DOCKER_HOST=unix:///var/run/arca.sock hack/network-compatibility.sh
#
# The image is made of this machine's busybox; nothing is pulled. Everything that
# it makes is named arca-compat-…, and is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
n=arca-compat
checks=0 last=

cleanup() {
	docker ps -aq --filter "name=^$n-" | xargs -r docker rm -f
	docker network ls -q --filter "name=^$n-" | xargs -r docker network rm
	docker image rm -f "$n"
} >/dev/null 2>&1
finish() {
	local status=$?
	cleanup || true
	[ -z "$last" ] || rm -f "$last"
	if [ $status -ne 0 ]; then echo "network-compatibility: failed after $checks checks" >&2; fi
}
trap finish EXIT
last=$(mktemp /tmp/arca-compat.XXXXXX)

title() { printf '\n%s\n' "$*"; }
check() { # what, command...
	local what=$1
	shift
	if ! "$@" >"$last" 2>&1; then
		printf '  NO  %s\n' "$what" >&2
		cat "$last" >&2
		exit 1
	fi
	checks=$((checks + 1))
	printf '  ok  %s\n' "$what"
}
refused() { # what, message, command...
	local what=$1 message=$2
	shift 2
	if "$@" >"$last" 2>&1 || ! grep -qF "$message" "$last"; then
		printf '  NO  %s: "%s" was expected\n' "$what" "$message" >&2
		cat "$last" >&2
		exit 1
	fi
	checks=$((checks + 1))
	printf '  ok  %s\n' "$what"
}
says() { # expected, command...
	local want=$1 got
	shift
	got=$("$@")
	[ "$got" = "$want" ] || { echo "it says \"$got\", not \"$want\""; return 1; }
}
has() { # pattern, command...
	local pattern=$1 got
	shift
	got=$("$@")
	grep -E -- "$pattern" <<<"$got" || { echo "it says \"$got\", and nothing like $pattern"; return 1; }
}
run() { docker run -d --name "$@"; }
inside() { # network, command...
	local network=$1
	shift
	docker run --rm --network "$network" "$n" "$@"
}
# The server may still be starting: five attempts.
fetches() { inside "$1" sh -c "for i in 1 2 3 4 5; do timeout 2 wget -q -O - http://$2/ && exit; sleep 0.2; done; exit 1"; }

cleanup || true
title "The host"
check "it answers" docker version --format '{{.Server.Version}} (API {{.Server.APIVersion}})'
sed 's/^/      /' "$last"
import_image() { hack/docker-image.sh | docker import --change 'CMD ["httpd", "-f", "-h", "/www"]' - "$n"; }
check "an image is made, not pulled" import_image
check "bridge, host and none are there" has '^(bridge bridge|host host|none null)$' docker network ls --format '{{.Name}} {{.Driver}}'

title "Network creation"
check "a network is made" docker network create "$n-net"
check "it is listed" has "$n-net" docker network ls
check "its driver is bridge" says bridge docker network inspect -f '{{.Driver}}' "$n-net"
refused "its name is taken now" "network with name $n-net already exists" docker network create "$n-net"
check "a network with a subnet, a gateway, a range and a label is made" docker network create \
	--subnet 10.213.0.0/24 --gateway 10.213.0.254 --ip-range 10.213.0.128/25 --label compat=yes "$n-ipam"
check "inspect tells them" says '10.213.0.0/24 10.213.0.254 10.213.0.128/25 yes' docker network inspect \
	-f '{{with index .IPAM.Config 0}}{{.Subnet}} {{.Gateway}} {{.IPRange}}{{end}} {{.Labels.compat}}' "$n-ipam"
refused "a subnet that overlaps is refused" "Pool overlaps with other one on this address space" docker network create --subnet 10.213.0.0/25 "$n-overlap"

title "Containers on a network of their own"
check "a server runs" run "$n-web" --network "$n-net" --network-alias "$n-alias" "$n"
check "another container pings it by name" inside "$n-net" ping -c 1 "$n-web"
check "fetches from it by name" has 404 inside "$n-net" sh -c "timeout 5 wget -O - http://$n-web/nothing 2>&1 || true"
check "reaches it by its alias" inside "$n-net" ping -c 1 "$n-alias"
refused "a container of another network does not know its name" "bad address" inside "$n-ipam" ping -c 1 "$n-web"
check "a container has the address that was asked for" run "$n-static" --network "$n-ipam" --ip 10.213.0.200 "$n"
check "inspect tells it" says 10.213.0.200/24 docker network inspect -f '{{range .Containers}}{{.IPv4Address}}{{end}}' "$n-ipam"
refused "it is not given twice" "Address already in use" docker run --rm --network "$n-ipam" --ip 10.213.0.200 "$n" true

title "Connect and disconnect while it runs"
check "the server leaves its network" docker network disconnect "$n-net" "$n-web"
refused "it is not reached any more" "bad address" inside "$n-net" ping -c 1 "$n-web"
check "the server comes back" docker network connect "$n-net" "$n-web"
check "it is reached again" inside "$n-net" ping -c 1 "$n-web"
check "it comes into a second network" docker network connect --ip 10.213.0.150 --alias "$n-second" "$n-ipam" "$n-web"
check "it is reached there" inside "$n-ipam" ping -c 1 "$n-second"
refused "once is enough" "already" docker network connect "$n-ipam" "$n-web"
check "it keeps its address when it is restarted" docker restart -t 0 "$n-web"
check "the address is the same" says 10.213.0.150 docker inspect -f "{{(index .NetworkSettings.Networks \"$n-ipam\").IPAddress}}" "$n-web"

title "Published ports"
check "a server publishes its port" run "$n-port" --network "$n-net" -p 127.0.0.1::80 "$n" sh -c 'echo hello >/www/index.html; exec httpd -f -h /www'
check "the network's containers fetch from it" has hello fetches "$n-net" "$n-port"
case ${DOCKER_HOST:-unix://} in
unix://*)
	published=$(docker port "$n-port" 80/tcp)
	check "this machine does, at $published" has hello curl -sS --max-time 5 --retry 5 --retry-connrefused "http://$published/"
	;;
esac

title "A network without a way out"
check "an internal network is made" docker network create --internal "$n-internal"
check "its containers have no way out" says 0 inside "$n-internal" sh -c 'ip route | grep -c ^default || true'

title "Deletion"
refused "a network with containers stays" "has active endpoints" docker network rm "$n-net"
check "containers are stopped" docker stop -t 0 "$n-web" "$n-port" "$n-static"
check "and removed" docker rm "$n-web" "$n-port" "$n-static"
check "the network is removed" docker network rm "$n-net"
check "and is not there any more" has "network $n-net not found|No such network: $n-net" bash -c "docker network inspect $n-net 2>&1 || true" # the older words are those of the client
check "prune takes the unused ones with a label" has "$n-ipam" docker network prune -f --filter label=compat=yes
refused "a predefined network stays" "is a pre-defined network and cannot be removed" docker network rm bridge

printf '\nnetwork-compatibility: all %d checks passed\n' "$checks"
