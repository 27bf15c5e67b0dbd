# A session has looked for a key in a unique alex index, found nothing, and is held up before it writes
# its entry. Meanwhile another one writes the key; the entry stays in the active segment, or is flushed
# into a leaf, or leaves are split around it. The first one must not overlook it.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_node('keys');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE keys (k int PRIMARY KEY, v int DEFAULT 0) USING omendb;
INSERT INTO keys SELECT g * 10 FROM generate_series(1, 3000) g;
SELECT omendb.flush();
CREATE TABLE heap_keys (k int, v int DEFAULT 0);
CREATE UNIQUE INDEX heap_keys_k ON heap_keys USING alex (k);
INSERT INTO heap_keys SELECT g * 10 FROM generate_series(1, 3000) g;
SQL

my %meanwhile = (
	nothing => '',
	flush => 'SELECT omendb.flush()',
	'two flushes and a fold' => 'SELECT omendb.flush(); INSERT INTO keys VALUES (-@); SELECT omendb.flush(); SELECT omendb.compact()',
	split => 'INSERT INTO @t SELECT g FROM generate_series(@ - 900, @ + 900) g WHERE g % 10 <> 0 AND g % 10 <> 5; SELECT omendb.flush()');

# The row is written first, the key is looked for behind that, then the entry is written: each write is
# held up for so long.
my $hold = 1200;
my $key = 2005;
my ($met, $late) = (0, 0);
for my $table (qw(keys heap_keys))
{
	for my $case (sort keys %meanwhile)
	{
		for my $upsert (0, 1)
		{
			$key += 2000;
			my $name = "$case, " . ($upsert ? 'upsert' : 'insert') . " into $table";
			my $other = session($node);
			$other->do("SELECT FROM $table WHERE k = 10");
			set_failure_point($node, "before_write_gate:sleep=$hold");
			my $held = session($node);
			$held->do("SELECT FROM $table WHERE k = 10");
			$held->send("INSERT INTO $table VALUES ($key, 1)" . ($upsert ? " ON CONFLICT (k) DO UPDATE SET v = $table.v + 10" : ''));
			sleep 0.2;
			set_failure_point($node, '');
			# A heap row is not held up: its key has been looked for by now.
			sleep($table eq 'keys' ? $hold / 1000 + 0.1 : 0.1);
			$other->query("INSERT INTO $table VALUES ($key, 2)");
			if ($other->error)
			{
				# On a slow machine the other one was through.
				$_->quit for $held, $other;
				die 'the machine is too slow' if ++$late > 10;
				redo;
			}
			(my $then = $meanwhile{$case}) =~ s/\@t/$table/g;
			$then =~ s/\@/$key/g;
			$then =~ s/INTO keys/INTO $table/g;
			$other->do($then) if $then;
			my $written = time;
			my $answer = $held->answer(60) // 'no answer';
			$met++ if time - $written > 0.1;
			is($held->error // 'none', $upsert ? 'none' : '23505', "$name: the later one meets the key");
			is($node->safe_psql('postgres', "SELECT count(*), sum(v) FROM $table WHERE k + 0 = $key"), $upsert ? '1|12' : '1|2', "$name: one row");
			$_->quit for $held, $other;
		}
	}
	my $index = $table eq 'keys' ? 'keys_pkey' : 'heap_keys_k';
	my ($ret, $out, $err) = $node->psql('postgres', "SELECT omendb.check_index('$index')");
	is($err, '', "$index is as its table");
}
cmp_ok($met, '>', 4, 'keys were written in between');

# Heap uses a TID again: while an insert is held up, VACUUM removes the entry of a dead row with its key,
# and another row takes that row's place, with the same key.
my $reused = 0;
for (1 .. 10)
{
	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS again; CREATE TABLE again (k int); '
		  . 'CREATE UNIQUE INDEX again_k ON again USING alex (k); INSERT INTO again VALUES (1), (2); DELETE FROM again WHERE k = 2');
	my $other = session($node);
	$other->do('SELECT FROM again WHERE k = 1');
	set_failure_point($node, "before_write_gate:sleep=$hold");
	my $held = session($node);
	$held->do('SELECT FROM again WHERE k = 1');
	$held->send('INSERT INTO again VALUES (2) RETURNING ctid');
	sleep 0.2;
	set_failure_point($node, '');
	$other->do('VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) again');
	my $place = $other->query('INSERT INTO again VALUES (2) RETURNING ctid');
	my $in_time = !$other->error;
	my $answer = $held->answer(60) // 'no answer';
	my $error = $held->error;
	$_->quit for $held, $other;
	next if !$in_time;
	$reused++;
	is($place, '(0,2)', 'the place of the dead row is used again');
	is($error // 'none', '23505', 'the key of a place that is used again is met');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM again WHERE k + 0 = 2'), 1, 'one row has it');
	last;
}
is($reused, 1, 'the machine is not too slow for it');
$node->stop;
done_testing();
