#!/bin/bash
# Builds PostgreSQL 15 with assertions from Debian's source package, outside the work tree, once.
# Then: make test PG_CONFIG=<what is printed>
set -eu
. "$(dirname "$0")/common.sh"

# Not root's home folder: the servers' user has to reach it.
if [ "$(id -u)" = 0 ]; then
  cache=${OMENDB_CACHE:-/var/cache/omendb}
else
  cache=${OMENDB_CACHE:-$HOME/.cache/omendb}
fi
prefix=$cache/postgresql-15-cassert
if [ -x "$prefix/bin/pg_config" ]; then
  echo "PG_CONFIG=$prefix/bin/pg_config"
  exit 0
fi

tools/setup.sh --lists
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  dpkg-dev bison flex pkg-config zlib1g-dev liblz4-dev libzstd-dev </dev/null

work=$cache/source
rm -rf "$work"
mkdir -p "$work/lists/partial"
cd "$work"
# Source packages from wherever this machine takes its Debian packages, in an apt state of our own.
keys=/usr/share/keyrings/debian-archive-keyring.gpg
apt-get indextargets --format "deb-src [signed-by=$keys] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
  'Created-By: Packages' 'Origin: Debian' | sort -u >sources.list
apt_options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
  -o "Dir::State::lists=$work/lists")
[ "$(id -u)" != 0 ] || apt_options+=(-o APT::Sandbox::User=root)
apt-get "${apt_options[@]}" update
# The newest that can be had: mirrors lag, and any 15 will do.
for version in $(apt-cache "${apt_options[@]}" showsrc postgresql-15 |
  sed -n 's/^Version: //p' | sort -Vru); do
  apt-get "${apt_options[@]}" source --download-only "postgresql-15=$version" && break
  rm -f postgresql-15_*
done
dpkg-source -x postgresql-15_*.dsc tree

cd tree
./configure -q --prefix="$prefix" --enable-cassert --enable-debug --enable-tap-tests \
  --with-lz4 --with-zstd --without-readline CFLAGS='-O1 -g'
make -s -j"$(nproc)"
make -s -j"$(nproc)" -C contrib
make -s install
make -s -C contrib install
# prove and pg_prove bring the rest; pgTAP itself is plain SQL.
cp /usr/share/postgresql/15/extension/pgtap* "$("$prefix/bin/pg_config" --sharedir)/extension/"
cd "$cache"
rm -rf "$work"
echo "PG_CONFIG=$prefix/bin/pg_config"
