#!/bin/bash
# make demo: from nothing to a private server with real data in omendb tables, queries, changes,
# and a crash that loses nothing. The server stays up; make demo-stop stops it.
set -eu -o pipefail
. "$(dirname "$0")/common.sh"
under_reaper tools/demo.sh "$@"

say() { printf '\n== %s\n' "$*"; }
run_psql() { psql -qX -v ON_ERROR_STOP=1 "$@"; }

demo=${DEMO:-demo}  # the server's name under build/

mkdir -p "$BUILD"
say "Set-up, build, install"
tools/setup.sh --lists
find_server
build_and_install

say "A private server under build/$demo, with shared_preload_libraries = 'omendb'"
trap 'tools/server.sh stop "$demo"' EXIT  # a demo that fails leaves nothing running
tools/server.sh create "$demo" default_table_access_method=omendb
tools/server.sh start "$demo"
eval "$(tools/server.sh env "$demo")"
# shellcheck disable=SC2154
psql -qXAt -c "SELECT version()"

say "The Debian package index of this machine"
/usr/lib/apt/apt-helper cat-file /var/lib/apt/lists/*_Packages* |
  perl demo/package_index.pl | run_psql -f demo/load.sql
run_psql -f demo/queries.sql
run_psql -f demo/changes.sql

say "pgbench on omendb tables: scale 5, 4 clients, ${DEMO_SECONDS:-10} seconds"
pgbench -i -q -s 5 2>&1 | grep -E '^done|error|FATAL'
pgbench -n -c 4 -j 2 -T "${DEMO_SECONDS:-10}" | grep -E 'processed|failed|latency average|^tps'

say "kill -9 of the postmaster, and a new start"
run_psql -At -f demo/fingerprint.sql >"$BUILD/$demo-before"
tools/server.sh kill "$demo"
tools/server.sh start "$demo"
run_psql -At -f demo/fingerprint.sql >"$BUILD/$demo-after"
if ! diff "$BUILD/$demo-before" "$BUILD/$demo-after"; then
  die "the tables differ after the crash (<: before, >: after)"
fi
echo "All rows are there, the same as before (table, rows, sum):"
tr '|' '\t' <"$BUILD/$demo-after"
balances=$(run_psql -At -c "SELECT count(DISTINCT s) FROM (
  SELECT sum(abalance) s FROM pgbench_accounts UNION ALL SELECT sum(tbalance) FROM pgbench_tellers
  UNION ALL SELECT sum(bbalance) FROM pgbench_branches UNION ALL SELECT sum(delta) FROM pgbench_history
) sums")
[ "$balances" = 1 ] || die "the balances of pgbench's tables disagree"
echo "The balances of pgbench's four tables agree."

trap - EXIT

user= stop_name=
[ "$demo" = demo ] || stop_name=" DEMO=$demo"
[ "$(id -u)" != 0 ] || user=" (as root or $SERVER_USER)"
cat <<END

The server is running. To connect$user:

  psql -h $PGHOST -p $PGPORT -U $PGUSER $PGDATABASE

To stop it:  make demo-stop$stop_name
END
