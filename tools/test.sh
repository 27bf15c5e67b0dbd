#!/bin/bash
# make test: sets up, builds, installs and runs every test, each layer on a server of its own that
# is gone afterwards. Ends with a line "N passed, N failed, N skipped" that counts test programs
# and files.
# ONLY="unit pgtap ..." picks layers.
set -u
. "$(dirname "$0")/common.sh"
under_reaper tools/test.sh "$@"

logs=$BUILD/test-logs
deadline=$((SECONDS + ${TEST_TIME_LIMIT:-2390}))  # seconds for everything
passed=0 failed=0 skipped=0
layer='' tap_dir='' small_disk=''
layers=${ONLY:-includes unit asan regress isolation pgtap tap demo}

finish() {
  local dir pid
  for pid in "${pool_pids[@]}"; do kill "$pid" 2>/dev/null; done
  tools/server.sh destroy test
  if [ -n "$tap_dir" ]; then
    for dir in "$tap_dir"/*/; do stop_tap_servers "$dir"; done
    remove_small_disk
    rm -rf "$tap_dir"
  fi
}

# Tests that were killed leave postmasters behind; their backends follow when these are gone.
stop_tap_servers() {  # FOLDER of a test
  local file pid
  for file in "$1"/tmp_check/*/pgdata/postmaster.pid; do
    [ -f "$file" ] || continue
    pid=$(head -1 "$file")
    kill -9 "$pid" 2>/dev/null
  done
}

# ok NAME [SECONDS]: long ones say how long they took.
ok() {
  passed=$((passed + 1))
  if [ "${2:-0}" -ge 10 ]; then echo "ok     $1 ($2 s)"; else echo "ok     $1"; fi
}

skip() { skipped=$((skipped + 1)); echo "skip   $1: $2"; }

# bad NAME LOG: shows what failed and the end of the log.
bad() {
  failed=$((failed + 1))
  echo "FAILED $1"
  if [ -s "${2:-}" ]; then
    grep -nE -A6 '^not ok |^\[  FAILED  \]' "$2" | head -40
    echo "------ end of $2"
    tail -n 40 "$2"
    echo "------"
  fi
}

wants() { case " $layers " in *" $1 "*) echo "== $2"; true ;; *) false ;; esac; }

# limited SECONDS COMMAND...: within what is left of the time for everything.
limited() {
  local left=$((deadline - SECONDS)) limit=$1
  shift
  [ "$left" -gt 5 ] || left=5
  [ "$limit" -lt "$left" ] || limit=$left
  timeout -k 10 "$limit" "$@" </dev/null
}

one() {  # one NAME COMMAND...: a test that is one command
  local name=$1 log=$logs/$1.log start=$SECONDS
  shift
  if limited "${LIMIT:-300}" "$@" >"$log" 2>&1; then
    ok "$name" $((SECONDS - start))
  else
    [ $? != 124 ] || echo "timed out" >>"$log"
    bad "$name" "$log"
  fi
}

# Two tests at once: most wait more than they work. A test of the pool runs in a process of its own
# and leaves its end in a file, which is what is counted.
pool_names=()
pool_pids=()

# pool NAME COMMAND...: the command, a function of this script, ends with pool_end.
pool() {
  local name=$1
  shift
  [ "${#pool_pids[@]}" -lt "$(nproc)" ] || pool_wait_one
  rm -f "$logs/$name.end"
  "$@" &
  pool_names+=("$name")
  pool_pids+=($!)
}

pool_end() { echo "${*:2}" >"$logs/$1.end"; }  # NAME ok SECONDS | skip REASON | bad

pool_wait_one() {
  local pid i name end rest
  wait -n -p pid "${pool_pids[@]}"
  for i in "${!pool_pids[@]}"; do
    [ "${pool_pids[i]}" = "${pid:-}" ] || continue
    name=${pool_names[i]}
    read -r end rest <"$logs/$name.end" || end=bad
    rm -f "$logs/$name.end"
    case $end in
      ok) ok "$name" "$rest" ;;
      skip) skip "$name" "$rest" ;;
      *) bad "$name" "$logs/$name.log" ;;
    esac
    unset "pool_names[i]" "pool_pids[i]"
    pool_names=("${pool_names[@]}") pool_pids=("${pool_pids[@]}")
    return
  done
}

pool_wait() { while [ "${#pool_pids[@]}" -gt 0 ]; do pool_wait_one; done; }

unit_program() {  # NAME PROGRAM
  local start=$SECONDS
  if limited 300 "$2" >"$logs/$1.log" 2>&1; then
    pool_end "$1" ok $((SECONDS - start))
  else
    [ $? != 124 ] || echo "timed out" >>"$logs/$1.log"
    pool_end "$1" bad
  fi
}

unit_programs() {  # unit_programs FOLDER
  local source program start=$SECONDS
  if ! limited 1800 "$MAKE" -s -j"$(nproc)" "$1-build" >"$logs/$1-build.log" 2>&1; then
    bad "$1 (build)" "$logs/$1-build.log"
    return
  fi
  echo "built in $((SECONDS - start)) s"
  for source in test/unit/*_test.cpp; do
    [ -f "$source" ] || continue
    program=$BUILD/$1/$(basename "$source" .cpp)
    pool "$1-$(basename "$program")" unit_program "$1-$(basename "$program")" "$program"
  done
  pool_wait
}

start_server() {
  # fsync is tested by kill -9, which does not need it: the kernel stays up.
  # Expected output knows nothing of an autovacuum that comes in between.
  if ! { tools/server.sh create test fsync=off autovacuum=off && tools/server.sh start test; } \
    >"$logs/server.log" 2>&1; then
    bad "$layer (start of the server)" "$logs/server.log"
    return 1
  fi
  eval "$(tools/server.sh env test)"
}

stop_server() {
  cp "$BUILD/test/log" "$logs/$layer-server.log" 2>/dev/null
  grep -E 'PANIC|was terminated by signal|TRAP:' "$logs/$layer-server.log" |
    head -5 >"$logs/crashes" 
  if [ -s "$logs/crashes" ]; then bad "$layer: the server crashed" "$logs/crashes"; fi
  tools/server.sh destroy test
}

# regress_files DIFFS MAKE-VARIABLE...: pg_regress tests, counted by pg_regress's own lines.
regress_files() {
  local diffs=$1 log=$logs/$layer.log line name status before=$failed
  shift
  start_server || return
  rm -f "$diffs"
  limited 1200 "$MAKE" -s installcheck "PG_CONFIG=$PG_CONFIG" "$@" >"$log" 2>&1
  status=$?
  while read -r _ name _ line; do
    case $line in
      ok*) ok "$layer-$name" ;;
      *) bad "$layer-$name" ;;
    esac
  done < <(grep -E '^test +[A-Za-z0-9_-]+ +\.\.\. ' "$log")
  if [ "$failed" != "$before" ]; then
    tail -n 200 "$diffs"
  elif [ "$status" != 0 ]; then
    bad "$layer" "$log"
  fi
  stop_server
}

pgtap_files() {
  local file extensions
  # A server that was built from source has no pgTAP of its own: it is plain SQL.
  extensions=$("$PG_CONFIG" --sharedir)/extension
  if [ ! -f "$extensions/pgtap.control" ]; then
    as_root cp /usr/share/postgresql/15/extension/pgtap* "$extensions/"
  fi
  start_server || return
  psql -qX -c 'CREATE EXTENSION omendb' -c 'CREATE EXTENSION pgtap' >"$logs/pgtap.log" 2>&1 ||
    bad "pgtap (create extension)" "$logs/pgtap.log"
  for file in test/pgtap/*.sql; do
    [ -f "$file" ] || continue
    one "pgtap-$(basename "$file" .sql)" pg_prove --ext .sql -v "$file"
  done
  stop_server
}

# disk_full makes a small disk in a namespace of its own. Where the servers' user may not have one,
# root mounts it.
make_small_disk() {
  as_server_user unshare --user --map-current-user --keep-caps --mount true 2>/dev/null && return
  [ "$(id -u)" = 0 ] || return
  small_disk=$(mktemp -d /tmp/omendb-disk-XXXXXX)
  mount -t tmpfs -o "size=80m,mode=0700,uid=$(id -u "$SERVER_USER")" tmpfs "$small_disk" && return
  rmdir "$small_disk"
  small_disk=''
}

remove_small_disk() {
  [ -n "$small_disk" ] || return
  umount "$small_disk" || umount -l "$small_disk"
  rmdir "$small_disk"
  small_disk=''
}

# A TAP test starts servers, so it runs as the servers' user, on a copy where it may write.
tap_file() {  # NAME
  local name=$1 log=$logs/tap-$1.log dir=$tap_dir/$1 start=$SECONDS status reason
  cp -R test/. "$dir"
  chown -R "$SERVER_USER" "$dir"
  limited 900 env -C "$dir" TESTDIR="$dir" PGPORT=65432 PG_TEST_PORT_DIR="$tap_dir/ports" \
    OMENDB_SMALL_DISK="$small_disk" \
    PG_REGRESS="$pgxs/src/test/regress/pg_regress" "${AS_SERVER_USER[@]}" \
    prove -v -I "$pgxs/src/test/perl" -I "$dir/t" "t/$name.pl" >"$log" 2>&1
  status=$?
  if [ "$status" = 0 ]; then
    reason=$(sed -n 's/^t\/[^ ]* \.* skipped: *//p' "$log")
    if [ -n "$reason" ]; then
      pool_end "tap-$name" skip "$reason"
    else
      pool_end "tap-$name" ok $((SECONDS - start))
    fi
  else
    [ "$status" != 124 ] || echo "timed out" >>"$log"
    cat "$dir/tmp_check/log/regress_log_$name" >>"$log" 2>/dev/null
    mkdir -p "$logs/tap-$name"
    cp "$dir/tmp_check/log/"*"$name"* "$logs/tap-$name/" 2>/dev/null
    pool_end "tap-$name" bad
  fi
  stop_tap_servers "$dir"
  rm -rf "$dir"
}

tap_files() {
  local file name pgxs
  pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
  tap_dir=$(mktemp -d /tmp/omendb-tap-XXXXXX)
  chmod 755 "$tap_dir"
  mkdir "$tap_dir/ports"
  chown -R "$SERVER_USER" "$tap_dir"
  make_small_disk
  for file in test/t/*.pl; do
    [ -f "$file" ] || continue
    name=$(basename "$file" .pl)
    pool "tap-$name" tap_file "$name"
  done
  pool_wait
}

trap finish EXIT
trap 'exit 130' INT TERM HUP
rm -rf "$logs"
mkdir -p "$logs"
tools/setup.sh >"$logs/setup.log" 2>&1 || { tail -30 "$logs/setup.log"; die "set-up failed"; }
find_server

if wants includes "Include table"; then
  one includes-self-test perl tools/check_includes.pl --self-test
  one includes perl tools/check_includes.pl
fi
if wants unit "Unit tests"; then unit_programs unit; fi
if wants asan "Unit tests under ASan and UBSan"; then unit_programs unit-asan; fi

start=$SECONDS
if build_and_install >"$logs/build.log" 2>&1; then
  echo "== Built and installed the extension in $((SECONDS - start)) s"
  if wants regress "Regression tests"; then
    layer=regress regress_files regression.diffs ISOLATION=
  fi
  if wants isolation "Isolation tests"; then
    layer=isolation regress_files "$BUILD/isolation/regression.diffs" REGRESS=
  fi
  if wants pgtap "pgTAP tests"; then layer=pgtap pgtap_files; fi
  if wants tap "TAP tests"; then layer=tap tap_files; fi
  if wants demo "Demo"; then LIMIT=600 one demo tools/test_demo.sh; fi
else
  bad "build and install" "$logs/build.log"
fi

finish
trap - EXIT
echo "took $((SECONDS / 60)) min $((SECONDS % 60)) s; logs are in ${logs#"$ROOT"/}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
