# Logical replication from heap tables into omendb tables: by primary key and by REPLICA IDENTITY
# FULL, beside a local transaction that holds other rows of the same block.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = new_node('publisher', allows_streaming => 'logical');
my $subscriber = new_node('subscriber');
$_->start for $publisher, $subscriber;

my $tables = <<'SQL';
CREATE TABLE keyed (id int PRIMARY KEY, v int, note text)%1$s;
CREATE TABLE full_row (id int, v int)%1$s;
ALTER TABLE full_row REPLICA IDENTITY FULL;
SQL
$publisher->safe_psql('postgres', sprintf($tables, ''));
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO keyed SELECT g, 0, 'note ' || g FROM generate_series(1, 300) g;
INSERT INTO full_row SELECT g, 0 FROM generate_series(1, 20) g;
CREATE PUBLICATION p FOR ALL TABLES;
SQL
$subscriber->safe_psql('postgres', 'CREATE EXTENSION omendb');
$subscriber->safe_psql('postgres', sprintf($tables, ' USING omendb'));
my $from = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '$from' PUBLICATION p");
$subscriber->wait_for_subscription_sync;

my $all = "SELECT 'keyed', count(*), sum(hashtextextended(k::text, 0)) FROM keyed k UNION ALL "
  . "SELECT 'full_row', count(*), sum(hashtextextended(f::text, 0)) FROM full_row f";
same_on($publisher, $subscriber, $all, 'the first copy');

$publisher->safe_psql('postgres', <<'SQL');
UPDATE keyed SET v = v + 1 WHERE id % 3 = 0;
UPDATE keyed SET id = id + 1000 WHERE id <= 10;
DELETE FROM keyed WHERE id BETWEEN 100 AND 120;
UPDATE full_row SET v = 7 WHERE id = 2;
DELETE FROM full_row WHERE id = 19;
INSERT INTO full_row VALUES (21, 21);
SQL
$publisher->wait_for_catchup('s');
same_on($publisher, $subscriber, $all, 'updates and deletes');

# A local transaction holds a row that the publisher does not change.
my $local = session($subscriber);
$local->do('BEGIN');
$local->do('UPDATE full_row SET v = v WHERE id = 20');
$local->do('UPDATE keyed SET v = v WHERE id = 300');
$publisher->safe_psql('postgres', 'UPDATE full_row SET v = 8 WHERE id = 3; UPDATE keyed SET v = 8 WHERE id = 50');
$publisher->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', 'SELECT v FROM full_row WHERE id = 3'), 8,
	'apply does not wait for an unrelated row');
# Now one that it does change.
$publisher->safe_psql('postgres', 'UPDATE full_row SET v = 9 WHERE id = 20; UPDATE keyed SET v = 9 WHERE id = 300');
ok(wait_for(60, sub {
	$subscriber->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity
		WHERE backend_type LIKE 'logical replication worker' AND wait_event_type = 'Lock')) > 0;
}), 'apply waits for the row itself');
$local->do('COMMIT');
$publisher->wait_for_catchup('s');
same_on($publisher, $subscriber, $all, 'after the wait');
$local->quit;

# Across a flush and a crash of the subscriber.
$subscriber->safe_psql('postgres', 'SELECT omendb.flush()');
$publisher->safe_psql('postgres', 'UPDATE keyed SET note = note || id; UPDATE full_row SET v = v + id');
$publisher->wait_for_catchup('s');
$subscriber->kill9;
start_again($subscriber);
$publisher->safe_psql('postgres', 'DELETE FROM keyed WHERE id > 1000; UPDATE full_row SET v = v + 1');
$publisher->wait_for_catchup('s');
same_on($publisher, $subscriber, $all, 'after a crash');
$subscriber->stop;
$publisher->stop;
done_testing();
