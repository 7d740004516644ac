#!/usr/bin/env bash
# Shows the main job: objects are applied, OVN and OVS follow, containers reach
# each other, and everything heals after a crash. All of it happens in a
# network and a mount namespace of its own and in a temporary folder; nothing
# is left behind. Needs root; `make demo` builds and installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${ARCA_DEMO_INSIDE:-}" = "" ]; then
	root=$(hack/ovn-root.sh)
	[ "$root" = system ] && root=
	work=$(mktemp -d /tmp/arca-demo.XXXXXX)
	before=$(ip -o link | wc -l) namespaces=$(ip netns list | wc -l)
	tables=$( (nft list tables 2>/dev/null || true) | wc -l)
	status=0
	ARCA_DEMO_INSIDE=1 ARCA_DEMO_ROOT=$root ARCA_DEMO_WORK=$work \
		unshare --net --mount --propagation private bash "$0" || status=$?
	leaked=
	[ "$(ip -o link | wc -l)" = "$before" ] || leaked="$leaked interface"
	[ "$(ip netns list | wc -l)" = "$namespaces" ] || leaked="$leaked namespace"
	[ "$( (nft list tables 2>/dev/null || true) | wc -l)" = "$tables" ] || leaked="$leaked nftables-table"
	pgrep -f "$work" >/dev/null && leaked="$leaked process"
	checks=$(cat "$work/checks" 2>/dev/null || echo 0)
	if [ $status -ne 0 ]; then
		echo "demo: failed; the log is in $work/log" >&2
		exit $status
	fi
	rm -rf "$work"
	if [ -n "$leaked" ]; then
		echo "demo: left behind:$leaked" >&2
		exit 1
	fi
	printf '  ok  the machine is as it was: no process, namespace, interface, nftables table or file is left\n'
	echo "demo: $((checks + 1)) checks passed"
	exit 0
fi

work=$ARCA_DEMO_WORK
mount -t tmpfs -o mode=755 run /run
mkdir /run/netns
ip link set lo up
flags=(--state-dir "$work/state" --run-dir /run/arca --ovn-root "$ARCA_DEMO_ROOT")
export KUBECONFIG=$work/state/kubeconfig PATH=$PWD/bin:$PATH
checks=0 daemon= pinger= servers=()

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
ok() {
	checks=$((checks + 1))
	echo $checks >"$work/checks"
	printf '  ok  %s\n' "$*"
}
fail() {
	printf '  NO  %s\n' "$*" >&2
	arcactl get networks,attachments -o wide >&2 || true
	tail -n 20 "$work/log" >&2
	exit 1
}
check() { # what, command...
	local what=$1
	shift
	if "$@" >"$work/last" 2>&1; then ok "$what"; else
		cat "$work/last" >&2
		fail "$what"
	fi
}
refused() { # what, command...
	local what=$1
	shift
	if "$@" >"$work/last" 2>&1; then fail "$what"; else ok "$what"; fi
}
finish() {
	local status=$?
	[ -z "$pinger" ] || kill -9 "$pinger" 2>/dev/null || true
	[ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null || true
	[ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
	if [ $status -ne 0 ]; then arca-network down "${flags[@]}" >>"$work/log" 2>&1 || true; fi
}
trap finish EXIT
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
run() {
	arca-network run "${flags[@]}" --log-format json >>"$work/log" 2>&1 &
	daemon=$!
}
eventually() { # times, command...: until it succeeds, every 0.05 s
	local times=$1
	shift
	for _ in $(seq "$times"); do
		"$@" && return
		read -rt 0.05 <> <(:) || true
	done
	return 1
}
answers() { eventually 400 arcactl get networks; } # until the API does, 20 s at most
has_logged() { [ "$(grep -c "$2" "$work/log")" -ge "$1" ]; }
logged() { eventually 400 has_logged "$@"; } # until the log has a line so many times, 20 s at most
inside() { ip netns exec "$@"; }
address() { arcactl get attachment "$1" -o 'jsonpath={.status.addresses[0]}' | cut -d/ -f1; }
ready() { arcactl wait --for=condition=Ready --timeout=30s "$@"; }
pings() { inside "$1" ping -q -c 3 -i 0.1 -W 1 "$2"; }
serve() { # container, TCP port
	ip netns exec "$1" iperf3 -s -p "$2" >/dev/null 2>&1 &
	servers+=($!)
}
sends() { inside "$1" iperf3 -c "$2" -p "$3" -n 64K --connect-timeout 1000; } # from, to, TCP port
reaches() { eventually 100 sends "$@"; } # waits for the server, 5 s at most
resolves() { # container, name, address that is expected
	echo "nameserver $4" >"$work/resolv.conf"
	inside "$1" unshare --mount sh -c "mount --bind $work/resolv.conf /etc/resolv.conf && getent ahostsv4 $2" | grep -q "^$3 "
}
start_ping() { # every 10 ms, from, to
	# A shell's background command ignores SIGINT, by which ping is told to end.
	ip netns exec "$1" env --default-signal=INT ping -i 0.01 -W 1 "$2" >"$work/ping" &
	pinger=$!
}
stop_ping() { # sets sent and lost
	kill -INT "$pinger"
	wait "$pinger" || true
	pinger=
	read -r sent lost < <(awk '/packets transmitted/ { print $1, $1 - $4 }' "$work/ping")
}

title "arca-network starts, and with it OVS and OVN"
from=$(now)
run
check "the API answers" answers
check "OVS and OVN run" logged 1 'Daemons answer'
grep -o '"versions":{[^}]*}' "$work/log" | tail -n 1 | sed 's/^/      /'
echo "      after $(since "$from") s"

title "Three containers (network namespaces), two networks: config/samples is applied"
for c in web-1 web-2 db-1; do ip netns add $c; done
arcactl get attachments --watch >"$work/watch" 2>&1 &
watcher=$!
from=$(now)
arcactl apply -f config/samples | sed 's/^/      /'
check "every object is Ready" ready networks,attachments --all
echo "      after $(since "$from") s; what a watch saw of it:"
{ kill $watcher; wait $watcher; } 2>/dev/null || true
sed 's/^/      /' "$work/watch"
arcactl get networks,attachments | sed 's/^/      /'

title "Traffic"
web2=$(address web-2) db1=$(address db-1)
check "web-1 reaches web-2 at $web2" pings web-1 "$web2"
check "and by IPv6" pings web-1 "$(arcactl get attachment web-2 -o 'jsonpath={.status.addresses[1]}' | cut -d/ -f1)"
check "web-1 reaches its gateway" pings web-1 10.88.0.1
refused "web-1 does not reach db-1 at $db1, which is in another network" pings web-1 "$db1"
refused "db-1 does not reach web-2" pings db-1 "$web2"

title "Names"
check "web-1 resolves web-2 by its gateway" resolves web-1 web-2 "$web2" 10.88.0.1
check "and web-2.web" resolves web-1 web-2.web "$web2" 10.88.0.1
refused "but not db-1.db, of a network that it is not in" resolves web-1 db-1.db "$db1" 10.88.0.1

title "The world: inet, a machine beyond the host that knows nothing of containers"
ip netns add inet
ip link add out0 type veth peer name eth0 netns inet
ip addr add 192.0.2.1/24 dev out0
ip link set out0 up
inside inet ip addr add 192.0.2.9/24 dev eth0
inside inet ip link set eth0 up
check "web-1 reaches inet, behind the host's address" pings web-1 192.0.2.9
refused "db-1 does not: network db is internal" pings db-1 192.0.2.9
serve web-2 80
refused "inet does not reach web-2" sends inet "$web2" 80
check "web-2 publishes its port 80 as 8080" arcactl patch attachment web-2 --type merge -p '{"spec": {"ports": [{"containerPort": 80, "hostPort": 8080}]}}'
check "inet reaches it at the host's address" reaches inet 192.0.2.1 8080

title "Policy db lets network web reach port 5432 of network db, and nothing else"
inside db-1 ip link set lo up
serve db-1 5432
serve db-1 5433
check "web-1 reaches db-1's port 5432" reaches web-1 "$db1" 5432
check "db-1 listens on port 5433" reaches db-1 "$db1" 5433
refused "web-1 does not reach that one" sends web-1 "$db1" 5433
check "the policy is changed to port 5433" arcactl patch policy db --type merge -p \
	'{"spec": {"ingress": [{"action": "Allow", "peers": [{"network": "web"}], "protocol": "tcp", "ports": [{"port": 5433}]}, {"action": "Reject"}]}}'
check "now web-1 reaches port 5433" reaches web-1 "$db1" 5433
refused "and no longer port 5432" sends web-1 "$db1" 5432
kill "${servers[@]}"
servers=()

title "A mistake is refused, by name"
refused "a gateway outside of its subnet" arcactl apply -f - <<'Y'
{apiVersion: network.arca.dev/v1alpha1, kind: Network, metadata: {name: wrong}, spec: {subnets: [{cidr: 10.1.0.0/24, gateway: 10.2.0.1}]}}
Y
sed 's/^/      /' "$work/last"

title "arca-network is killed (-9) under traffic, and started again"
macs=$(arcactl get attachments -o 'jsonpath={.items[*].status.mac} {.items[*].status.addresses}')
start_ping web-1 "$web2"
inside web-1 ping -q -c 20 -i 0.02 "$web2" >/dev/null
kill -9 $daemon
{ wait $daemon; } 2>/dev/null || true
from=$(now)
run
check "it is back" answers
check "every object is Ready" ready networks,attachments --all
echo "      after $(since "$from") s"
inside web-1 ping -q -c 20 -i 0.02 "$web2" >/dev/null
stop_ping
check "$lost of $sent packets were lost" [ "$lost" = 0 ]
check "addresses and MACs are what they were" [ "$macs" = "$(arcactl get attachments -o 'jsonpath={.items[*].status.mac} {.items[*].status.addresses}')" ]

title "The northbound database is wiped under traffic"
start_ping web-1 "$web2"
inside web-1 ping -q -c 20 -i 0.02 "$web2" >/dev/null
from=$(now)
rm "$work/state/ovn/nb.db"
kill -9 "$(cat /run/arca/ovsdb-server.pid)"
healed() { # a reply to a packet that was sent after the wipe, for a while
	for _ in $(seq 100); do
		inside web-1 ping -q -c 10 -i 0.02 -W 1 "$web2" >/dev/null && return
	done
	return 1
}
check "it was noticed" logged 3 "Connected to the northbound"
check "web-1 reaches web-2 again" healed
check "every object is Ready" ready networks,attachments --all
stop_ping
echo "      after $(since "$from") s; $lost of $sent packets were lost, that is about $(awk -v l="$lost" 'BEGIN { printf "%.2f", l / 100 }') s"

title "Everything is deleted"
check "objects go, and their ports and rows with them" arcactl delete -f config/samples --timeout=30s
check "no port is left" [ -z "$(ip -o link | grep -o 'arca[0-9a-f]\{11\}' || true)" ]
kill $daemon
check "arca-network ends cleanly on SIGTERM" wait $daemon
daemon=
check "arca-network down ends the daemons" arca-network down "${flags[@]}"
check "no process of OVS or OVN is left" [ -z "$(pgrep -f "$work/state" || true)" ]
check "the run folder is gone" [ ! -e /run/arca ]
ip link del out0
for c in web-1 web-2 db-1 inet; do ip netns del $c; done
check "only lo is left" [ "$(ip -o link | wc -l)" = 1 ]
