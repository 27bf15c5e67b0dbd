#!/bin/bash
# make bench: every benchmark, tables on standard output.
set -eu
for script in copy run_pgbench connections; do
  printf '\n## bench/%s.sh\n\n' "$script"
  "$(dirname "$0")/$script.sh"
done
