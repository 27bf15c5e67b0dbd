#!/bin/bash
# Random bigint keys in a unique index, alex beside btree, each on an omendb table of a fresh server and
# with the same memory: rows inserted with the index there, point lookups by pgbench, and CREATE INDEX.
# Lookups are measured twice: as soon as the rows are there and SETTLE seconds later, when what goes on
# in the background has ended. Prints a markdown table.
#   ROWS=10000000 BATCHES=10 MEMORY_MB=256 DURATION=20 CLIENTS="2 8" SETTLE=20 METHODS="alex btree"
#   WRITE_BUFFER=256MB SORT_MEMORY=1GB LIMIT_MB=
# MEMORY_MB: for btree shared_buffers; for alex 16MB of shared_buffers, omendb.index_memory (1.2 bytes
# a row), and omendb.cache_size. The write buffer is the same for both.
# LIMIT_MB: what the server may take in all, the system's cache of its files included; empty: what the
# machine has. With less than the index, it is larger than memory, not just than shared_buffers.
# (One client measures where the kernel puts it and its backend: on one CPU, or on two that wake each
# other up.)
# shellcheck disable=SC2154
set -eu
. "$(dirname "$0")/lib.sh"

rows=${ROWS:-10000000}
batches=${BATCHES:-10}
memory=${MEMORY_MB:-256}
directory=$((rows * 12 / 10 / 1000000 + 8))
others=16
[ "$memory" -gt $((others + directory + 8)) ] || die "MEMORY_MB is too small for $rows rows"
settings=(maintenance_work_mem="${SORT_MEMORY:-1GB}" omendb.write_buffer_size="${WRITE_BUFFER:-256MB}")
lookup=$(mktemp)
trap 'rm -f "$lookup"; tools/server.sh destroy bench' EXIT
printf '%s\n' "\\set i random(1, $rows)" 'SELECT k FROM keys WHERE k = hashint8extended(:i, 0);' >"$lookup"

megabytes() { calc '%.0f MB' "$1 / 1e6"; }

timed() {  # SQL: sets time, wal
  local start before
  before=$(wal_position)
  start=$(seconds)
  sql "$1"
  time=$(calc '%.2f' "$(seconds) - $start")
  wal=$(($(wal_position) - before))
}

index_size() {
  sql CHECKPOINT
  if [ "$1" = alex ]; then
    sql "SELECT omendb.relation_size('keys_k')"
  else
    sql "SELECT pg_relation_size('keys_k')"
  fi
}

lookups() {  # prints how many a second for each number of clients
  local clients
  for clients in ${CLIENTS:-2 8}; do
    pgbench -n -M prepared -f "$lookup" -c "$clients" -j 2 -T "${DURATION:-20}" postgres |
      sed -n 's/^tps = \([0-9]*\).*/\1/p'
  done | paste -sd ' '
}

measure() {  # METHOD: sets what the table below shows
  local batch first
  if [ "$1" = alex ]; then
    SHARED_BUFFERS=${others}MB fresh_server omendb.index_memory="${directory}MB" \
      omendb.cache_size="$((memory - others - directory))MB" "${settings[@]}"
  else
    SHARED_BUFFERS=${memory}MB fresh_server omendb.index_memory=1MB omendb.cache_size=0 "${settings[@]}"
  fi
  [ -z "${LIMIT_MB:-}" ] || limit_memory "$LIMIT_MB"
  sql 'CREATE EXTENSION omendb' -c 'CREATE TABLE keys (k bigint) USING omendb' \
    -c "CREATE UNIQUE INDEX keys_k ON keys USING $1 (k)" -c CHECKPOINT
  insert=0 insert_wal=0
  for ((batch = 0; batch < batches; batch++)); do
    first=$((rows / batches * batch))
    timed "INSERT INTO keys SELECT hashint8extended(g, 0)
           FROM generate_series($((first + 1)), $((first + rows / batches))) g"
    insert=$(calc '%.2f' "$insert + $time")
    insert_wal=$((insert_wal + wal))
    [ "$batch" != 0 ] || first_batch=$time
    echo "$1: part $((batch + 1)) took $time s" >&2
    last_batch=$time
  done
  grown=$(index_size "$1")
  sql 'VACUUM ANALYZE keys'
  at_once=$(lookups)
  sleep "${SETTLE:-20}"
  settled=$(lookups)
  sql 'DROP INDEX keys_k'
  sql CHECKPOINT
  timed "CREATE UNIQUE INDEX keys_k ON keys USING $1 (k)"
  build=$time build_wal=$wal
  built=$(index_size "$1")
  stat=
  if [ "$1" = alex ]; then
    sql "SELECT count(*) FROM keys WHERE k = 1" >/dev/null
    sleep 5  # the directory is read in the background
    stat=$(sql "SELECT format('%s of %s leaves known, %s bytes of memory and %s of disk an entry',
                known_leaves, leaves, round(memory_per_entry::numeric, 2),
                round(store_bytes_per_entry::numeric, 2)) FROM omendb.index_stat('keys_k')")
  fi
  machine=$(describe_machine)
  echo "| $1 | $insert s | $first_batch s, $last_batch s | $(megabytes $insert_wal) | $(megabytes "$grown") |" \
    "$build s | $(megabytes "$build_wal") | $(megabytes "$built") | $at_once | $settled |"
  echo "$1: $stat" >&2
}

echo "| method | INSERT | first and last of $batches parts | WAL | disk | CREATE INDEX | WAL | disk | lookups a second, ${CLIENTS:-2 8} clients | settled |"
echo "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
for method in ${METHODS:-alex btree}; do measure "$method"; done
echo
echo "$rows rows, $memory MB of memory${LIMIT_MB:+, $LIMIT_MB MB with what the system caches}. $machine."
