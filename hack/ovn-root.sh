#!/usr/bin/env bash
# Makes a Debian 13 root folder with OVS and OVN, for machines whose own
# packages are older, and prints its path; prints "system" where the machine's
# own will do. Progress is on standard error. Needs root.
#
#   ARCA_CACHE   where the folder is kept (default /var/cache/arca-network)
set -euo pipefail

suite=trixie
packages=(openvswitch-switch ovn-central ovn-host)
cache=${ARCA_CACHE:-/var/cache/arca-network}
root=$cache/ovn-root

say() { echo "ovn-root: $*" >&2; }
fail() { say "$*"; exit 1; }

at_least() { # have, want
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}
installed() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo 0; }

versions() { # root
	dpkg-query --root="$1" -W -f '${Package} ${Version}\n' openvswitch-switch ovn-central | sed 's/^/ovn-root: /' >&2
}

if at_least "$(installed openvswitch-switch)" 3.5 && at_least "$(installed ovn-central)" 25.03 && at_least "$(installed ovn-host)" 25.03; then
	versions /
	echo system
	exit 0
fi
if [ -e "$root/.complete" ]; then
	versions "$root"
	echo "$root"
	exit 0
fi
[ "$(id -u)" = 0 ] || fail "must run as root"

mkdir -p "$cache"
exec 9>"$cache/ovn-root.lock"
flock -n 9 || { say "waiting for another run"; flock 9; }
if [ -e "$root/.complete" ]; then
	echo "$root"
	exit 0
fi

# The machine's own mirror: the first Debian archive that is no security or
# debug archive.
mirror() {
	{
		awk '/^URIs:/ {print $2}' /etc/apt/sources.list.d/*.sources 2>/dev/null
		sed -nE 's/^deb( +\[[^]]*\])? +([^ ]+) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null
	} | grep -E '^https?://' | grep -E '/debian/?$' | head -n 1
}
from=$(mirror) || true
[ -n "$from" ] || fail "no Debian mirror in /etc/apt/sources.list.d/*.sources or /etc/apt/sources.list"

if ! command -v debootstrap >/dev/null; then
	say "installing debootstrap"
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y --no-install-recommends debootstrap >/dev/null 2>&1 || {
		apt-get update >/dev/null
		apt-get install -y --no-install-recommends debootstrap >/dev/null
	}
fi

part=$(mktemp -d "$cache/ovn-root.part.XXXXXX")
trap 'rm -rf "$part"' EXIT
say "making $root from Debian $suite; this takes about a minute"
debootstrap --variant=minbase "$suite" "$part" "$from" >"$cache/ovn-root.log" 2>&1 ||
	fail "debootstrap failed; see $cache/ovn-root.log"
say "installing ${packages[*]}"
# A policy that starts nothing: these are files for us, not a system.
printf '#!/bin/sh\nexit 101\n' >"$part/usr/sbin/policy-rc.d"
chmod +x "$part/usr/sbin/policy-rc.d"
chroot "$part" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >>"$cache/ovn-root.log" 2>&1 ||
	fail "installing failed; see $cache/ovn-root.log"
chroot "$part" apt-get clean
rm -rf "$part"/var/lib/apt/lists/* "$part"/usr/share/{doc,man,locale}/* "$part"/var/log/*
chmod 0755 "$part"
touch "$part/.complete"
rm -rf "$root"
mv "$part" "$root"
trap - EXIT
say "made $root, $(du -sm "$root" | cut -f 1) MB"
versions "$root"
echo "$root"
