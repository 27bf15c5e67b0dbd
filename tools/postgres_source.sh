#!/bin/bash
# Fetches Debian's source package of PostgreSQL 15 once, into the cache folder, and prints the
# folder of the unpacked tree.
set -eu
. "$(dirname "$0")/common.sh"
find_cache

tree=$CACHE/postgresql-15-source
if [ -d "$tree" ]; then
  echo "$tree"
  exit 0
fi

tools/setup.sh --lists >&2
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  dpkg-dev xz-utils bzip2 patch </dev/null >&2

work=$CACHE/download
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
apt-get "${apt_options[@]}" update >&2
# The newest that can be had: mirrors lag, and any 15 will do.
for version in $(apt-cache "${apt_options[@]}" showsrc postgresql-15 |
  sed -n 's/^Version: //p' | sort -Vru); do
  apt-get "${apt_options[@]}" source --download-only "postgresql-15=$version" >&2 && break
  rm -f postgresql-15_*
done
dpkg-source -x postgresql-15_*.dsc tree >&2
mv tree "$tree"
rm -rf "$work"
echo "$tree"
