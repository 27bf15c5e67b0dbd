# A damaged store is noticed: the error names the table and the block, other tables and the server go
# on. A store that lacks files is not taken for an older one.
use strict;
use warnings;
use File::Copy ();
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('damaged', conf => <<'CONF');
autovacuum = off
omendb.target_file_size = '1MB'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
# Each flushed on its own, so that each has files of its own.
my %files;
my $store = $node->data_dir . '/omendb';

sub sst_files
{
	opendir my $dir, $store or die "$store: $!";
	return map { $_ => -s "$store/$_" } grep { /\.sst$/ } readdir $dir;
}

for my $table (qw(good hurt lost cut))
{
	my %before = sst_files();
	$node->safe_psql('postgres', "CREATE TABLE $table (id int PRIMARY KEY, body text) USING omendb");
	$node->safe_psql('postgres', "INSERT INTO $table SELECT g, md5('$table' || g) FROM generate_series(1, 20000) g");
	$node->safe_psql('postgres', 'SELECT omendb.flush()');
	$node->safe_psql('postgres', 'CHECKPOINT');
	my %after = sst_files();
	# The largest of the new files has the rows.
	($files{$table}) = sort { $after{$b} <=> $after{$a} } grep { !$before{$_} } keys %after;
	ok(defined $files{$table}, "$table has a file");
	my $rows = $node->safe_psql('postgres', "SELECT count(*) FROM $table WHERE body = md5('$table' || id)");
	is($rows, 20000, "$table is readable");
}

sub flip
{
	my ($name, $at) = @_;
	open my $file, '+<:raw', "$store/$name" or die "$name: $!";
	seek $file, $at, 0;
	read $file, my $byte, 1;
	seek $file, $at, 0;
	print $file chr(ord($byte) ^ 0x10);
	close $file;
	return;
}

sub check_others
{
	my ($name, @tables) = @_;
	for my $table (@tables)
	{
		is($node->safe_psql('postgres', "SELECT count(*) FROM $table WHERE body = md5('$table' || id)"),
			20000, "$name: $table is as it was");
		$node->safe_psql('postgres', "BEGIN; UPDATE $table SET body = body; DELETE FROM $table WHERE id < 10; "
			  . "INSERT INTO $table VALUES (-1, 'x'); ROLLBACK");
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_class WHERE relname = \'good\''), 1,
		"$name: the server is up");
	return;
}

# A byte in the middle of the row data, wherever it falls: in new sessions and in old ones.
my $from = log_position($node);
my $size = -s "$store/$files{hurt}";
flip($files{hurt}, int($size * $_)) for 0.3, 0.5, 0.7;
my $session = session($node);
my $answer = $session->query('SELECT sum(length(body)) FROM hurt');
is($session->error, 'XX001', 'a flipped byte is an error of damaged data') or diag $answer;
like($answer, qr/ERROR:.*"hurt"/, 'the error names the table');
like($answer, qr/block \d+/, 'and the block');
my $bad = 0;
for my $id (map { $_ * 100 } 1 .. 200)
{
	$session->query("SET enable_seqscan = off; SELECT body FROM hurt WHERE id = $id");
	$bad++ if defined $session->error;
}
cmp_ok($bad, '>', 0, 'some rows cannot be read');
cmp_ok($bad, '<', 200, 'others can');
$session->query('UPDATE hurt SET body = body');
is($session->error, 'XX001', 'an update of all rows is refused');
is($session->do('SELECT 1'), 1, 'the session goes on');
check_others('flipped byte', qw(good lost cut));
unlike(slurp_file($node->logfile, $from), qr/PANIC|terminated by signal|TRAP:/, 'nobody crashed');

# Compaction meets the damage: it must not make it invisible.
$node->psql('postgres', 'SELECT omendb.compact()');
$session = session($node);
$session->query('SELECT sum(length(body)) FROM hurt');
is($session->error, 'XX001', 'still damaged after a compaction');
$session->quit;
check_others('compacted', qw(good lost cut));
$node->safe_psql('postgres', 'DROP TABLE hurt');
$node->safe_psql('postgres', 'CHECKPOINT');
check_others('the damaged table dropped', qw(good lost cut));

# Lost and cut files, found when the store is opened. The copies make it whole again.
# A file that holds rows now, and not one that compaction has done with and that is still to be
# deleted.
sub live_file
{
	$node->safe_psql('postgres', 'SELECT omendb.flush()');
	$node->safe_psql('postgres', 'SELECT omendb.compact()');
	# The worker looks for files to delete once in a second, and counts them then. A checkpoint may
	# have put small files on top since, which no compaction folds into the large one by themselves.
	sleep 3;
	ok(wait_for(30, sub {
			$node->safe_psql('postgres', 'SELECT obsolete_files = 0 AND NOT compacting '
				  . 'FROM omendb.store_stat()') eq 't' }),
		'the store is at rest');
	my %is = sst_files();
	my ($largest) = sort { $is{$b} <=> $is{$a} } keys %is;
	return $largest;
}

my $copies = PostgreSQL::Test::Utils::tempdir();
for my $case ([ 'a missing file', sub { unlink "$store/$_[0]" } ],
	[ 'a truncated file', sub { truncate "$store/$_[0]", int((-s "$store/$_[0]") / 2) } ],
	[ 'an empty file', sub { truncate "$store/$_[0]", 0 } ])
{
	my ($name, $damage) = @$case;
	my $file = live_file();
	File::Copy::copy("$store/$file", "$copies/$file") or die "copy: $!";
	$node->stop;
	$damage->($file);
	$from = log_position($node);
	ok($node->start(fail_ok => 1), "$name: the server starts");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_class WHERE relname = \'lost\''), 1,
		"$name: heap works");
	my $session = session($node);
	my $failed = 0;
	for my $table (qw(good lost cut))
	{
		my $answer = $session->query("SELECT count(*) FROM $table WHERE body = md5('$table' || id)");
		if (defined $session->error)
		{
			$failed++;
			like($answer, qr/ERROR:  (?:XX001|XX002|58030|55000|58P01): /, "$name: $table raises a reason");
		}
		else
		{
			is($answer, 20000, "$name: $table is complete if it is readable");
		}
	}
	cmp_ok($failed, '>', 0, "$name: it is noticed");
	like(slurp_file($node->logfile, $from), qr/omendb/, "$name: the log says so");
	$session->query("INSERT INTO good VALUES (-5, 'x')", 20);
	$session->quit;
	$node->stop('fast');
	File::Copy::copy("$copies/$file", "$store/$file") or die "copy: $!";
	$node->start;
	$node->psql('postgres', 'DELETE FROM good WHERE id < 0');
	check_others("$name is back", qw(good lost cut));
}

# While the server runs: who opens the store anew must not silently read an older state of it.
my $old = session($node);
$old->do('SELECT count(*) FROM lost');
my $file = live_file();
File::Copy::copy("$store/$file", "$copies/$file") or die "copy: $!";
$from = log_position($node);
truncate "$store/$file", 4096;
my $new = session($node);
for my $table (qw(good lost cut))
{
	for my $session ($old, $new)
	{
		next if $session->is_dead;
		my $answer = $session->query("SELECT count(*) FROM $table WHERE body = md5('$table' || id)", 60);
		next if $session->is_dead || defined $session->error;
		is($answer, 20000, "cut under a running server: $table is complete if it is readable");
	}
}
$old->quit;
$new->quit;
is($node->safe_psql('postgres', 'SELECT 1'), 1, 'cut under a running server: it is up');
unlike(slurp_file($node->logfile, $from), qr/PANIC|terminated by signal|TRAP:/,
	'cut under a running server: nobody crashed');
$node->stop('fast');
File::Copy::copy("$copies/$file", "$store/$file") or die "copy: $!";
$node->start;
check_others('whole again', qw(good lost cut));

# The parts of a file around its rows. Where they are stands in the footer, as handles: offset, size.
sub take_varint
{
	my ($bytes) = @_;
	my ($value, $shift) = (0, 0);
	while (length $$bytes)
	{
		my $byte = ord substr $$bytes, 0, 1, '';
		$value |= ($byte & 0x7f) << $shift;
		return $value if $byte < 0x80;
		$shift += 7;
	}
	die 'a varint is cut';
}

sub parts_of
{
	my ($name) = @_;
	my $bytes = slurp_file("$store/$name");
	my $footer = substr $bytes, -53;
	my $handles = substr $footer, 1, 40;
	my %at;
	my @handle = map { take_varint(\$handles) } 1 .. 4;
	@at{qw(metaindex index)} = ([ @handle[ 0, 1 ] ], [ @handle[ 2, 3 ] ]);
	my $metaindex = substr $bytes, $at{metaindex}[0], $at{metaindex}[1];
	my $restarts = unpack 'V', substr $metaindex, -4;
	my $entries = substr $metaindex, 0, length($metaindex) - 4 - 4 * $restarts;
	my $key = '';
	while (length $entries)
	{
		my ($shared, $unshared, $size) = map { take_varint(\$entries) } 1 .. 3;
		$key = substr($key, 0, $shared) . substr $entries, 0, $unshared, '';
		my $value = substr $entries, 0, $size, '';
		my $part = $key =~ /filter/ ? 'filter' : $key =~ /properties/ ? 'properties' : next;
		$at{$part} = [ take_varint(\$value), take_varint(\$value) ];
	}
	$at{footer} = [ length($bytes) - 53, 53 ];
	return %at;
}

# What a query says: the rows, or an SQLSTATE that names damage.
sub outcome
{
	my ($session, $table, $no_lookups) = @_;
	my $answer = $session->query("SELECT count(*) FROM $table WHERE body = md5('$table' || id)", 60);
	return 'connection lost' unless defined $answer;
	return $session->error if defined $session->error;
	return $answer if $no_lookups;
	# Row by row, which asks the filters.
	my $found = $session->query("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
		  . "SELECT count(t.body) FROM generate_series(1, 20000, 40) g LEFT JOIN $table t ON t.id = g; "
		  . 'RESET ALL', 60);
	return 'connection lost' unless defined $found;
	return $session->error // ($found == 500 ? $answer : "$answer, of 500 single ones $found");
}

my $damage = qr/^(?:XX001|XX002|58030|58P01|55000)$/;
for my $part (qw(index filter properties metaindex footer manifest))
{
	my $victim = live_file();
	my $old = session($node);
	is(outcome($old, 'good'), 20000, "damaged $part: a session has the store open");
	if ($part eq 'manifest')
	{
		opendir my $dir, $store or die "$store: $!";
		($victim) = sort { $b cmp $a } grep { /^MANIFEST-/ } readdir $dir;
	}
	File::Copy::copy("$store/$victim", "$copies/$victim") or die "copy: $!";
	$from = log_position($node);
	if ($part eq 'manifest') { flip($victim, int((-s "$store/$victim") / 2)) }
	else
	{
		my %at = parts_of($victim);
		ok($at{$part}, "damaged $part: the file has one") or die;
		# The footer's last bytes are the magic number.
		flip($victim, $part eq 'footer' ? $at{footer}[0] + 48 : $at{$part}[0] + int($at{$part}[1] / 2));
	}
	# What the old session has mapped it verified when it opened the file, and does not see what changes
	# afterwards (README, limits). By the index it would mark entries of rows dead that it does not find.
	my $mapped = $part =~ /^(?:index|filter)$/;
	for my $when ('while the server runs', 'at its start')
	{
		my $name = "damaged $part, $when";
		if ($when eq 'at its start')
		{
			$old->quit;
			$node->stop('fast');
			$node->start;
		}
		my $new = session($node);
		for my $table (qw(good lost cut))
		{
			my $outcome = outcome($new, $table);
			like($outcome, qr/$damage|^20000$/, "$name: $table is complete or says what is wrong: $outcome");
			next if $when eq 'at its start';
			$outcome = outcome($old, $table, $mapped);
			like($outcome, $mapped ? qr/$damage|^\d+$/ : qr/$damage|^20000$/,
				"$name: $table in an old session: $outcome");
			cmp_ok($outcome, '<=', 20000, "$name: $table has no row twice") unless $outcome =~ $damage;
		}
		is($new->do('SELECT count(*) > 0 FROM pg_class'), 't', "$name: the server is up");
		$new->quit;
	}
	unlike(slurp_file($node->logfile, $from), qr/PANIC|TRAP:|terminated by signal/, "damaged $part: nobody crashed");
	$node->stop('fast');
	File::Copy::copy("$copies/$victim", "$store/$victim") or die "copy: $!";
	$node->start;
	check_others("damaged $part, repaired", qw(good lost cut));
}
$node->stop;
done_testing();
