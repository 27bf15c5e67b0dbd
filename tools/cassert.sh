#!/bin/bash
# Builds PostgreSQL 15 with assertions from Debian's source package, outside the work tree, once.
# Then: make test PG_CONFIG=<what is printed>
set -eu
. "$(dirname "$0")/common.sh"
find_cache

prefix=$CACHE/postgresql-15-cassert
if [ -x "$prefix/bin/pg_config" ]; then
  echo "PG_CONFIG=$prefix/bin/pg_config"
  exit 0
fi

source=$(tools/postgres_source.sh)
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  bison flex pkg-config zlib1g-dev liblz4-dev libzstd-dev </dev/null

tree=$CACHE/build
rm -rf "$tree"
cp -R "$source" "$tree"
cd "$tree"
./configure -q --prefix="$prefix" --enable-cassert --enable-debug --enable-tap-tests \
  --with-lz4 --with-zstd --without-readline CFLAGS='-O1 -g'
make -s -j"$(nproc)"
make -s -j"$(nproc)" -C contrib
make -s install
make -s -C contrib install
# prove and pg_prove bring the rest; pgTAP itself is plain SQL.
cp /usr/share/postgresql/15/extension/pgtap* "$("$prefix/bin/pg_config" --sharedir)/extension/"
cd "$CACHE"
rm -rf "$tree"
echo "PG_CONFIG=$prefix/bin/pg_config"
