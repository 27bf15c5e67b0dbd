# Sourced by the benchmarks: a fresh private server, the same for heap and omendb.
# shellcheck shell=bash disable=SC2034
. "$(dirname "${BASH_SOURCE[0]}")/../tools/common.sh"
tools/setup.sh
find_server
(unset SCRIPTS; build_and_install)  # PGXS would install what the parameter SCRIPTS names

trap 'tools/server.sh destroy bench' EXIT
trap 'exit 130' INT TERM HUP

# fresh_server [setting=value ...]: every server setting that is not PostgreSQL's default is here.
fresh_server() {
  tools/server.sh create bench \
    shared_buffers="${SHARED_BUFFERS:-2GB}" max_wal_size="${MAX_WAL_SIZE:-8GB}" \
    checkpoint_timeout="${CHECKPOINT_TIMEOUT:-5min}" max_connections=200 "$@"
  tools/server.sh start bench
  eval "$(tools/server.sh env bench)"
  data=$(sql 'SHOW data_directory')
}

# limit_memory MB: holds the server, and what the system caches of its files from now on, to so much.
limit_memory() {
  local folder=/sys/fs/cgroup/memory/omendb_bench limit=memory.limit_in_bytes pid
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    folder=/sys/fs/cgroup/omendb_bench limit=memory.max
  fi
  as_root mkdir -p "$folder"
  echo "$(($1 << 20))" | as_root tee "$folder/$limit" >/dev/null || die "cannot limit memory here"
  pid=$(head -1 "$data/postmaster.pid")
  for pid in $pid $(pgrep -P "$pid"); do
    echo "$pid" | as_root tee "$folder/cgroup.procs" >/dev/null
  done
}

sql() { psql -qXAt -v ON_ERROR_STOP=1 -c "$1" "${@:2}"; }
wal_position() { sql "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"; }
seconds() { date +%s.%N; }
calc() { awk "BEGIN { printf \"$1\", $2 }"; }

describe_machine() {
  echo "$("$BINDIR/postgres" --version), $(nproc) CPUs ($(sed -n 's/^model name[^:]*: //p' \
    /proc/cpuinfo | head -1)), $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo)," \
    "shared_buffers $(sql 'SHOW shared_buffers')," \
    "write buffer $(sql 'SHOW omendb.write_buffer_size')," \
    "max_wal_size $(sql 'SHOW max_wal_size'), fsync $(sql 'SHOW fsync')"
}

rows_columns='id bigint, kind int, at timestamptz, value float8, label text'

# make_rows_file ROWS FILE: narrow rows in COPY's format, made once.
make_rows_file() {
  [ ! -f "$2" ] || return 0
  fresh_server
  sql "SELECT setseed(0.5)" -c "COPY (
    SELECT id, (random() * 100000)::int,
           '2024-01-01 00:00:00Z'::timestamptz + id * interval '25 ms' + random() * interval '20 ms',
           round((random() * 1000)::numeric, 2)::float8, substr(md5(id::text), 1, 8)
    FROM generate_series(1, $1) AS id) TO '$2.new'" >/dev/null
  as_server_user mv "$2.new" "$2"
}
