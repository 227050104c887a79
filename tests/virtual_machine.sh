#!/bin/bash
# Shows Ebb on what this host may not have: a machine booted by systemd with cgroup v2 only, and another kernel (Debian's).
# Takes the folder that `tests/fresh_debian.sh --keep` left, makes a disk of it and boots it in QEMU, by
# emulation, so ten times slower. Inside, packaging/ebb.service is installed and started, then COMMANDS run in /ebb.
# On demand, as root, with qemu-system-x86 installed. Nothing of it is left afterwards but what was added to the folder.
#
# usage: tests/virtual_machine.sh FOLDER [--cgroup v1] [--limit SECONDS] [--run COMMANDS]
#   --cgroup v1      the hybrid layout instead of v2
#   --limit SECONDS  of the machine's life, 3000 if not said
#   --run COMMANDS   instead of the functional and security tests that need no package index
set -euo pipefail
folder=${1:-}
[ -d "$folder/ebb" ] || { sed -n '2,11s/^# \?//p' "$0" >&2 && exit 2; }
shift
layout=1
limit_seconds=3000
commands='/usr/bin/python3 -m pytest -q -p no:cacheprovider -m "sanitized" tests/functional tests/security tests/fault'
while [ $# -gt 0 ]; do
  case $1 in
    --cgroup) [ "$2" != v1 ] || layout=0; shift ;;
    --limit) limit_seconds=$2 && shift ;;
    --run) commands=$2 && shift ;;
    *) sed -n '2,11s/^# \?//p' "$0" >&2 && exit 2 ;;
  esac
  shift
done
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 1; }
disk=$(mktemp -d "${TMPDIR:-/var/tmp}/ebb-vm.XXXXXX")
leave() { rm -rf "$disk"; }
trap leave EXIT

in_folder() {
  unshare --mount --propagation private bash -euc '
    folder=$1 && shift
    mount -t proc proc "$folder/proc"
    mount --rbind /dev "$folder/dev"
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$folder" "$@"' in_folder "$folder" "$@"
}
if ! ls "$folder"/boot/vmlinuz-* >/dev/null 2>&1; then
  echo "== kernel and systemd for the folder"
  in_folder apt-get install -y -q --no-install-recommends systemd-sysv linux-image-cloud-amd64 initramfs-tools udev dbus
fi

cp "$folder/ebb/packaging/ebb.service" "$folder/etc/systemd/system/ebb.service"
ln -sf /ebb/build/release/ebb "$folder/usr/bin/ebb"
mkdir -p "$folder/etc/ebb"
cp "$folder/ebb/packaging/ebb.yaml" "$folder/etc/ebb/ebb.yaml"
cat >"$folder/trial.sh" <<SCRIPT
cd /ebb
export EBB_BIN=/ebb/build/release/ebb EBB_TEST_PATIENCE=20 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
uname -r; stat -f -c 'cgroup file system: %T' /sys/fs/cgroup; cat /sys/fs/cgroup/cgroup.controllers
set -x
systemctl is-active ebb  # started before us: After= waits until it says that it listens
ebb ls
ebb deploy examples/hello && ebb invoke hello/hello && systemctl restart ebb && ebb invoke hello/hello && ebb usage
systemctl stop ebb
systemctl is-active ebb; find /sys/fs/cgroup -name 'ebb*'
$commands
echo "virtual machine: exit status \$?"
SCRIPT
cat >"$folder/etc/systemd/system/trial.service" <<'UNIT'
[Unit]
After=ebb.service
[Service]
Type=oneshot
ExecStart=/bin/bash /trial.sh
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=file:/dev/ttyS0
StandardError=inherit
Delegate=yes
[Install]
WantedBy=multi-user.target
UNIT
in_folder systemctl enable ebb trial >/dev/null 2>&1
in_folder systemctl mask serial-getty@ttyS0.service getty@tty1.service >/dev/null 2>&1

echo "== disk"
rsync_out=$disk/root
mkdir "$rsync_out"
tar -C "$folder" --one-file-system --exclude=./ebb/build/dev --exclude=./ebb/build/asan --exclude='*.o' --exclude='*.a' --exclude='./var/cache/*' \
  --exclude='./root/.cache' -cf - . | tar -C "$rsync_out" -xf -
mkfs.ext4 -q -d "$rsync_out" "$disk/image" 8G
rm -rf "$rsync_out"

echo "== boot"
timeout "$limit_seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 4096 -nographic -no-reboot -nic none \
  -kernel "$(ls "$folder"/boot/vmlinuz-* | tail -n 1)" -initrd "$(ls "$folder"/boot/initrd.img-* | tail -n 1)" \
  -append "root=/dev/vda rw console=ttyS0 quiet systemd.unified_cgroup_hierarchy=$layout systemd.show_status=0 panic=1" \
  -drive file="$disk/image",format=raw,if=virtio,cache=unsafe </dev/null | tee "$disk/console"
grep -q 'virtual machine: exit status 0' "$disk/console"
