#!/bin/bash
# make bench: every benchmark, tables on standard output.
set -eu
for script in copy copy_memory index run_pgbench connections profile; do
  printf '\n## bench/%s.sh\n\n' "$script"
  "$(dirname "$0")/$script.sh"
done
