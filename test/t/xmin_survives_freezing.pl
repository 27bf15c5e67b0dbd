# Applications (EF Core with Npgsql, for one) read xmin, and update with WHERE xmin = what they read: no
# row means that somebody was faster. So xmin tells versions of a row apart also when they are frozen,
# and freezing does not change it.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('xmin', conf => 'autovacuum = off');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
my $session = session($node);

# What late() writes is no transaction's first command, so its cmin is not 0 until it is frozen.
sub freeze
{
	my ($name) = @_;
	my $frozen = wait_for(60, sub {
		$session->do($_)
		  for 'SELECT txid_current()', 'SELECT omendb.flush()', 'SELECT omendb.compact()';
		return $session->do('SELECT count(*) FROM bulk WHERE cmin::text <> $$0$$') == 0
		  && $session->do('SELECT count(*) FROM single WHERE cmin::text <> $$0$$') == 0;
	});
	ok($frozen, "$name: all rows are frozen");
	return;
}

sub xmins { my ($where) = @_; return $session->do("SELECT k, xmin FROM $where ORDER BY k"); }

# In a transaction of its own, as a command that is not the first. Returns the transaction's xid.
sub late
{
	my ($sql) = @_;
	$session->do($_) for 'BEGIN', 'CREATE TEMP TABLE first (a int) USING heap ON COMMIT DROP',
	  'INSERT INTO first VALUES (1)';
	my $xid = $session->do('SELECT pg_current_xact_id()::xid');
	my $answer = $session->do($sql);
	$session->do('COMMIT');
	return wantarray ? ($xid, $answer) : $xid;
}

$session->do("CREATE TABLE $_ (k int PRIMARY KEY, v text) USING omendb") for 'bulk', 'single';
my $loader = late("COPY bulk FROM STDIN;\n" . join('', map { "$_\tloaded\n" } 1 .. 1000) . "\\.");
my @maker = map { scalar late("INSERT INTO single VALUES ($_, 'inserted')") } 1 .. 20;
my $bulk = xmins('bulk');
my $single = xmins('single');
is($bulk, join("\n", map { "$_|$loader" } 1 .. 1000), 'xmin of loaded rows is who loaded them');
is($session->do("SELECT count(*) FROM $_ WHERE cmin::text <> '0'"),
	$_ eq 'bulk' ? 1000 : 20, "no row of $_ is frozen yet") for 'bulk', 'single';
is($single, join("\n", map { "$_|$maker[$_ - 1]" } 1 .. 20), 'xmin of each row is who inserted it');
freeze('as loaded');
is(xmins('bulk'), $bulk, 'freezing a bulk load does not change xmin');
is(xmins('single'), $single, 'freezing single rows does not change xmin');

# A reads its token; B changes the row; both versions get frozen; A is late.
for my $table ('bulk', 'single')
{
	my $token = $session->do("SELECT xmin FROM $table WHERE k = 7");
	my ($by, $updated) =
	  late("UPDATE $table SET v = 'of B' WHERE k = 7 AND xmin = '$token' RETURNING xmin");
	is($updated, $by, "$table: a token read of a frozen row matches, and RETURNING gives a new one");
	freeze("$table, changed by B");
	is($session->do("SELECT xmin FROM $table WHERE k = 7"), $by, "$table: xmin is B's");
	is($session->do("UPDATE $table SET v = 'of A' WHERE k = 7 AND xmin = '$token' RETURNING v"),
		'', "$table: A's stale token updates nothing");
	is($session->do("SELECT v FROM $table WHERE k = 7"), 'of B', "$table: no update is lost");
	is($session->do("SELECT k FROM $table WHERE k = 8 AND xmin = '$token'"),
		$table eq 'bulk' ? 8 : '', "$table: the neighbour keeps its own");

	# B changes the row while A waits for it: A looks again at what B left, and gives up.
	$token = $session->do("SELECT xmin FROM $table WHERE k = 9");
	my $other = session($node);
	$session->do($_)
	  for 'BEGIN', 'SELECT 1', "UPDATE $table SET v = 'B again' WHERE k = 9 AND xmin = '$token'";
	$other->send("UPDATE $table SET v = 'A again' WHERE k = 9 AND xmin = '$token' RETURNING v");
	ok(wait_for(60, sub {
		$session->do("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
	}), "$table: A waits for B");
	$session->do('COMMIT');
	is($other->answer, '', "$table: A's token is stale after the wait");
	# ...but nothing has changed if B was rolled back or only locked the row.
	for my $nothing ('ROLLBACK', 'COMMIT')
	{
		$token = $session->do("SELECT xmin FROM $table WHERE k = 10");
		$session->do($_)
		  for 'BEGIN',
		  $nothing eq 'COMMIT' ? "SELECT 1 FROM $table WHERE k = 10 FOR UPDATE"
		  : "UPDATE $table SET v = 'never' WHERE k = 10";
		$other->send("UPDATE $table SET v = v || '+' WHERE k = 10 AND xmin = '$token' RETURNING k");
		ok(wait_for(60, sub {
			$session->do("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
		}), "$table: A waits");
		$session->do($nothing);
		is($other->answer, '10', "$table: A's token is good after $nothing of B");
	}
	$other->quit;
	# ON CONFLICT and FOR UPDATE show locked versions.
	my $seen = $session->do("SELECT xmin FROM $table WHERE k = 11");
	is($session->do("SELECT xmin FROM $table WHERE k = 11 FOR UPDATE"), $seen,
		"$table: FOR UPDATE shows the same xmin");
	is($session->do("INSERT INTO $table AS t VALUES (11, 'x') "
			  . "ON CONFLICT (k) DO UPDATE SET v = 'upsert' WHERE t.xmin = '$seen' RETURNING v"),
		'upsert', "$table: ON CONFLICT compares the same xmin");
}

# Whatever the way the rows are stored and folded again.
freeze('changed');
my @before = map { xmins($_) } 'bulk', 'single';
unlike($_, qr/\|2$/m, 'no row shows the frozen id') for @before;
late("UPDATE $_ SET v = v || '.' WHERE k % 50 = 3") for 'bulk', 'single';
my @unchanged = map { xmins("$_ WHERE k % 50 <> 3") } 'bulk', 'single';
my @changed = map { xmins("$_ WHERE k % 50 = 3") } 'bulk', 'single';
for my $how ('folded again', 'restarted', 'crashed')
{
	$node->restart if $how eq 'restarted';
	if ($how eq 'crashed') { $node->kill9; start_again($node); }
	$session = session($node) if $how ne 'folded again';
	freeze($how);
	is_deeply([ map { xmins("$_ WHERE k % 50 <> 3") } 'bulk', 'single' ],
		\@unchanged, "$how: rows that nobody changed keep their xmin");
	is_deeply([ map { xmins("$_ WHERE k % 50 = 3") } 'bulk', 'single' ],
		\@changed, "$how: rows that were changed show by whom");
}
$session->quit;
$node->stop;
done_testing();
