# Sourced by the scripts: where things are and who runs what.
# shellcheck shell=bash disable=SC2034
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
ROOT=$PWD
BUILD=$ROOT/build
MAKE=${MAKE:-make}
export LC_ALL=C.UTF-8

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

# under_reaper SCRIPT ARGUMENT...: starts SCRIPT again with a parent that reaps killed servers.
under_reaper() {
  [ -z "${OMENDB_REAPER:-}" ] || return 0
  OMENDB_REAPER=1 exec perl tools/reap.pl "$ROOT/$1" "${@:2}"
}

# Sets PG_CONFIG and BINDIR. Called after set-up, which may have to install them first.
find_server() {
  if [ "${PG_CONFIG:-pg_config}" = pg_config ] && [ -x /usr/lib/postgresql/15/bin/pg_config ]; then
    PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
  fi
  PG_CONFIG=${PG_CONFIG:-pg_config}
  BINDIR=$("$PG_CONFIG" --bindir) || die "no usable pg_config ($PG_CONFIG): run make setup"
  export PG_CONFIG BINDIR
  export PATH="$BINDIR:$PATH"
}

# PostgreSQL refuses to run as root: then its packages' own user runs the servers.
if [ "$(id -u)" = 0 ]; then
  SERVER_USER=postgres
  AS_SERVER_USER=(runuser -u "$SERVER_USER" --)
  as_root() { "$@"; }
else
  SERVER_USER=$(id -un)
  AS_SERVER_USER=()
  as_root() { sudo "$@"; }
fi

# In a folder that this user can enter, which the work tree may not be.
as_server_user() { env -C / "${AS_SERVER_USER[@]}" "$@"; }

build_and_install() {
  "$MAKE" -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" all || return 1
  if [ -w "$("$PG_CONFIG" --pkglibdir)" ]; then
    "$MAKE" -s PG_CONFIG="$PG_CONFIG" install
  else
    as_root "$MAKE" -s PG_CONFIG="$PG_CONFIG" install
  fi
}

# Sets CACHE: where what is fetched or built once is kept. Not root's home folder: the servers'
# user has to reach it.
find_cache() {
  if [ "$(id -u)" = 0 ]; then
    CACHE=${OMENDB_CACHE:-/var/cache/omendb}
  else
    CACHE=${OMENDB_CACHE:-$HOME/.cache/omendb}
  fi
  mkdir -p "$CACHE"
}
