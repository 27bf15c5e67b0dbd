#!/bin/bash
# COPY of many rows in one transaction through a small write buffer: the largest private memory of
# each server process, sampled every half second, then count and checksum against the source file.
#   ROWS=20000000 WRITE_BUFFER=64MB
# shellcheck disable=SC2154
set -eu
. "$(dirname "$0")/lib.sh"

rows=${ROWS:-20000000} buffer=${WRITE_BUFFER:-64MB}
file=$(tools/server.sh folder bench-data)/rows-$rows.copy

make_rows_file "$rows" "$file"
expected=$(perl -ne 'my @f = split /\t/; $n++; $id += $f[0]; $kind += $f[1]; chomp $f[4]; $c += length $f[4];
  $x ^= unpack("N", pack("H8", substr($f[4], 0, 8)));
  END { print "$n|$id|$kind|$c|$x\n" }' "$file")

fresh_server omendb.write_buffer_size="$buffer"
sql 'CREATE EXTENSION omendb'
sql "CREATE TABLE narrow ($rows_columns) USING omendb"
postmaster=$(head -1 "$data/postmaster.pid")
samples=$BUILD/bench-copy-memory.samples
rm -f "$samples"
perl bench/sample_memory.pl "$postmaster" "$samples" &
sampler=$!
start=$(seconds)
sql "COPY narrow FROM '$file'"
time=$(calc '%.1f' "$(seconds) - $start")
sql CHECKPOINT
sleep 1
kill "$sampler"
wait "$sampler" 2>/dev/null || true

found=$(sql "SELECT count(*), sum(id), sum(kind), sum(length(label)),
  bit_xor(('x' || substr(label, 1, 8))::bit(32)::bigint) FROM narrow" | sed 's/\.0*//g')
[ "$found" = "$expected" ] || die "the table has $found, the file $expected"

echo "COPY of $rows rows ($rows_columns) in one transaction, $time s; count and sums as in the file."
echo "$(describe_machine)."
sql "SELECT 'Flushes: ' || flushes || ', MB flushed: ' || flushed_bytes / 1000000 || ', writer stalls: ' ||
  writer_stalls FROM omendb.store_stat()"
echo
echo "| process | samples | private memory at first | at most |"
echo "|---|---:|---:|---:|"
cat "$samples"
