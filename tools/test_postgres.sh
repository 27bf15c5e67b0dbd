#!/bin/bash
# make test-postgres: PostgreSQL's own regression and isolation tests on omendb tables.
#
# default_table_access_method is omendb, everything else is as the server's developers run it, on a
# server with assertions built from the same source unless PG_CONFIG names one of that version. A
# file whose output is not what PostgreSQL expects must differ exactly as test/postgres/SUITE/NAME.diff
# says; test/postgres/differences.md gives each difference its reason.
#
#   SUITES="regress isolation"   picks suites
#   ONLY_FILES="name ..."        picks files of one suite (regress: test_setup runs before them)
#   INDEX=alex                   the regression tests with alex indexes where they make a btree; what
#                                differs by that is in test/postgres/regress-alex
#   CHURN=1                      flushes and compacts all the time beside the tests
#   ACCEPT=1                     writes the differences found as the expected ones, to be reviewed
set -u
. "$(dirname "$0")/common.sh"
. tools/postgres_suite.sh
under_reaper tools/test_postgres.sh "$@"

index=${INDEX:-}
case $index in
  '') suites=${SUITES:-regress isolation} ;;
  alex) suites=regress ;;
  *) die "INDEX can only be alex" ;;
esac
logs=$BUILD/postgres-logs
passed=0 failed=0 known=0

finish() { tools/server.sh destroy postgres-suite; }
trap finish EXIT
trap 'exit 130' INT TERM HUP

ok() { passed=$((passed + 1)); echo "ok     $1"; }
bad() { failed=$((failed + 1)); echo "FAILED $1"; }

# split_differences FILE FOLDER: one file for each test, without what names folders and times.
split_differences() {
  mkdir -p "$2"
  [ -f "$1" ] || return 0
  perl -e '
    my ($in, $folder) = @ARGV;
    open my $diffs, "<", $in or die "$in: $!\n";
    my $out;
    while (<$diffs>) {
      if (m{^diff .*/results/([A-Za-z0-9_-]+)\.out$}) {
        open $out, ">", "$folder/$1.diff" or die "$1: $!\n";
      } elsif ($out && !m{^(?:---|\+\+\+) /}) {
        print $out $_;
      }
    }' "$1" "$2"
}

# The suite's files with alex for btree. They expect first what omendb tables give with btree.
use_alex() {
  local known
  for known in test/postgres/regress/*.diff; do
    patch -s -F0 "$folder/expected/$(basename "$known" .diff).out" "$known" || return 1
  done
  perl -0pi -e '
    s/\b(CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?
      (?:[\w"]+\s+)?ON\s+(?:ONLY\s+)?[\w."]+)\s*\(/$1 USING alex (/gix;
    s/\b(using)\s+btree\s*\(/$1 alex (/gi' "$folder"/sql/*.sql "$folder"/expected/*.out
}

# Output without the method's name, and without the widths and the lines that depend on it.
without_names() { perl -pe 's/\bbtree\b/alex/g; s/[ \t]+/ /g; s/^ ?[-+]+$/----/; s/^ | $//g' "$1"; }

# differences_beyond_names FOLDER: of the tests that failed, against the expected file that is nearest.
differences_beyond_names() {
  local name file one=$logs/one.diff best
  mkdir -p "$1"
  while read -r name; do
    best=$1/$name.diff
    for file in "$folder/expected/$name.out" "$folder/expected/$name"_[0-9].out; do
      [ -f "$file" ] || continue
      diff -U3 <(without_names "$file") <(without_names "$folder/results/$name.out") |
        sed 1,2d >"$one"
      if [ ! -f "$best" ] || [ "$(wc -l <"$one")" -lt "$(wc -l <"$best")" ]; then
        cp "$one" "$best"
      fi
    done
  done < <(sed -nE 's/^(test)? +([A-Za-z0-9_-]+) +\.\.\. (FAILED|failed).*/\2/p' "$logs/regress.log")
}

# Compares what differs with what is known to differ.
judge() {
  local suite=$1 name status expected=test/postgres/$1${index:+-$index} found=$logs/$1-found
  while read -r name status _; do
    # Only names differ.
    if [ -n "$index" ] && [ -f "$found/$name.diff" ] && [ ! -s "$found/$name.diff" ]; then status=ok; fi
    case $status in
      ok)
        if [ -f "$expected/$name.diff" ]; then
          if [ -n "${ACCEPT:-}" ]; then
            rm "$expected/$name.diff"
            ok "$suite-$name (no longer differs)"
          else
            bad "$suite-$name (no longer differs: remove $expected/$name.diff)"
          fi
        else
          ok "$suite-$name"
        fi
        ;;
      *)
        if [ -n "${ACCEPT:-}" ] && [ -f "$found/$name.diff" ]; then
          mkdir -p "$expected"
          cp "$found/$name.diff" "$expected/$name.diff"
        fi
        if [ -f "$found/$name.diff" ] && [ -f "$expected/$name.diff" ] &&
          diff "$expected/$name.diff" "$found/$name.diff" >"$logs/$suite-$name.unexpected"; then
          rm "$logs/$suite-$name.unexpected"
          known=$((known + 1))
          ok "$suite-$name (with known differences)"
        else
          bad "$suite-$name"
          if [ -f "$expected/$name.diff" ]; then
            head -n 40 "$logs/$suite-$name.unexpected"
          elif [ -f "$found/$name.diff" ]; then
            head -n 60 "$found/$name.diff"
          fi
        fi
        ;;
    esac
  done < <(sed -nE 's/^(test)? +([A-Za-z0-9_-]+) +\.\.\. (ok|FAILED|failed).*/\2 \3/p' "$logs/$suite.log")
}

# Rows leave the write buffer and are folded while the tests run; what they answer stays the same.
churn_store() {
  while :; do
    psql -qXAt -d postgres -c 'CREATE EXTENSION IF NOT EXISTS omendb' -c 'SELECT omendb.flush()' \
      -c 'SELECT omendb.compact()' >/dev/null 2>&1
    sleep 0.05
  done
}

run_suite() {
  local suite=$1 log=$logs/$1.log
  echo "== PostgreSQL's $suite tests"
  rm -rf "$logs/$suite"*
  start_postgres_suite postgres-suite "$suite" || { bad "$suite (start)"; return 1; }
  if [ -n "$index" ] && ! use_alex; then
    bad "$suite (its files are not those that test/postgres knows)"
    return 1
  fi
  local what=(--schedule="$folder/parallel_schedule")
  [ "$suite" = regress ] || what=(--schedule="$folder/isolation_schedule")
  if [ -n "${ONLY_FILES:-}" ]; then
    what=()
    [ "$suite" = isolation ] || what=(test_setup)
    # shellcheck disable=SC2206
    what+=($ONLY_FILES)
  fi
  local churn=
  if [ -n "${CHURN:-}" ]; then
    churn_store &
    churn=$!
  fi
  run_postgres_suite "$suite" "${what[@]}" >"$log" 2>&1
  [ $? != 124 ] || bad "$suite (timed out)"
  [ -z "$churn" ] || kill "$churn"
  if [ -n "$index" ]; then
    differences_beyond_names "$logs/$suite-found"
  else
    split_differences "$folder/regression.diffs" "$logs/$suite-found"
  fi
  cp -R "$folder/results" "$logs/$suite-results"
  cp "$BUILD/postgres-suite/log" "$logs/$suite-server.log"
  judge "$suite"
  if ! grep -qE '^(test)? +[A-Za-z0-9_-]+ +\.\.\. ' "$log"; then
    bad "$suite (nothing ran)"
    tail -20 "$log"
  fi
  if grep -m5 -E 'PANIC|was terminated by signal|TRAP:' "$logs/$suite-server.log"; then
    bad "$suite: the server crashed"
  fi
  tools/server.sh destroy postgres-suite
}

prepare_postgres "$logs"
for suite in $suites; do run_suite "$suite"; done
echo "$known files differ as test/postgres says; logs are in ${logs#"$ROOT"/}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
