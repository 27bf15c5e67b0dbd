#!/bin/bash
# A private server under build/NAME, run by an unprivileged user and reached through a socket in a
# folder that only this user and root can enter (so it collides with no other server's port).
#
#   server.sh create NAME [setting=value ...]   a fresh one, not started; replaces an old one
#   server.sh start NAME                        waits until it accepts connections
#   server.sh stop NAME | kill NAME             fast shutdown | kill -9 of the postmaster
#   server.sh destroy NAME                      stops it and removes its files
#   server.sh env NAME                          prints PGHOST=... and so on, for eval
#   server.sh folder NAME                       a folder for data that servers can read; its path
set -eu
. "$(dirname "$0")/common.sh"
[ $# -ge 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
action=$1 name=$2
shift 2
find_server

link=$BUILD/$name
port=5432

postmaster() { head -1 "$data/postmaster.pid" 2>/dev/null; }

# A zombie is not alive, though kill -0, and so the server's own check of its lock files, says so:
# the first process of a container may reap late or never.
alive() { grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" 2>/dev/null; }

running() {
  local pid
  pid=$(postmaster) && [ -n "$pid" ] && alive "$pid"
}

locate() {
  [ -d "$link/" ] || die "there is no server under $link"
  dir=$(readlink -f "$link") data=$dir/data
  sockets=$(readlink "$dir/sockets" || true)
}

# Makes $link a folder that the server's user can write to: in place, or, where that user cannot
# reach the work tree (/root), a symbolic link to a temporary folder.
make_folder() {
  mkdir -p "$link"
  if [ "$(id -u)" = 0 ]; then
    chown "$SERVER_USER" "$link"
    if ! as_server_user test -w "$link"; then
      rmdir "$link"
      ln -s "$(mktemp -d "/tmp/omendb-$name-XXXXXX")" "$link"
      chown "$SERVER_USER" "$link/"
    fi
  fi
  chmod 700 "$link/"
}

create() {
  if [ -d "$link/" ]; then destroy; else rm -f "$link"; fi
  make_folder
  dir=$(readlink -f "$link") data=$dir/data
  # Short, because a socket's path is limited to 107 bytes.
  sockets=$(mktemp -d /tmp/omendb-XXXXXX)
  [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$sockets"
  ln -s "$sockets" "$dir/sockets"
  as_server_user "$BINDIR/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
    >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; die "initdb failed"; }
  {
    echo "shared_preload_libraries = 'omendb'"
    echo "listen_addresses = ''"
    echo "unix_socket_directories = '$sockets'"
    echo "port = $port"
    echo "log_line_prefix = '%m [%p] %b '"
    for setting in "$@"; do echo "${setting%%=*} = '${setting#*=}'"; done
  } >>"$data/postgresql.conf"
}

# After kill -9 the old children need a moment to notice; until then the postmaster refuses to start.
start() {
  running && return
  mkdir -p "$sockets"  # /tmp may have been emptied since
  chmod 700 "$sockets"
  [ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$sockets"
  for _ in 1 2 3 4 5; do
    as_server_user "$BINDIR/pg_ctl" -D "$data" -l "$dir/log" -w -t 120 -s start \
      </dev/null >/dev/null 2>&1 && return
    tail -3 "$dir/log" | grep -q 'shared memory block' || break
    sleep 1
  done
  tail -30 "$dir/log" >&2
  die "the server under $dir did not start"
}

stop() {
  running || return 0
  as_server_user "$BINDIR/pg_ctl" -D "$data" -m fast -w -t 120 -s stop </dev/null && return
  echo "$(basename "$0"): fast shutdown took too long, killing the server" >&2
  kill9
}

kill9() {
  local pid
  running || return 0
  pid=$(postmaster)
  kill -9 "$pid"
  while alive "$pid"; do sleep 0.05; done
  if [ -e "/proc/$pid" ]; then
    rm -f "$data/postmaster.pid" "$sockets"/.s.PGSQL.*.lock
  fi
}

destroy() {
  locate
  stop
  [ -z "$sockets" ] || rm -rf "$sockets"
  rm -rf "$dir"
  rm -rf "$link"
}

case $action in
  create) create "$@" ;;
  start) locate; start ;;
  stop) locate; stop ;;
  kill) locate; kill9 ;;
  destroy) if [ -d "$link/" ]; then destroy; else rm -f "$link"; fi ;;
  folder) [ -d "$link/" ] || make_folder; readlink -f "$link" ;;
  env) locate; echo "export PGHOST=$sockets PGPORT=$port PGUSER=postgres PGDATABASE=postgres" ;;
  *) die "unknown action $action" ;;
esac
