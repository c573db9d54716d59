#!/usr/bin/env bash
# Everything: installs what is missing, builds (release, and with ASan and UBSan), runs all tests, and ends with the
# line "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
bash tests/install.sh build test fuzz style || exit 1

passed=0
failed=0
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# The title of a part, with the minute in which it begins.
section() { printf '== %s (minute %d)\n' "$1" $((SECONDS / 60)); }

# build PRESET [TARGET...]
build() {
  section "build $1"
  { cmake --preset "$1" && cmake --build --preset "$1" ${2:+--target "${@:2}"}; } >"$logs/build" 2>&1 && return
  tail -n 60 "$logs/build"
  echo "the $1 build failed"
  echo "$passed passed, $((failed + 1)) failed"
  exit 1
}

# Adds what a runner printed to the sums: count LOG, with the closing line of pytest or ctest in it.
count() {
  local ok bad
  ok=$(grep -oE '[0-9]+ passed' "$1" | tail -n 1 | cut -d' ' -f1)
  bad=$(grep -oE '[0-9]+ (failed|errors?)' "$1" | grep -oE '[0-9]+' | awk '{s += $1} END {print s + 0}')
  passed=$((passed + ${ok:-0}))
  failed=$((failed + ${bad:-0}))
}

# Most tests wait for something, so four at a time keep two cores busy. What is random is the same in all of them.
export MQLUA_SEED=${MQLUA_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
echo "MQLUA_SEED=$MQLUA_SEED"
at_once=4

pytest() {
  MQLUA_BUILD=build/$preset /usr/bin/python3 -m pytest -q --no-header -o cache_dir="$logs/cache" --tb=short "$@"
}

# What fails while others run gets another chance alone: how busy the machine is, is not what is tested.
run_pytest() {
  local name=$1
  shift
  section "$name"
  rm -rf "$logs/cache"
  pytest -n "$at_once" "$@" >"$logs/run" 2>&1
  local status=$?
  tail -n 40 "$logs/run" | sed 's/ in [0-9.]*s.*//'
  if [ $status -eq 1 ] && [ "$at_once" -gt 0 ]; then
    passed=$((passed + $(grep -oE '[0-9]+ passed' "$logs/run" | tail -n 1 | cut -d' ' -f1 || echo 0)))
    echo "-- what failed, again, one at a time"
    pytest -n 0 --last-failed "$@" >"$logs/run" 2>&1
    status=$?
    tail -n 40 "$logs/run" | sed 's/ in [0-9.]*s.*//'
  fi
  count "$logs/run"
  # A run that ended badly without saying which test failed has failed all the same.
  if [ $status -ne 0 ] && ! grep -qE '[0-9]+ (failed|error)' "$logs/run"; then failed=$((failed + 1)); fi
}

run_ctest() {
  section "unit tests ($preset)"
  ctest --test-dir "build/$preset" --output-on-failure -j 2 "$@" >"$logs/run" 2>&1
  grep -E 'tests passed|Failed|\*\*\*' "$logs/run" || tail -n 40 "$logs/run"
  local total bad
  total=$(grep -oE 'out of [0-9]+' "$logs/run" | grep -oE '[0-9]+' | tail -n 1)
  bad=$(unit_failures)
  if [ "${bad:-0}" -gt 0 ]; then
    echo "-- what failed, again, one at a time"
    ctest --test-dir "build/$preset" --output-on-failure --rerun-failed >"$logs/run" 2>&1
    tail -n 40 "$logs/run"
    bad=$(unit_failures)
  fi
  passed=$((passed + ${total:-0} - ${bad:-0}))
  failed=$((failed + ${bad:-0}))
  [ -n "$total" ] || failed=$((failed + 1))
}

# How many tests the last run of ctest says to have failed.
unit_failures() { grep -oE '[0-9]+ tests? failed' "$logs/run" | grep -oE '^[0-9]+' | tail -n 1; }

section "style"
if bash tests/style.sh; then
  passed=$((passed + 1))
else
  failed=$((failed + 1))
fi

# Failing requests for memory are tried where a sanitizer looks at what follows.
preset=release
build $preset
run_ctest -E '^fault$'
preset=asan
build $preset
run_ctest

preset=release
run_pytest "SMTP, library and documents" tests/smtp tests/lua
# Other readings of MailerQ: those files on which they bear, in the reading that is farthest from the default; and of all
# files some tests, each in a host of its own. All tests in all hosts take hours: docs/CONTRIBUTING.md.
MQLUA_PROFILE=far run_pytest "SMTP with the far host (tests/smtp/profiles.py)" tests/smtp/test_acknowledged.py \
  tests/smtp/test_errors.py tests/smtp/test_events.py tests/smtp/test_host_*.py tests/smtp/test_message_json.py \
  tests/smtp/test_outgoing.py tests/smtp/test_pauses.py tests/smtp/test_peers.py tests/smtp/test_refusals.py \
  tests/smtp/test_reload.py tests/smtp/test_tasks.py tests/smtp/test_verdicts.py
MQLUA_PROFILE=pairs MQLUA_SAMPLE=500 run_pytest "SMTP with many hosts (tests/smtp/pairs.py)" tests/smtp
MQLUA_PROFILE=turkish run_pytest "SMTP with a host that has a Turkish locale" tests/smtp/test_addresses.py \
  tests/smtp/test_events.py tests/smtp/test_objects.py tests/smtp/test_library.py tests/smtp/test_message_json.py \
  tests/smtp/test_verdicts.py tests/smtp/test_outgoing.py
run_pytest "examples" examples
at_once=0 run_pytest "what an event costs" tests/bench
preset=asan
run_pytest "SMTP with ASan and UBSan" tests/smtp/test_events.py tests/smtp/test_verdicts.py tests/smtp/test_objects.py \
  tests/smtp/test_message_json.py tests/smtp/test_errors.py tests/smtp/test_outgoing.py tests/smtp/test_pauses.py \
  tests/smtp/test_hosts.py tests/smtp/test_host_strict.py tests/smtp/test_reload.py

# Always the same seeds: new ones are looked for by hand (docs/CONTRIBUTING.md), so that a fault that was there before
# does not stop a change that has nothing to do with it.
section "random sessions with ASan and UBSan"
/usr/bin/python3 tests/fuzz/sessions.py --seed 1 --seconds 60 --build build/asan --no-shrink >"$logs/run" 2>&1
tail -n 40 "$logs/run"
count "$logs/run"
grep -qE '[0-9]+ failed' "$logs/run" || failed=$((failed + 1)) # it did not come to its end

build fuzz fuzz
section "fuzz targets"
bash tests/fuzz/run.sh >"$logs/run" 2>&1
tail -n 40 "$logs/run"
count "$logs/run"

# What crosses threads, and one run with everything in it.
preset=tsan
crossing=(test_dict test_threads test_metrics test_lookup host_test_inbox)
build $preset mqlua mailerq-lua "${crossing[@]}"
run_ctest -R "^($(IFS='|' && echo "${crossing[*]}"))$"
run_pytest "SMTP with TSan" tests/smtp/test_whole.py tests/smtp/test_tasks.py tests/smtp/test_reload.py
preset=release
export MQLUA_WRAPPER="valgrind -q --trace-children=yes --error-exitcode=99 --num-callers=30 --leak-check=full
  --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect,possible"
at_once=0 run_pytest "SMTP with valgrind" tests/smtp/test_whole.py
unset MQLUA_WRAPPER

section "who may use whom, and what is exported"
if /usr/bin/python3 tests/unit/includes.py build/release; then
  passed=$((passed + 1))
else
  failed=$((failed + 1))
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
