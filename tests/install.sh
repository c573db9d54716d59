#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, if they are missing. As root, or with sudo.
set -eu

packages=(build-essential cmake ninja-build pkg-config git ca-certificates libluajit-5.1-dev libjansson-dev
  libfastjson-dev libjson-c-dev libcrypt-dev libev-dev libssl-dev uthash-dev libxxhash-dev libcmocka-dev
  python3 python3-pytest swaks openssl)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
log=$(mktemp)
echo "installing ${missing[*]}"
if ! { "${as_root[@]}" apt-get update &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
  >"$log" 2>&1; then
  cat "$log"
  rm -f "$log"
  exit 1
fi
rm -f "$log"
