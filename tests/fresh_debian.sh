#!/bin/bash
# Shows that a bare Debian 12 is enough: debootstrap a minimal one, copy this tree into it, run ./dev up and ./dev test there.
# On demand, as root, with debootstrap installed; takes the time of a full build. Nothing of it is left afterwards.
#
# usage: tests/fresh_debian.sh [--keep] [--only-up] [MIRROR]
set -euo pipefail
keep= only_up= mirror=http://deb.debian.org/debian
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=1 ;;
    --only-up) only_up=1 ;;
    -*) sed -n '2,6s/^# \?//p' "$0"; exit 2 ;;
    *) mirror=$1 ;;
  esac
  shift
done
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 1; }
tree=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
place=$(mktemp -d "${TMPDIR:-/var/tmp}/ebb-debian.XXXXXX")
inside() { chroot "$place" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${pass[@]}" "$@"; }

# Proxies, mirrors and certificates of the host reach apt and pip inside.
pass=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_CERT PIP_FIND_LINKS SSL_CERT_FILE; do
  [ -z "${!name:-}" ] || pass+=("$name=${!name}")
done

leave() {
  inside /ebb/dev down >/dev/null 2>&1 || true
  local point
  # Deepest first; only what this script mounted.
  for point in $(awk -v under="$place/" 'index($2, under) == 1 {print $2}' /proc/mounts | sort -r); do umount -l "$point"; done
  [ -n "$keep" ] && { echo "kept: $place"; return; }
  rm -rf --one-file-system "$place"
}
trap leave EXIT

echo "== a minimal Debian 12 in $place"
debootstrap --variant=minbase bookworm "$place" "$mirror"
[ ! -d /etc/apt/apt.conf.d ] || cp -n /etc/apt/apt.conf.d/*proxy* "$place/etc/apt/apt.conf.d/" 2>/dev/null || true
cp -L /etc/resolv.conf "$place/etc/resolv.conf"
[ -z "${PIP_CERT:-}" ] || install -D "$PIP_CERT" "$place$PIP_CERT"
mount -t proc proc "$place/proc"
mount --rbind /sys "$place/sys" && mount --make-rslave "$place/sys"
mount --rbind /dev "$place/dev" && mount --make-rslave "$place/dev"
mount -t tmpfs tmpfs "$place/run"
# The tree as it is, without what git ignores.
mkdir "$place/ebb"
git -C "$tree" ls-files -z --cached --others --exclude-standard | tar -C "$tree" --null --ignore-failed-read -T - -c | tar -C "$place/ebb" -x
git -C "$place/ebb" init -q 2>/dev/null || true

echo "== ./dev up"
inside /ebb/dev up
echo "== ./dev up, again"
inside /ebb/dev up
inside /ebb/dev down
if [ -z "$only_up" ]; then
  echo "== ./dev test"
  inside /ebb/dev test
fi
echo "a fresh Debian 12 is enough"
