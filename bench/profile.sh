#!/bin/bash
# Where the time goes in pgbench's scripts on omendb tables: perf of all processes of the server, by
# shared object and by symbol, and what the sessions wait for, sampled every 10 ms. Beside heap with
# AMS="omendb heap". Installs linux-perf when it is missing.
#   SCALE=100 DURATION=20 CLIENTS=8 SYNC=on PROTOCOL=simple SYMBOLS=25 AMS=omendb
#   SCRIPTS="select-only simple-update tpcb-like"
# shellcheck disable=SC2154
set -eu
. "$(dirname "$0")/lib.sh"

scale=${SCALE:-100} duration=${DURATION:-20} clients=${CLIENTS:-8} protocol=${PROTOCOL:-simple}
ams=${AMS:-omendb}
if ! command -v perf >/dev/null; then
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    linux-perf </dev/null >"$BUILD/bench-perf.log" 2>&1 ||
    { cat "$BUILD/bench-perf.log"; die "linux-perf cannot be installed"; }
fi
samples=$(mktemp /tmp/omendb-perf-XXXXXX)
trap 'rm -f "$samples"; tools/server.sh destroy bench' EXIT

fresh_server
postmaster=$(head -1 "$data/postmaster.pid")
for am in $ams; do
  sql "CREATE DATABASE bench_$am"
  if [ "$am" = omendb ]; then sql 'CREATE EXTENSION omendb' -d bench_omendb; fi
  sql "ALTER DATABASE bench_$am SET default_table_access_method = $am" 2>/dev/null
  pgbench -i -q -s "$scale" "bench_$am" >"$BUILD/bench-init.log" 2>&1 ||
    { cat "$BUILD/bench-init.log"; die "pgbench -i failed on $am"; }
done
echo "pgbench, scale $scale, $clients clients, $duration s each, synchronous_commit ${SYNC:-on}," \
  "protocol $protocol."
echo "$(describe_machine)."

# The software clock: virtual machines often have no other. By the process ids, since other servers
# may run on this machine.
record() {
  as_root perf record -q -F 499 -e cpu-clock -p "$(pgrep -d, -P "$postmaster")" -o "$samples" \
    -- sleep "$1" >"$BUILD/bench-perf.log" 2>&1 ||
    { cat "$BUILD/bench-perf.log"; die "perf record failed"; }
}

# by COLUMNS LINES: the report as lines of a markdown table.
by() {
  as_root perf report -i "$samples" --stdio --sort "$1" -F "overhead,$1" 2>/dev/null |
    sed -n 's/^ *\([0-9.]*\)%  *\(.*[^ ]\) *$/\1 \2/p' | sort -rn | head -n "$2" |
    sed -E 's/ +- +-$//; s/ \[[.k]\] / /; s/^([0-9.]+) (\S+)  *(\S.*)$/| \1 % | \2 | \3 |/; t
      s/^([0-9.]+) (.*)$/| \1 % | \2 |/'
}

# What the clients are at, until they are gone: waits of pgbench's sessions, none = on a CPU or
# waiting for one.
sample_waits() {
  sql "CREATE TEMP TABLE waits (event text) USING heap" -c "DO \$\$
    BEGIN
      FOR i IN 1..$(($1 * 100)) LOOP
        PERFORM pg_stat_clear_snapshot();
        INSERT INTO waits SELECT CASE WHEN wait_event IS NULL THEN 'none (running)'
            ELSE wait_event_type || ': ' || wait_event END FROM pg_stat_activity
          WHERE application_name = 'pgbench' AND datname LIKE 'bench_%';
        PERFORM pg_sleep(0.01);
      END LOOP;
    END \$\$" -c "SELECT format('| %s | %s %% |', event, round(100.0 * count(*) / sum(count(*)) OVER (), 1))
      FROM waits GROUP BY event HAVING count(*) > 1 ORDER BY count(*) DESC LIMIT 20"
}

for am in $ams; do
  for script in ${SCRIPTS:-select-only simple-update tpcb-like}; do
    sql CHECKPOINT
    sleep 2
    log=$BUILD/bench-run.log
    # Two seconds to connect and to warm up, as long again for what is sampled afterwards.
    PGOPTIONS="-c synchronous_commit=${SYNC:-on}" pgbench -n -M "$protocol" -b "$script" \
      -c "$clients" -j 2 -T $((duration * 2 + 4)) "bench_$am" >"$log" 2>&1 &
    run=$!
    sleep 2
    kill -0 "$run" 2>/dev/null || { cat "$log"; die "pgbench failed"; }
    record "$duration"
    waits=$(sample_waits "$duration")
    wait "$run" || { cat "$log"; die "pgbench failed"; }
    printf '\n### %s on %s, %s tps\n\n' "$script" "$am" "$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$log")"
    printf '| share | shared object |\n|---:|---|\n'
    by dso 10
    printf '\n| share | shared object | symbol |\n|---:|---|---|\n'
    by dso,symbol "${SYMBOLS:-25}"
    printf '\n| wait event of a session | share of samples |\n|---|---:|\n%s\n' "$waits"
  done
done
