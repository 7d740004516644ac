#!/usr/bin/env bash
# Shows "Use it with Docker" of the README: its lines are run, with a Docker
# Engine of Debian's packages, and then what a Docker user does every day, and a
# few crashes. The engine is installed where there is none, and not started. All of
# it happens in network, mount and PID namespaces of its own and in a temporary
# folder; nothing is pulled, nothing is left behind. Needs root; `make demo-docker`
# builds and installs what it needs.
#
#   ARCA_DOCKER_BIN   folder of another engine, as hack/docker-engine.sh makes it
set -euo pipefail
cd "$(dirname "$0")/.."

# Installs Debian's engine and its Compose client. Nothing of them is started, now
# or when the machine starts: what is to be shown is started below.
install_engine() (
	echo "demo: installing docker.io and docker-compose; they stay, and are not started" >&2
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod +x $policy
	fi
	export DEBIAN_FRONTEND=noninteractive
	if ! apt-get install -y --no-install-recommends docker.io docker-compose >/dev/null 2>&1; then
		apt-get update >/dev/null
		apt-get install -y --no-install-recommends docker.io docker-compose >/dev/null
	fi
	if [ -d /run/systemd/system ]; then
		systemctl disable --quiet docker.service docker.socket containerd.service
	fi
)

# What of the machine must be the same afterwards; $work is in the name of all that is made.
links() { ip -o link | cut -d: -f2 | sort; }
rules() {
	nft -s list ruleset 2>/dev/null || true
	iptables-save 2>/dev/null | sed '/^#/d; s/\[.*\]//' || true
}
files() { ls -dA /run/docker* /run/arca* /run/containerd* /var/lib/docker /var/lib/containerd /var/lib/arca-network /etc/docker/* /etc/systemd/system/arca* /usr/local/bin/arca* 2>/dev/null || true; }
groups() { find /sys/fs/cgroup -depth -type d -path "*/${work##*/}*"; }

if [ "${ARCA_DEMO_INSIDE:-}" = "" ]; then
	[ -n "${ARCA_DOCKER_BIN:-}" ] || command -v dockerd >/dev/null || install_engine
	hack/ovn-root.sh >/dev/null
	work=$(mktemp -d /tmp/arca-demo.XXXXXX)
	before=$(links) namespaces=$(ip netns list) ruleset=$(rules) list=$(files)
	status=0
	ARCA_DEMO_INSIDE=1 ARCA_DEMO_WORK=$work unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private bash "$0" || status=$?
	# The parent of the containers' control groups, which an engine leaves.
	groups | xargs -r rmdir || true
	leaked=
	[ "$(links)" = "$before" ] || leaked="$leaked interface"
	[ "$(ip netns list)" = "$namespaces" ] || leaked="$leaked namespace"
	[ "$(rules)" = "$ruleset" ] || leaked="$leaked nftables-table-or-iptables-rule"
	[ "$(files)" = "$list" ] || leaked="$leaked file"
	[ -z "$(groups)" ] || leaked="$leaked cgroup"
	pgrep -f "$work" >/dev/null && leaked="$leaked process"
	grep -q "$work" /proc/self/mountinfo && leaked="$leaked mount"
	checks=$(cat "$work/checks" 2>/dev/null || echo 0)
	if [ $status -ne 0 ]; then
		echo "demo: failed after $checks checks; the logs are in $work" >&2
		exit $status
	fi
	rm -rf "$work"
	if [ -n "$leaked" ]; then
		echo "demo: left behind:$leaked" >&2
		exit 1
	fi
	printf '  ok  the machine is as it was: no process, namespace, interface, nftables table, iptables rule, file, mount or cgroup is left\n'
	echo "demo: $((checks + 1)) checks passed"
	exit 0
fi

work=$ARCA_DEMO_WORK
# The machine's folders that are written to have a layer in memory above them.
mkdir "$work/layer"
mount -t tmpfs layer "$work/layer"
for folder in /etc /usr/local/bin; do
	mkdir -p "$work/layer/up$folder" "$work/layer/work$folder"
	mount -t overlay -o "lowerdir=$folder,upperdir=$work/layer/up$folder,workdir=$work/layer/work$folder" overlay "$folder"
done
mount -t tmpfs -o mode=755 run /run
mkdir /run/netns
ip link set lo up
unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
export HOME=$work DOCKER_CONFIG=$work/client
engine_flags=()
if [ -n "${ARCA_DOCKER_BIN:-}" ]; then
	PATH=$(cd "$ARCA_DOCKER_BIN" && pwd):$PATH
	engine_flags+=(--seccomp-profile unconfined) # its runc is built without libseccomp
elif [ "$(command -v dockerd)" = /usr/sbin/dockerd ]; then
	PATH=/usr/sbin:/usr/bin:$PATH # and no other client
fi
image=arca-demo checks=0 pinger=
declare -A pids=()

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { sed 's/^/      /'; }
ok() {
	checks=$((checks + 1))
	echo $checks >"$work/checks"
	printf '  ok  %s\n' "$*"
}
fail() {
	printf '  NO  %s\n' "$*" >&2
	for log in "$work"/*.log; do
		printf '%s ends:\n' "$log" >&2
		tail -n 15 "$log" >&2
	done
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
refused() { # what, message, command...
	local what=$1 message=$2
	shift 2
	if "$@" >"$work/last" 2>&1 || ! grep -qF -- "$message" "$work/last"; then
		cat "$work/last" >&2
		fail "$what: \"$message\" was expected"
	fi
	ok "$what"
}
finish() {
	local status=$?
	[ $status -eq 0 ] || kill -9 "${pids[@]}" 2>/dev/null || true
}
trap finish EXIT
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
eventually() { # times, command...: until it succeeds, every 0.05 s
	local times=$1
	shift
	for _ in $(seq "$times"); do
		"$@" && return
		read -rt 0.05 <> <(:) || true
	done
	return 1
}
docker() { timeout 60 docker "$@"; }
compose() { timeout 120 "${compose_client[@]}" -p shop -f "$work/compose.yaml" "$@"; }
says() { # expected, command...
	local want=$1 got
	shift
	got=$("$@")
	[ "$got" = "$want" ] || { echo "it says \"$got\", not \"$want\""; return 1; }
}
none() { says "" "$@"; } # command...: prints nothing
line() { # unit, key: what systemd would run
	sed -n "s/^$2=-\{0,1\}//p" "/etc/systemd/system/$1.service" | sed 's/\$\$/\\$/g'
}
start() { # unit, as systemd does
	sh -c "$(line "$1" ExecStartPre)" || true
	sh -c "exec $(line "$1" ExecStart)" >>"$work/$1.log" 2>&1 &
	pids[$1]=$!
}
ends() { # name: on SIGTERM, with success
	kill "${pids[$1]}"
	wait "${pids[$1]}"
}
crash() { # name
	kill -9 "${pids[$1]}"
	{ wait "${pids[$1]}"; } 2>/dev/null || true
}
on_engine() { docker -H unix:///var/run/docker.sock "$@"; }
answers() { docker network inspect bridge >/dev/null 2>&1; }
in_world() { ip netns exec world "$@"; }
get() { curl -sS --max-time 5 --retry 20 --retry-delay 1 --retry-connrefused "$@"; } # waits for the server
start_ping() { # every 10 ms, from a container to an address
	local pid
	pid=$(docker inspect -f '{{.State.Pid}}' "$1")
	# A shell's background command ignores SIGINT, by which ping is told to end.
	nsenter -t "$pid" -n env --default-signal=INT ping -i 0.01 -W 1 "$2" >"$work/ping" &
	pinger=$!
}
stop_ping() { # sets sent and lost
	kill -INT "$pinger"
	wait "$pinger" || true
	pinger=
	read -r sent lost < <(awk '/packets transmitted/ { print $1, $1 - $4 }' "$work/ping")
}
address() { docker inspect -f "{{(index .NetworkSettings.Networks \"$2\").IPAddress}}" "$1"; } # container, network

# A machine beyond the host, that knows nothing of containers.
ip netns add world
ip link add out0 type veth peer name eth0 netns world
ip addr add 192.0.2.1/24 dev out0
ip link set out0 up
in_world ip addr add 192.0.2.9/24 dev eth0
in_world ip link set eth0 up

title "A Docker Engine runs, as apt-get install docker.io has it"
dockerd_flags=(--config-file "$work/daemon.json" --data-root "$work/docker" --exec-root /run/docker --pidfile /run/docker.pid
	--group root --cgroup-parent "/${work##*/}" --exec-opt native.cgroupdriver=cgroupfs "${engine_flags[@]}")
echo '{}' >"$work/daemon.json"
dockerd "${dockerd_flags[@]}" >>"$work/dockerd.log" 2>&1 &
pids[dockerd]=$!
check "the engine answers" eventually 600 on_engine version --format 'engine {{.Server.Version}} (API {{.Server.APIVersion}}), client {{.Client.Version}}'
tail -n 1 "$work/last" | show

title "make install"
check "programs and services are installed" hack/install.sh --state-dir "$work/state" --log-format json
show <"$work/last"
from=$(now)
start arca-network
start arcad
export DOCKER_HOST=unix:///var/run/arca.sock
echo "      export DOCKER_HOST=$DOCKER_HOST"
check "arcad answers Docker's clients" eventually 600 answers
echo "      after $(since "$from") s"
check "the engine behind it is the same" says "$(on_engine info -f '{{.ID}}')" docker info -f '{{.ID}}'

title "docker network create"
check "network web is made" docker network create web
check "network db too, with a subnet" docker network create --subnet 10.89.0.0/24 db
refused "its name is taken now" "network with name web already exists" docker network create web
docker network ls | show
check "inspect tells its driver, subnet and gateway" says "bridge 10.89.0.0/24 10.89.0.1" docker network inspect \
	-f '{{.Driver}} {{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}' db
check "the engine itself knows neither" none on_engine network ls -q --filter name=web --filter name=db

title "docker run"
import_image() { hack/docker-image.sh | docker import --change 'CMD ["httpd", "-f", "-h", "/www"]' - $image; }
check "an image is made here, not pulled" import_image
run() { docker run -d --stop-signal KILL --name "$@"; }
from=$(now)
check "web-1 runs" run web-1 --network web $image
echo "      after $(since "$from") s"
check "web-2 publishes its port 80 as 8080" run web-2 --network web --network-alias server -p 8080:80 $image sh -c 'echo hello >/www/index.html; exec httpd -f -h /www'
check "db-1 runs, with an address that it was given" run db-1 --network db --ip 10.89.0.10 $image
docker ps --format 'table {{.Names}}\t{{.Networks}}\t{{.Ports}}' | show
check "web-1 pings web-2 by name" docker exec web-1 ping -c 1 -W 2 web-2
check "and fetches from it by its alias" says hello docker exec web-1 wget -q -O - http://server/
refused "it does not know db-1, of another network" "bad address" docker exec web-1 ping -c 1 db-1
refused "nor reach it at 10.89.0.10" "100% packet loss" docker exec web-1 ping -c 1 -W 1 10.89.0.10
check "this machine fetches from http://127.0.0.1:8080" says hello get http://127.0.0.1:8080/
check "and a machine beyond it from http://192.0.2.1:8080" says hello in_world curl -sS --max-time 5 http://192.0.2.1:8080/
check "web-1 reaches that machine" docker exec web-1 ping -c 1 -W 2 192.0.2.9
check "a container that names no network does, too" docker run --rm $image ping -c 1 -W 2 192.0.2.9

title "docker stop, start, rename"
check "web-2 is stopped" docker stop web-2
check "comes into network db" docker network connect db web-2
check "gets another name" docker rename web-2 other
check "and is started" docker start other
check "web-1 pings it by its new name" docker exec web-1 ping -c 1 -W 2 other
check "db-1 too" docker exec db-1 ping -c 1 -W 2 other
check "its port is published as before" says hello get http://127.0.0.1:8080/
check "it leaves network db and gets its old name" bash -c 'docker network disconnect db other && docker rename other web-2'

title "docker network connect, while the container runs"
check "db-1 comes into network web" docker network connect web db-1
check "web-1 pings it by name" docker exec web-1 ping -c 1 -W 2 db-1
check "it is in two networks" says "db web " docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' db-1
check "it leaves network web" docker network disconnect web db-1
refused "web-1 does not know it any more" "bad address" docker exec web-1 ping -c 1 db-1

compose_client=()
if command -v docker-compose >/dev/null; then
	compose_client=(docker-compose)
elif docker compose version >/dev/null 2>&1; then
	compose_client=(docker compose)
fi
if [ ${#compose_client[@]} -eq 0 ]; then
	title "There is no Compose client here (docker-compose); it is not shown"
else
	title "compose up, of a project without a word about drivers"
	cat >"$work/compose.yaml" <<-Y
		services:
		  app:
		    image: $image
		    command: ["sh", "-c", "echo shop >/www/index.html; exec httpd -f -h /www"]
		    stop_signal: SIGKILL
		    networks: [front, back]
		    ports: ["8081:80"]
		  cache:
		    image: $image
		    stop_signal: SIGKILL
		    networks: {back: {aliases: [store]}}
		networks:
		  front: {}
		  back: {internal: true}
	Y
	echo "      ${compose_client[*]} $("${compose_client[@]}" version --short)"
	check "up" compose up -d
	check "its networks are of driver bridge" says "shop_back bridge
shop_front bridge" bash -c "docker network ls --filter name=shop_ --format '{{.Name}} {{.Driver}}' | sort"
	check "app pings cache by its alias" compose exec -T app ping -c 1 -W 2 store
	check "this machine fetches from http://127.0.0.1:8081" says shop get http://127.0.0.1:8081/
	refused "network back has no way out" "unreachable" compose exec -T cache ping -c 1 -W 1 192.0.2.9
	ids=$(compose ps -q)
	check "up, once more" compose up -d
	check "which has left both as they were" says "$ids" compose ps -q
	check "down" compose down
	check "its networks are gone" none docker network ls -q --filter name=shop_
fi

title "kill -9, while web-1 pings web-2 every 10 ms"
web2=$(address web-2 web)
start_ping web-1 "$web2"
check "arcad is killed" crash arcad
check "this machine still fetches from http://127.0.0.1:8080" says hello get http://127.0.0.1:8080/
start arcad
check "arcad is back" eventually 600 answers
check "arca-network is killed" crash arca-network
check "this machine still fetches from http://127.0.0.1:8080" says hello get http://127.0.0.1:8080/
start arca-network
check "arca-network is back" eventually 600 answers
check "a new container pings web-2 by name" docker run --rm --network web $image ping -c 1 -W 2 web-2
check "networks are what they were" says "$(printf 'bridge bridge\ndb bridge\nhost host\nnone null\nweb bridge')" docker network ls --format '{{.Name}} {{.Driver}}'
check "so is the address of web-2" says "$web2" address web-2 web
stop_ping
check "$lost of $sent packets were lost" [ "$lost" = 0 ]

title "docker network disconnect, rm, prune"
refused "a network with containers stays" "has active endpoints" docker network rm web
check "web-2 leaves network web" docker network disconnect web web-2
refused "web-1 does not know it any more" "bad address" docker exec web-1 ping -c 1 web-2
check "containers are removed" docker rm -f web-1 web-2 db-1
check "network web is removed" docker network rm web
check "prune takes network db" docker network prune -f
check "only the predefined networks are left" says "$(printf 'bridge\nhost\nnone')" docker network ls --format '{{.Name}}'

title "Everything is ended"
check "arcad ends cleanly on SIGTERM" ends arcad
check "so does arca-network" ends arca-network
check "arca-network down ends OVS and OVN" arca-network down --state-dir "$work/state" $(line arca-network ExecStart | grep -o -- '--ovn-root [^ ]*')
check "arcad uninstall removes the services" arcad uninstall
show <"$work/last"
for table in iptables ip6tables; do
	$table -w -D DOCKER-USER -i uplink0 -j ACCEPT
	$table -w -D DOCKER-USER -o uplink0 -j ACCEPT
done
check "no table of ours is left" none bash -c 'nft list tables | grep arca || true'
check "the engine's rules do not name us" none bash -c '{ iptables-save; ip6tables-save; } | grep uplink0 || true'
check "the engine ends" ends dockerd
ip link del out0
ip netns del world
others() { ip -o link | cut -d: -f2 | tr -d ' ' | grep -v -e '^lo$' -e '^docker0$'; }
check "no interface is left but lo and the engine's docker0" none bash -c "$(declare -f others); others || true"
processes() { for p in /proc/[0-9]*; do [ "${p#/proc/}" = $$ ] || [ "${p#/proc/}" = $BASHPID ] || tr '\0' ' ' <"$p/cmdline"; done 2>/dev/null; }
check "no process is left" eventually 100 none processes
check "no control group of a container is left" none bash -c "find /sys/fs/cgroup -mindepth 2 -type d -path '*/${work##*/}/*'"
