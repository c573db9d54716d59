#!/usr/bin/env bash
# Checks every promise about performance (docs/PERFORMANCE.md) on this machine, beside an empty C plugin, the same policy as a
# C plugin, no plugin, Postfix's smtp-sink, Haraka 3 and lua-cjson. Ends with a table; the exit status says whether all hold.
#
#   tests/bench/run.sh [--policy DIR/policy.lua] [--mail FILE.json] [--only ROW...] [--rounds N] ...    (--help lists all)
#   tests/bench/run.sh scale [NAME...]          how cost and memory grow: draws the plots of docs/PERFORMANCE.md again
set -eu
cd "$(dirname "$0")/../.."
bash tests/install.sh build bench
mkdir -p build
{ cmake --preset release && cmake --build --preset release; } >build/bench-build.log 2>&1 || {
  tail -n 40 build/bench-build.log
  exit 2
}
script=run
if [ "${1:-}" = scale ]; then
  script=scale
  shift
fi
exec /usr/bin/python3 "tests/bench/$script.py" "$@"
