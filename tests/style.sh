#!/usr/bin/env bash
# Checks what tools can check of the style: formatting of C and Lua, shell and Python lint, line lengths, and the defects
# that cppcheck finds. Prints every breach and exits with 1, or with 0 when there is none.
#
#   tests/style.sh          (packages: tests/install.sh style)
set -u
cd "$(dirname "$0")/.." || exit 1

failed=0
# check NAME COMMAND...: runs it, and shows what it printed when it failed.
check() {
  local output
  output=$("${@:2}" 2>&1) && return
  printf -- '-- %s\n%s\n' "$1" "$output" | head -n 60
  failed=1
}

files() { git ls-files --cached --others --exclude-standard -- "$@" | grep -v '^tests/fuzz/corpus/'; }

# Lines longer than MAX characters, rows of tables and types for editors aside, which cannot be broken: too_long MAX FILE...
# shellcheck disable=SC2317 # called by check
too_long() {
  local max=$1
  shift
  ! LC_ALL=C.UTF-8 awk -v max="$max" '
    length($0) > max && !/^\||^---@/ { print FILENAME ":" FNR ": longer than " max " characters" }' "$@" | grep .
}

# stylua comes from npm; its version is fixed, because each formats a little differently.
# shellcheck disable=SC2317
stylua() {
  local folder=build/stylua
  [ -x "$folder/node_modules/.bin/stylua" ] ||
    npm install --silent --no-audit --no-fund --prefix "$folder" @johnnymorganz/stylua-bin@2.5.2 || return 1
  "$folder/node_modules/.bin/stylua" --check "$@"
}

mapfile -t c < <(files '*.c' '*.h')
mapfile -t lua < <(files '*.lua')
mapfile -t shell < <(files '*.sh' .ci/run)
mapfile -t python < <(files '*.py')
mapfile -t documents < <(files '*.md')

check "clang-format -i" clang-format --dry-run --Werror "${c[@]}"
check "stylua" stylua "${lua[@]}"
check "shellcheck" shellcheck "${shell[@]}"
check "flake8" flake8 --extend-ignore=E501 "${python[@]}"
check "code has 110 columns" too_long 110 "${c[@]}" "${lua[@]}"
check "documents have 132" too_long 132 "${documents[@]}" "${shell[@]}"
# Only defects count: what cppcheck says of performance and style repeats the compiler, or is taste. memleak does not
# understand a block that is kept by "member = grown ? grown : member", identicalInnerCondition repeats a test on purpose.
check "cppcheck" cppcheck -q -j2 --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
  --include="$(echo '#include <sys/queue.h>' | cc -M -xc - | grep -o '/[^ ]*sys/queue.h')" \
  --suppress=missingIncludeSystem --suppress=memleak --suppress=identicalInnerCondition \
  --template='{file}:{line}: {id}: {message}' -Isrc -Iinclude src
exit "$failed"
