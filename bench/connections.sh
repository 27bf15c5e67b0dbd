#!/bin/bash
# What an idle connection costs that has touched a table: private memory, open files, and deleted
# files that it still holds after the store has been rewritten. Heap beside omendb.
#   CONNECTIONS=1000 SCALE=20 CHURN=3
# shellcheck disable=SC2154
set -eu
. "$(dirname "$0")/lib.sh"

count=${CONNECTIONS:-1000}
ulimit -n 8192
fresh_server max_connections=$((count + 50))
for am in heap omendb; do
  sql "CREATE DATABASE bench_$am"
  if [ $am = omendb ]; then sql 'CREATE EXTENSION omendb' -d bench_omendb; fi
  sql "ALTER DATABASE bench_$am SET default_table_access_method = $am" 2>/dev/null
  pgbench -i -q -s "${SCALE:-20}" bench_$am >"$BUILD/bench-init.log" 2>&1 ||
    { cat "$BUILD/bench-init.log"; die "pgbench -i failed on $am"; }
done
sql CHECKPOINT

echo "$count connections, each after one read by index and one scan of a small table, then idle."
echo "$(describe_machine)."
echo
echo "| table | when | connections | private memory each | open files each | deleted files held | disk held |"
echo "|---|---|---:|---:|---:|---:|---:|"

script=$BUILD/bench-touch.sql
cat >"$script" <<'END'
\set aid random(1, 100000 * :scale)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SELECT sum(bbalance) FROM pgbench_branches;
\sleep 600 s
END

report() {  # report AM WHEN
  sql "SELECT pid FROM pg_stat_activity WHERE application_name = 'idle clients'" |
    perl bench/process_cost.pl "$data" "| $1 | $2"
}

for am in heap omendb; do
  PGAPPNAME='idle clients' pgbench -n -c "$count" -j 2 -t 1 -f "$script" -D "scale=${SCALE:-20}" \
    bench_$am >"$BUILD/bench-idle.log" 2>&1 &
  clients=$!
  for ((i = 0; i < 300; i++)); do
    idle=$(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle clients'
      AND state = 'idle' AND query LIKE '%pgbench_branches%'")
    [ "$idle" != "$count" ] || break
    kill -0 $clients 2>/dev/null || { cat "$BUILD/bench-idle.log"; die "the clients gave up"; }
    sleep 1
  done
  report $am 'idle'
  for ((i = 0; i < ${CHURN:-3}; i++)); do
    sql 'UPDATE pgbench_accounts SET abalance = abalance + 1' -d bench_$am
    sql CHECKPOINT
  done
  sleep 30
  report $am 'after the whole table was updated'
  kill $clients
  wait $clients 2>/dev/null || true
done
