#!/bin/bash
# A test of tools/test.sh: make demo twice on top of junk and of what a killed demo leaves, then
# make demo-stop, which leaves nothing running. Under build/demo-test, beside a user's own demo.
set -eu
. "$(dirname "$0")/common.sh"
find_server

export DEMO=demo-test DEMO_SECONDS=${DEMO_SECONDS:-2}
fail() { echo "not ok - $*"; exit 1; }
finish() { tools/server.sh destroy "$DEMO" >/dev/null 2>&1 || true; }
trap finish EXIT

# Processes that have the demo's data directory as their own.
processes() {
  local cwd
  for cwd in /proc/[0-9]*/cwd; do
    case $(readlink "$cwd" 2>/dev/null) in "$1"*) echo "$cwd" ;; esac
  done
}

tools/server.sh destroy "$DEMO"
mkdir -p "$BUILD/$DEMO/data/base"
echo junk | tee "$BUILD/$DEMO/data/postmaster.pid" "$BUILD/$DEMO/log" "$BUILD/$DEMO/data/base/1" \
  "$BUILD/$DEMO-before" "$BUILD/$DEMO-after" >/dev/null
ln -sf /nowhere "$BUILD/$DEMO/sockets"
for round in 1 2; do
  "$MAKE" -s demo || fail "make demo, round $round"
  eval "$(tools/server.sh env "$DEMO")"
  [ "$(psql -qXAt -c 'SELECT count(*) > 1000 FROM package')" = t ] ||
    fail "the demo's server answers, round $round"
  # The second demo meets the first one's server, running.
done
folder=$(readlink -f "$BUILD/$DEMO")
[ -n "$(processes "$folder")" ] || fail 'the demo leaves a server running'
"$MAKE" -s demo-stop || fail 'make demo-stop'
for _ in 1 2 3 4 5 6 7 8 9 10; do
  [ -n "$(processes "$folder")" ] || break
  sleep 0.5
done
[ -z "$(processes "$folder")" ] || fail "nothing is left running: $(processes "$folder")"
if psql -qX -c 'SELECT 1' >/dev/null 2>&1; then fail 'nobody answers after make demo-stop'; fi
"$MAKE" -s demo-stop || fail 'make demo-stop when nothing runs'
echo "ok - demo"
