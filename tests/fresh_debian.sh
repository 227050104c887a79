#!/bin/bash
# Shows that a bare Debian 12 is enough: debootstrap a minimal one, copy this tree into it, run ./dev up and ./dev test there.
# On demand, as root, with debootstrap installed; takes the time of a full build. Nothing of it is left afterwards.
#
# usage: tests/fresh_debian.sh [--keep] [--run COMMANDS] [MIRROR]
#   --keep           leaves the folder
#   --run COMMANDS   what to do inside, in /ebb, instead of up, up again, down and test
set -euo pipefail
keep='' mirror=http://deb.debian.org/debian commands='./dev up && ./dev up && ./dev down && ./dev test'
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=1 ;;
    --run) commands=$2 && shift ;;
    -*) sed -n '2,7s/^# \?//p' "$0" && exit 2 ;;
    *) mirror=$1 ;;
  esac
  shift
done
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 1; }
tree=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
place=$(mktemp -d "${TMPDIR:-/var/tmp}/ebb-debian.XXXXXX")
chmod 755 "$place"
leave() { if [ -n "$keep" ]; then echo "kept: $place"; else rm -rf --one-file-system "$place"; fi; }
trap leave EXIT

echo "== a minimal Debian 12 in $place"
debootstrap --variant=minbase bookworm "$place" "$mirror" >"$place.log" || { tail -n 20 "$place.log"; rm -f "$place.log"; exit 1; }
rm -f "$place.log"

# Proxies, mirrors and certificates of the host reach apt, pip and npm inside.
pass=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_CERT SSL_CERT_FILE NPM_CONFIG_REGISTRY NODE_EXTRA_CA_CERTS; do
  [ -z "${!name:-}" ] || pass+=("$name=${!name}")
done
cp -L /etc/resolv.conf "$place/etc/resolv.conf"
cp /etc/apt/apt.conf.d/*proxy* "$place/etc/apt/apt.conf.d/" 2>/dev/null || true
if [ -d /usr/local/share/ca-certificates ]; then
  mkdir -p "$place/usr/local/share" && cp -r /usr/local/share/ca-certificates "$place/usr/local/share/"
fi

# The tree as it is, without what git ignores.
mkdir "$place/ebb"
(cd "$tree" && git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done | tar --null -T - -c) | tar -C "$place/ebb" -x
git -C "$place/ebb" init -q && git -C "$place/ebb" add -A

# A mount namespace with the new system as its real root: the kernel refuses user namespaces to a process whose root was
# merely changed by chroot. Its mounts vanish with it.
echo "== $commands"
unshare --mount --propagation private bash -euc '
  place=$1 commands=$2
  shift 2
  mount --bind "$place" "$place"
  mount -t proc proc "$place/proc"
  mount --rbind /sys "$place/sys"
  mount --rbind /dev "$place/dev"
  mount -t tmpfs tmpfs "$place/run"
  cd "$place"
  pivot_root . mnt
  cd /
  umount -l /mnt
  cd /ebb
  env -i "$@" bash -uc "trap \"[ ! -e /ebb/.state ] || /ebb/dev down\" EXIT; $commands"
' fresh "$place" "$commands" "${pass[@]}"
echo "a fresh Debian 12 is enough for: $commands"
