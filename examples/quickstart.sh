#!/usr/bin/env bash
# Builds mailerq-lua, runs a policy in the stand-in MailerQ, sends it real mail, and shows what came of it.
# examples/quickstart.sh [--serve]: with --serve the host keeps running until Ctrl-C.
set -eu
cd "$(dirname "$0")/.."
bash tests/install.sh
echo "building build/release"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset release && cmake --build --preset release; } >"$log" 2>&1; then
  tail -n 60 "$log"
  exit 1
fi
exec /usr/bin/python3 examples/quickstart/sessions.py "$@"
