\pset footer off
\echo
\echo An update, a savepoint that is rolled back, a delete
SELECT count(*) AS packages, sum(installed_kb) AS installed_kb,
       count(*) FILTER (WHERE priority = 'extra') AS extra FROM package;
BEGIN;
UPDATE package SET installed_kb = installed_kb + 1 WHERE section = 'games';
SAVEPOINT before_a_mistake;
DELETE FROM package;
SELECT count(*) AS "packages after the mistake" FROM package;
ROLLBACK TO SAVEPOINT before_a_mistake;
UPDATE package SET priority = 'extra' WHERE section = 'games';
DELETE FROM package WHERE section = 'oldlibs';
COMMIT;
SELECT count(*) AS packages, sum(installed_kb) AS installed_kb,
       count(*) FILTER (WHERE priority = 'extra') AS extra FROM package;
