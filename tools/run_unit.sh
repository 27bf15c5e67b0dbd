#!/bin/bash
# Runs the unit test programs named; says for each whether it passed, fails if one did not.
# A program takes seconds; five minutes is for a loaded machine.
failed=0
for program in "$@"; do
  log=$program.log
  if timeout -k 5 300 "$program" >"$log" 2>&1 </dev/null; then
    echo "ok     $(basename "$program") ($(grep -cE '^\[       OK \]' "$log") tests)"
  else
    echo "FAILED $(basename "$program"), see $log:"
    grep -E '^\[  FAILED  \]|Failure$|ERROR: |runtime error' "$log" | head -20
    tail -40 "$log"
    failed=1
  fi
done
exit $failed
