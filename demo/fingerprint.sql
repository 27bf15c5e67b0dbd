-- What must be the same before and after a crash, one line for each table.
SELECT 'package', count(*), sum(hashtextextended(p::text, 0)::numeric) FROM package p
UNION ALL
SELECT 'dependency', count(*), sum(hashtextextended(d::text, 0)::numeric) FROM dependency d
UNION ALL
SELECT 'pgbench_accounts', count(*), sum(abalance) FROM pgbench_accounts
UNION ALL
SELECT 'pgbench_tellers', count(*), sum(tbalance) FROM pgbench_tellers
UNION ALL
SELECT 'pgbench_branches', count(*), sum(bbalance) FROM pgbench_branches
UNION ALL
SELECT 'pgbench_history', count(*), sum(delta) FROM pgbench_history
ORDER BY 1;
