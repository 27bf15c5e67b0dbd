# Sourced by what runs PostgreSQL's own tests, or what works on the database that they leave: a server
# with omendb as default, and a schedule of the source package run on it.
# shellcheck shell=bash disable=SC2034,SC2154

# Sets `source`, and PG_CONFIG to a server with assertions of that version unless it names one already.
prepare_postgres() {
  local logs=$1 version
  mkdir -p "$logs"
  tools/setup.sh >"$logs/setup.log" 2>&1 || { tail -30 "$logs/setup.log"; die "set-up failed"; }
  find_server
  source=$(tools/postgres_source.sh) || die "no source package"
  # Expected output changes between minor releases, and psql's ways too: test what the files belong to.
  version=$(sed -n "s/^PACKAGE_VERSION='\(.*\)'/\1/p" "$source/configure")
  case "$("$PG_CONFIG" --version) " in
    "PostgreSQL $version "*) ;;
    *)
      tools/cassert.sh >"$logs/cassert.log" 2>&1 || { tail -30 "$logs/cassert.log"; die "build of the server failed"; }
      PG_CONFIG=$(sed -n 's/^PG_CONFIG=//p' "$logs/cassert.log") BINDIR=
      find_server
      ;;
  esac
  if ! build_and_install >"$logs/build.log" 2>&1; then
    tail -30 "$logs/build.log"
    die "build failed"
  fi
}

# The C functions that the regression tests load, beside two modules of contrib.
build_libraries() {
  mkdir -p "$1"
  cp "$("$PG_CONFIG" --pkglibdir)"/{autoinc,refint}.so "$1" &&
    gcc -O2 -fPIC -shared -w -I"$("$PG_CONFIG" --includedir-server)" \
      -o "$1/regress.so" "$source/src/test/regress/regress.c"
}

# start_postgres_suite SERVER SUITE: starts a new server, sets `folder`, where the suite's files are.
start_postgres_suite() {
  tools/server.sh create "$1" fsync=off default_table_access_method=omendb \
    max_prepared_transactions=2 "${@:3}" || return 1
  tools/server.sh start "$1" || return 1
  eval "$(tools/server.sh env "$1")"
  folder=$(tools/server.sh folder "$1")/suite
  mkdir -p "$folder"
  cp -R "$source/src/test/$2/." "$folder"
  build_libraries "$folder/lib" || return 1
  [ "$(id -u)" != 0 ] || chown -R "$SERVER_USER" "$folder"
}

# run_postgres_suite SUITE WHAT...: runs a schedule, or the tests named; 124 if it took too long.
run_postgres_suite() {
  local runner pgxs
  pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
  case $1 in
    regress) runner=$pgxs/src/test/regress/pg_regress ;;
    isolation) runner=$pgxs/src/test/isolation/pg_isolation_regress ;;
  esac
  env -C "$folder" "${AS_SERVER_USER[@]}" timeout -k 10 "${SUITE_TIME_LIMIT:-1800}" "$runner" \
    --bindir="$BINDIR" --inputdir="$folder" --outputdir="$folder" --dlpath="$folder/lib" \
    --load-extension=omendb --max-concurrent-tests=20 --host="$PGHOST" --port="$PGPORT" \
    "${@:2}" </dev/null
}
