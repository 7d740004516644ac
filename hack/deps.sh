#!/usr/bin/env bash
# Installs the Debian packages that building, testing and showing need, and
# nothing where all are there.
set -eu
declare -A package=(
	[debootstrap]=debootstrap [ip]=iproute2 [ping]=iputils-ping [nft]=nftables [iperf3]=iperf3
	[tcpdump]=tcpdump [ethtool]=ethtool [curl]=curl [gcc]=gcc [unshare]=util-linux [ps]=procps [dig]=bind9-dnsutils
	[dnsmasq]=dnsmasq-base [dnsperf]=dnsperf
	[udhcpc]=udhcpc [dhclient]=isc-dhcp-client [podman]=podman [crun]=crun
	[iptables]=iptables # a Docker Engine calls it
)
missing=()
for command in "${!package[@]}"; do
	command -v "$command" >/dev/null || missing+=("${package[$command]}")
done
# The command busybox does not tell whether it is static, as an image needs it.
dpkg-query -W busybox-static >/dev/null 2>&1 || missing+=(busybox-static)
[ ${#missing[@]} -eq 0 ] && exit 0
echo "deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 && exit 0
apt-get update >/dev/null
apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null
