#!/bin/bash
# Installs the Debian packages that building and testing need. Touches nothing, and needs no
# network, when all are there. With --lists it also sees to it that apt's package lists exist: they
# are the demo's data. With --bench what only benchmarks compare with comes too.
set -eu
. "$(dirname "$0")/common.sh"

packages="g++ make perl postgresql-15 postgresql-server-dev-15 libicu-dev librocksdb-dev
  libgtest-dev libgmock-dev libbenchmark-dev postgresql-15-pgtap
  libtap-parser-sourcehandler-pgtap-perl libipc-run-perl"
[ "${1:-}" != --bench ] || packages="$packages libabsl-dev pkg-config"

missing=
for package in $packages; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing="$missing $package"
done
lists=1
if [ "${1:-}" = --lists ]; then
  lists=$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' | wc -l)
fi
[ -n "$missing" ] || [ "$lists" = 0 ] || exit 0

if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
  die "please install, as root:${missing:- nothing, but run apt-get update}"
fi
as_root apt-get update
if [ -n "$missing" ]; then
  echo "installing$missing"
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends $missing </dev/null
fi
