#!/bin/sh
# What the Dockerfile says, by umoci and Debian's busybox-static, where there is no docker: the OCI layout ./layout.
set -eu
cd "$(dirname "$0")"
busybox=$(command -v busybox)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root/bin"
cp "$busybox" "$root/bin/busybox"
for name in sh httpd sed id uname; do ln -s busybox "$root/bin/$name"; done
rm -rf layout
umoci init --layout layout
umoci new --image layout:v1
umoci insert --rootless --image layout:v1 "$root/bin" /bin
umoci insert --rootless --image layout:v1 www /www
# shellcheck disable=SC2016  # $PORT is the server's
umoci config --image layout:v1 --config.cmd sh --config.cmd -c --config.cmd 'exec httpd -f -p 127.0.0.1:$PORT -h /www'
