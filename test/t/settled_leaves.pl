# What flushes have left of index leaves above the bottom level of the store is folded once nobody
# writes; a writer, a compaction or a stop of the server need not wait for that.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('settled', conf => <<'CONF');
autovacuum = off
checkpoint_timeout = 1h
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE t (id bigint PRIMARY KEY, n int) USING omendb;
INSERT INTO t SELECT g * 10, 0 FROM generate_series(1, 100000) g;
SELECT omendb.compact();
SQL

# Of the family `keys`: files that may have leaves. A flush without any adds one to level 0 that has only
# the state of the store, too little to be worth it; one with leaves adds two.
my $above_the_bottom = <<'SQL';
SELECT count(*) FROM omendb.store_stat(),
  regexp_matches(substring(levels FROM 'keys(.*)meta'), '^ +(0 +([2-9]|\d\d)|[1-5] +[1-9])', 'gn')
SQL

# A change is a twelfth of what the bottom has: less than a 64th stays where it is.
sub change
{
	my ($step) = @_;
	$node->safe_psql('postgres', "INSERT INTO t SELECT g * 10 + $step, $step FROM generate_series(1, 100000, 20) g;"
		  . ' SELECT omendb.flush()');
	return;
}

# What store_stat() tells of levels is a second old.
sub leaves_settle
{
	sleep 2;
	return $node->poll_query_until('postgres', $above_the_bottom, '0');
}

my $old = session($node);
my $pid = $old->do('SELECT pg_backend_pid()');
my $look = 'SET enable_seqscan = off; SELECT n FROM t WHERE id = 777710';
$old->do($look);
change(1);
$old->do($look);
my $generation = 'SELECT generation FROM omendb.store_stat()';
my $changed_at = $node->safe_psql('postgres', $generation);
ok(leaves_settle(), 'leaves settle');
# A session that is connected finds them where they are now, and holds the other files no more.
ok($node->poll_query_until('postgres', "SELECT generation > $changed_at FROM omendb.store_stat()"), 'that is told');
is($old->do($look), '0', 'it reads them');
unlike(slurp_file("/proc/$pid/maps"), qr/\.sst \(deleted\)/, 'a session has no file any more that is gone');
$old->quit;
is($node->safe_psql('postgres', "SELECT omendb.check_index('t_pkey')"), '105000', 'with all entries');

# While that may be under way.
change(2);
$node->safe_psql('postgres', 'SELECT omendb.compact()');
change(3);
$node->restart;
is($node->safe_psql('postgres', "SELECT omendb.check_index('t_pkey')"), '115000', 'a stop does not wait for it');
change(4);
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', "SELECT omendb.check_index('t_pkey')"), '120000', 'nor does a crash');
ok(leaves_settle(), 'they settle again');
is($node->safe_psql('postgres', 'SELECT count(*), sum(n) FROM t'), '120000|50000', 'rows are all there');
done_testing();
