#!/bin/bash
# COPY of narrow rows (bigint, int, timestamptz, float8, short text) from a file into a heap table
# and an omendb table, each on a fresh server, in turn. Prints a markdown table.
#   ROWS=10000000 REPEAT=2
# shellcheck disable=SC2154
set -eu
. "$(dirname "$0")/lib.sh"

rows=${ROWS:-10000000}
file=$(tools/server.sh folder bench-data)/rows-$rows.copy

make_rows_file "$rows" "$file"
cat "$file" >/dev/null  # both find it in the page cache

# load AM: sets time, wal, disk (bytes of the rows once a checkpoint has written them).
load() {
  local start before stored
  fresh_server
  if [ "$1" = omendb ]; then sql 'CREATE EXTENSION omendb'; fi
  sql "CREATE TABLE narrow ($rows_columns) USING $1"
  sql CHECKPOINT
  stored=$(du -s -B1 "$data/omendb" 2>/dev/null | cut -f1)
  before=$(wal_position)
  start=$(seconds)
  sql "COPY narrow FROM '$file'"
  time=$(calc '%.2f' "$(seconds) - $start")
  wal=$(($(wal_position) - before))
  [ "$(sql 'SELECT count(*) FROM narrow')" = "$rows" ] || die "$1 has lost rows"
  sql CHECKPOINT
  sleep 10  # files that compaction replaced go away
  if [ "$1" = omendb ]; then
    disk=$(($(du -s -B1 "$data/omendb" | cut -f1) - ${stored:-0}))
  else
    disk=$(sql "SELECT pg_table_size('narrow')")
  fi
  machine=$(describe_machine)
}

megabytes() { calc '%.0f MB' "$1 / 1e6"; }

results=
for ((round = 1; round <= ${REPEAT:-2}; round++)); do
  if [ $((round % 2)) = 1 ]; then order="heap omendb"; else order="omendb heap"; fi
  for am in $order; do
    load "$am"
    declare "time_$am=$time" "wal_$am=$wal" "disk_$am=$disk"
    results+="| $round | $am | $time s | $(megabytes "$wal") | $(megabytes "$disk") |"$'\n'
  done
  results+="| $round | omendb / heap | $(calc '%.2f' "$time_omendb / $time_heap") |"
  results+=" $(calc '%.2f' "$wal_omendb / $wal_heap") |"
  results+=" $(calc '%.2f' "$disk_omendb / $disk_heap") |"$'\n'
done
echo "COPY of $rows rows ($rows_columns) from a file of $(megabytes "$(stat -c %s "$file")")."
echo "$machine."
echo
echo "| round | table | time | WAL | disk |"
echo "|---:|---|---:|---:|---:|"
printf '%s' "$results"
