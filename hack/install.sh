#!/usr/bin/env bash
# Puts the programs of bin into /usr/local/bin and makes arcad and arca-network
# services of this machine, in front of its Docker Engine. Where systemd runs they
# are started too, and it waits until Docker's clients can use them.
#
#   hack/install.sh [FLAGS OF arca-network run]
set -euo pipefail
cd "$(dirname "$0")/.."
bin=/usr/local/bin socket=/var/run/arca.sock

root=$(hack/ovn-root.sh)
[ "$root" = system ] || set -- --ovn-root "$root" "$@"
for program in arca-network arcad arcactl arca-cni; do
	install -m 755 bin/$program $bin/$program
	echo "$bin/$program: written"
done
$bin/arcad install -- "$@" | grep -v '^now: '

if [ ! -d /run/systemd/system ]; then
	echo "no systemd runs here; start these yourself, and the Docker Engine:"
	echo "  iptables -I DOCKER-USER -i uplink0 -j ACCEPT; iptables -I DOCKER-USER -o uplink0 -j ACCEPT"
	sed -n 's/^ExecStart=\(.*\)/  \1 \&/p' /etc/systemd/system/arca-network.service /etc/systemd/system/arcad.service
	exit 0
fi
systemctl daemon-reload
systemctl enable --quiet arca-network arcad
# Again, where they ran already: this may be another version.
systemctl restart arca-network arcad
if systemctl cat docker >/dev/null 2>&1; then systemctl enable --quiet --now docker; fi
command -v docker >/dev/null || { echo "install: there is no Docker client to ask with; apt-get install docker.io" >&2; exit 1; }
for _ in $(seq 600); do
	docker -H unix://$socket network inspect bridge >/dev/null 2>&1 && { echo "arcad answers at unix://$socket"; exit 0; }
	sleep 0.1
done
echo "install: arcad does not answer at unix://$socket after a minute; see journalctl -u arcad -u arca-network" >&2
exit 1
