#!/bin/sh
# Writes the file system of a small image, busybox alone, as a tar archive to
# standard output. Nothing is pulled:
#
#   hack/docker-image.sh | docker import - NAME
set -eu
busybox=$(command -v busybox) || { echo "docker-image: no busybox: run hack/deps.sh" >&2; exit 1; }
root=$(mktemp -d /tmp/arca-image.XXXXXX)
trap 'rm -rf "$root"' EXIT
mkdir "$root/bin" "$root/etc" "$root/tmp" "$root/www"
chmod 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
"$busybox" --list | while read -r applet; do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
# It must run where there is no library: a busybox that is not static does not.
chroot "$root" /bin/true || { echo "docker-image: $busybox is not static: install busybox-static" >&2; exit 1; }
tar -C "$root" -c .
