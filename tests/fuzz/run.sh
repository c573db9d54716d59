#!/usr/bin/env bash
# Every fuzz target for some seconds, from its kept corpus and with a fixed seed, two at a time. Ends with the line
# "N passed, N failed"; inputs that break something stay in build/fuzz/found.
#
#   tests/fuzz/run.sh [SECONDS]      (5 each; needs cmake --build --preset fuzz)
set -u
cd "$(dirname "$0")/../.." || exit 1
export SECONDS_EACH=${1:-5}

one() {
  local program=$1 name found seeds work
  name=$(basename "$program")
  seeds=tests/fuzz/corpus/${name#fuzz_}
  found=build/fuzz/found/$name
  work=$(mktemp -d)
  mkdir -p "$found" "$seeds"
  if "$program" -seed=1 -max_total_time="$SECONDS_EACH" -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
    -artifact_prefix="$found/" "$work" "$seeds" >"$work.log" 2>&1; then
    echo "ok $name"
  else
    echo "FAILED $name"
    tail -n 30 "$work.log" >&2
  fi
  rm -rf "$work" "$work.log"
}
export -f one

results=$(find build/fuzz -maxdepth 1 -name 'fuzz_*' -type f -executable | sort | xargs -P 2 -I{} bash -c 'one {}')
echo "$results" | grep FAILED
passed=$(echo "$results" | grep -c '^ok ')
failed=$(echo "$results" | grep -c '^FAILED ')
echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
