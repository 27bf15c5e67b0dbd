#!/bin/bash
# pgbench's built-in scripts on heap and on omendb, in turn, on one server. Prints a markdown table.
#   SCALE=100 DURATION=60 CLIENTS="1 8" SYNC="on off" PROTOCOL=simple
#   SCRIPTS="select-only simple-update tpcb-like"
# shellcheck disable=SC2154
set -eu
. "$(dirname "$0")/lib.sh"

scale=${SCALE:-100} duration=${DURATION:-60} protocol=${PROTOCOL:-simple}

fresh_server
echo "pgbench, scale $scale, $duration s each, protocol $protocol."
echo "$(describe_machine)."
echo
for am in heap omendb; do
  sql "CREATE DATABASE bench_$am"
  if [ $am = omendb ]; then sql 'CREATE EXTENSION omendb' -d bench_omendb; fi
  sql "ALTER DATABASE bench_$am SET default_table_access_method = $am" 2>/dev/null
done
for am in heap omendb; do
  start=$(seconds)
  pgbench -i -q -s "$scale" "bench_$am" >"$BUILD/bench-init.log" 2>&1 ||
    { cat "$BUILD/bench-init.log"; die "pgbench -i failed on $am"; }
  echo "Initialisation on $am: $(calc '%.1f' "$(seconds) - $start") s."
done
echo

# measure AM SCRIPT CLIENTS SYNC: sets tps and wal_per_transaction.
measure() {
  local before after log=$BUILD/bench-run.log transactions failed
  sql CHECKPOINT
  sleep 2
  before=$(wal_position)
  PGOPTIONS="-c synchronous_commit=$4" pgbench -n -M "$protocol" -b "$2" -c "$3" -j 2 \
    -T "$duration" "bench_$1" >"$log" 2>&1 || { cat "$log"; die "pgbench failed"; }
  after=$(wal_position)
  transactions=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$log")
  failed=$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' "$log")
  [ "$failed" = 0 ] || die "$failed transactions failed on $1"
  tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$log")
  wal_per_transaction=$(calc '%.0f' "($after - $before) / $transactions")
}

echo "| script | clients | synchronous_commit | heap tps | omendb tps | ratio | heap WAL/tx | omendb WAL/tx |"
echo "|---|---:|---|---:|---:|---:|---:|---:|"
turn=0
for script in ${SCRIPTS:-select-only simple-update tpcb-like}; do
  for sync in ${SYNC:-on off}; do
    if [ "$script" = select-only ] && [ "$sync" = off ]; then continue; fi
    for clients in ${CLIENTS:-1 8}; do
      turn=$((1 - turn))
      if [ $turn = 1 ]; then order="heap omendb"; else order="omendb heap"; fi
      for am in $order; do
        measure "$am" "$script" "$clients" "$sync"
        declare "tps_$am=$tps" "wal_$am=$wal_per_transaction"
      done
      echo "| $script | $clients | $sync | $(calc '%.0f' "$tps_heap") |" \
        "$(calc '%.0f' "$tps_omendb") | $(calc '%.2f' "$tps_omendb / $tps_heap") |" \
        "$wal_heap | $wal_omendb |"
    done
  done
done
for am in heap omendb; do
  agree=$(sql "SELECT (SELECT sum(abalance) FROM pgbench_accounts)
                      IS NOT DISTINCT FROM (SELECT sum(delta) FROM pgbench_history)
                  AND (SELECT sum(tbalance) FROM pgbench_tellers)
                      = (SELECT sum(bbalance) FROM pgbench_branches)" -d "bench_$am")
  rows=$(sql 'SELECT count(*) FROM pgbench_history' -d "bench_$am")
  [ "$agree" = t ] || [ "$rows" = 0 ] || die "the balances disagree on $am"
done
