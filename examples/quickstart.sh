#!/usr/bin/env bash
# Installs what is missing, builds mailerq-lua, runs a policy in the stand-in MailerQ, sends it real mail, and shows what
# came of it. With --serve the host keeps running until Ctrl-C.
set -eu
case "$#${1-}" in
  0 | 1--serve) ;;
  *) echo "usage: $0 [--serve]" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/.."
bash tests/install.sh build

echo "building build/release ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset release && cmake --build --preset release --target mqlua mailerq-lua; } >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  exit 1
fi
rm -f "$log"
exec /usr/bin/python3 examples/quickstart/sessions.py "$@"
