#!/bin/bash
# make sqlsmith: random queries on the regression database with omendb tables.
#
# PostgreSQL's regression schedule makes the database on a server with assertions; then sqlsmith, as
# Debian has it, sends what it can think of. It fails if the server crashes or an assertion fails, or
# if our code, or a damage, is behind an internal error.
#
#   SQLSMITH_SECONDS=1800 SQLSMITH_SEED=1 SQLSMITH_SESSIONS=2
set -u
. "$(dirname "$0")/common.sh"
. tools/postgres_suite.sh
under_reaper tools/sqlsmith.sh "$@"

logs=$BUILD/sqlsmith-logs
seconds=${SQLSMITH_SECONDS:-1800} seed=${SQLSMITH_SEED:-1} sessions=${SQLSMITH_SESSIONS:-2}
finish() { tools/server.sh destroy sqlsmith; }
trap finish EXIT
trap 'exit 130' INT TERM HUP

prepare_postgres "$logs"
command -v sqlsmith >/dev/null ||
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends sqlsmith \
    </dev/null >"$logs/install.log" 2>&1 || { tail -20 "$logs/install.log"; die "sqlsmith cannot be installed"; }
start_postgres_suite sqlsmith regress log_error_verbosity=verbose statement_timeout=10s || die "no server"
# Its outcome is the matter of make test-postgres.
run_postgres_suite regress --schedule="$folder/parallel_schedule" >"$logs/regress.log" 2>&1
psql -qXAt -d regression -c "SELECT 'omendb tables: ' || count(*) FROM pg_class c JOIN pg_am a ON a.oid = relam
  WHERE amname = 'omendb'"
before=$(stat -c %s "$BUILD/sqlsmith/log")

# A user that cannot stop the server or read its files: sqlsmith would.
psql -qX -d regression -v ON_ERROR_STOP=1 <<'SQL' || die "no user for sqlsmith"
CREATE ROLE smith LOGIN;
GRANT USAGE ON SCHEMA omendb TO smith;
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('GRANT ALL ON SCHEMA %s TO smith', name);
    EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %s TO smith', name);
  END LOOP;
END $$;
SQL
pids=()
for ((i = 0; i < sessions; i++)); do
  timeout -k 5 "$seconds" sqlsmith --verbose --target="host=$PGHOST port=$PGPORT dbname=regression user=smith" \
    --seed=$((seed + i)) >"$logs/sqlsmith-$i.log" 2>&1 </dev/null &
  pids+=($!)
done
end=$((SECONDS + seconds))
while [ $SECONDS -lt $end ]; do
  sleep 5
  # The extension's own functions flush and compact; so do the checkpoints.
  psql -qXAt -d regression -c 'SELECT omendb.flush()' >/dev/null 2>&1
  kill -0 "${pids[@]}" 2>/dev/null || break
done
wait
tail -c +"$((before + 1))" "$BUILD/sqlsmith/log" >"$logs/server.log"
grep -c 'ERROR:' "$logs/server.log" | sed 's/^/errors that the server reported: /'
failed=0
for ((i = 0; i < sessions; i++)); do
  queries=$(grep -o 'queries: [0-9]*' "$logs/sqlsmith-$i.log" | tail -1)
  echo "session $i, seed $((seed + i)): ${queries:-no queries}"
  [ -n "$queries" ] || { failed=1; tail -5 "$logs/sqlsmith-$i.log"; }
done
if grep -m20 -E 'PANIC|was terminated by signal|TRAP:' "$logs/server.log"; then failed=1; fi
# What went wrong inside: a damage, or an internal error that our code reports. Others are the server's own
# ways to refuse what no parser would hand to it.
perl -ne '
  if (/(?:ERROR|FATAL):  (XX\d\d\d|58\d\d\d|53\d\d\d): (.*)/) { ($code, $message) = ($1, $2) }
  elsif (defined $code && /LOCATION:  (.*)/) {
    my $ours = $code =~ /^XX00[12]/ || $1 =~ /\.cpp:/;
    print(($ours ? "FAILED " : "known: the server refuses "), "$code: $message ($1)\n");
    $failed ||= $ours;
    undef $code;
  }
  END { exit($failed ? 1 : 0) }' "$logs/server.log" >"$logs/internal" || failed=1
sort "$logs/internal" | uniq -c | sort -rn | head -20
[ $failed = 0 ] || echo "FAILED: see ${logs#"$ROOT"/}/server.log"
exit $failed
