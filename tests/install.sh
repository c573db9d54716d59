#!/usr/bin/env bash
# Installs the Debian packages that mailerq-lua needs, those only that are missing. As root, or with sudo.
#
#   tests/install.sh [build] [test] [fuzz] [style] [bench]      (without arguments: build test)
#
# Says nothing unless it installs something or fails.
set -eu

build=(build-essential cmake ninja-build pkg-config libluajit-5.1-dev libjansson-dev libfastjson-dev libjson-c-dev
  libcrypt-dev libev-dev libssl-dev libpcre2-dev uthash-dev libxxhash-dev libgmime-3.0-dev libcmocka-dev python3 openssl)
test=(git ca-certificates curl libnet-ssleay-perl luajit postfix python3-pytest python3-pytest-xdist rsync swaks valgrind locales)
fuzz=(clang libclang-rt-14-dev)
style=(clang-format cppcheck flake8 shellcheck nodejs npm)
bench=(postfix valgrind luajit lua-cjson nodejs npm)

packages=()
for set in "${@:-build test}"; do
  for name in $set; do
    case $name in
      build) packages+=("${build[@]}") ;;
      test) packages+=("${test[@]}") ;;
      style) packages+=("${style[@]}") ;;
      fuzz) packages+=("${fuzz[@]}") ;;
      bench) packages+=("${bench[@]}") ;;
      *) echo "usage: $0 [build] [test] [fuzz] [style] [bench]" >&2 && exit 2 ;;
    esac
  done
done

missing=()
for package in "${packages[@]}"; do
  # Another mail server must not be replaced: then there is no smtp-source, and tests that use it are skipped.
  [ "$package" = postfix ] && [ -e /usr/sbin/sendmail ] && continue
  # Other packages of Node.js bring npm along, and Debian's npm would conflict with them.
  [ "$package" = npm ] && command -v npm >/dev/null && continue
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
  command -v sudo >/dev/null || { echo "$0: as root, install: ${missing[*]}" >&2 && exit 1; }
fi
echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Tests run a Postfix of their own: without a configuration the system's one does not start.
if ! { echo "postfix postfix/main_mailer_type select No configuration" |
  "${as_root[@]}" debconf-set-selections && "${as_root[@]}" apt-get update &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove \
    "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "$0: as root, install: ${missing[*]}" >&2
  exit 1
fi
