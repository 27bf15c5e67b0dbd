# Wrong set-up is refused with the reason: a library that is not preloaded, settings that make no
# sense, single-user mode.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = new_node('setup');
my $hint = qr/HINT:.*shared_preload_libraries = 'omendb'/;

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
my ($ret, $out, $err, $answer);
($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nCREATE EXTENSION omendb");
like($err, qr/ERROR:  55000: omendb must be loaded via "shared_preload_libraries"/,
	'CREATE EXTENSION without preloading is refused');
like($err, $hint, 'with what to do');
($ret, $out, $err) = $node->psql('postgres', "LOAD 'omendb'");
like($err, $hint, 'so is LOAD');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_extension WHERE extname = 'omendb'"), 0,
	'nothing of the extension is left');
$node->stop;

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'omendb'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', "CREATE TABLE t USING omendb AS SELECT g AS id, g::text AS body FROM generate_series(1, 1000) g");
$node->safe_psql('postgres', 'CREATE INDEX ON t (id)');
$node->stop;

# The table exists now, and the library is not there.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
for my $sql ('SELECT * FROM t', "INSERT INTO t VALUES (1, 'x')", 'CREATE TABLE u (id int) USING omendb',
	'SELECT omendb.flush()', 'SELECT * FROM omendb.store_stat()', 'VACUUM t', 'DROP TABLE t', 'TRUNCATE t')
{
	($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/ERROR:  55000: omendb must be loaded/, "$sql is refused");
	like($err, $hint, "$sql: with what to do");
}
is($node->safe_psql('postgres', 'CREATE TABLE h (id int); INSERT INTO h VALUES (1); SELECT * FROM h'), 1,
	'heap works');
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'omendb'");
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*), sum(length(body)) FROM t'), '1000|2893',
	'preloaded again, the rows are there');

# Settings.
for my $bad ([ 'omendb.write_buffer_size', '1MB', qr/is outside the valid range/ ],
	[ 'omendb.write_buffer_size', 'plenty', qr/invalid value for parameter "omendb.write_buffer_size"/ ],
	[ 'omendb.max_storages', '1', qr/is outside the valid range/ ],
	[ 'omendb.compaction_jobs', '0', qr/is outside the valid range/ ],
	[ 'omendb.target_file_size', '12', qr/is outside the valid range/ ],
	[ 'omendb.local_block_cache_size', '-1', qr/is outside the valid range/ ],
	[ 'omendb.verify_checksums', 'maybe', qr/requires a Boolean value/ ],
	(map { [ 'omendb.failure_point', $_, qr/invalid value for parameter "omendb.failure_point"/ ] }
		'x:abc', 'x:', 'x:0', 'x:-1', 'x:3x', 'x:sleep=', 'x:sleep=1s', 'x:sleepy', ':sleep', 'x y', 'X', 'x' x 70),
	[ 'omendb.no_such_setting', '1', qr/(?:unrecognized configuration|invalid configuration) parameter/ ])
{
	my ($name, $value, $message) = @$bad;
	($ret, $out, $err) = $node->psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	like($err, $message, "$name = $value is refused");
}
for my $good ('x', 'x:3', 'x:sleep', 'x:sleep=20', 'x:hold', 'x:error', '')
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET omendb.failure_point = '$good'");
}
$node->safe_psql('postgres', 'ALTER SYSTEM RESET omendb.failure_point');
for my $name (qw(omendb.write_buffer_size omendb.max_storages omendb.compaction_jobs omendb.target_file_size))
{
	($ret, $out, $err) = $node->psql('postgres', "SET $name = 100000");
	like($err, qr/cannot be changed without restarting the server/, "$name needs a restart");
}
$node->safe_psql('postgres', 'CREATE ROLE plain LOGIN');
for my $setting ('omendb.verify_checksums = off')
{
	($ret, $out, $err) = $node->psql('postgres', "SET ROLE plain; SET $setting");
	like($err, qr/permission denied to set parameter/, "$setting is not for everyone");
}
for my $function ('omendb.flush()', 'omendb.compact()')
{
	($ret, $out, $err) = $node->psql('postgres', "SET ROLE plain; SELECT $function");
	like($err, qr/permission denied for function/, "$function is not for everyone");
}
$node->stop;
$node->append_conf('postgresql.conf', "omendb.write_buffer_size = '1MB'");
my $from = log_position($node);
$node->start;
like(slurp_file($node->logfile, $from), qr/1024 kB is outside the valid range for parameter "omendb.write_buffer_size"/,
	'a buffer that is too small is refused at the start of the server');
is($node->safe_psql('postgres', 'SHOW omendb.write_buffer_size'), '256MB', 'the default stands in for it');
$node->stop;
$node->append_conf('postgresql.conf', "omendb.write_buffer_size = '16MB'");

# One of the two is for the launcher of logical replication.
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$from = log_position($node);
ok(!$node->start(fail_ok => 1), 'the server does not start without both workers');
like(slurp_file($node->logfile, $from), qr/FATAL:.*no worker process left.*HINT:.*max_worker_processes/s,
	'and says which setting to raise');
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 1000, 'three are enough');
$node->stop;

# Single-user mode has no workers.
my $single = sub {
	my ($sql) = @_;
	my ($in, $text) = ($sql, '');
	IPC::Run::run([ 'postgres', '--single', '-D', $node->data_dir, 'postgres' ], '<', \$in, '>', \$text,
		'2>', \my $errors, IPC::Run::timeout(60));
	return "$text\n$errors";
};
my $text = $single->("SELECT 'rows ' || count(*) AS answer, sum(length(body)) FROM t WHERE id > 0\n"
	  . "INSERT INTO t VALUES (-1, 'x')\nUPDATE t SET body = 'x'\nDELETE FROM t\nSELECT 'still ' || count(*) AS answer FROM t\n");
like($text, qr/"rows 1000"/, 'single-user mode reads');
like($text, qr/"still 1000"/, 'and has changed nothing');
my @refused = $text =~ /(ERROR:  cannot write to omendb tables in single-user mode)/g;
is(scalar(@refused), 3, 'every write is refused') or diag $text;
unlike($text, qr/PANIC|TRAP:/, 'it ends in order');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*), sum(length(body)) FROM t'), '1000|2893',
	'the server starts after single-user mode');
$node->safe_psql('postgres', "INSERT INTO t VALUES (1001, 'x')");
$node->kill9;
# Refused as long as children of the killed postmaster are still there.
for (1 .. 60)
{
	$text = $single->("SELECT 'rows ' || count(*) AS answer FROM t\n");
	last unless $text =~ /shared memory block|lock file .* exists/;
	sleep 0.5;
}
like($text, qr/FATAL:  cannot recover omendb tables in single-user mode/,
	'recovery in single-user mode is refused') or diag $text;
start_again($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 1001, 'and nothing is lost by the attempt');

# WAL of ours to replay, and nobody who can.
$node->safe_psql('postgres', "INSERT INTO t VALUES (1002, 'x')");
$from = log_position($node);
$node->kill9;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
start_to_crash($node);
my $log = slurp_file($node->logfile, $from);
like($log, qr/FATAL:  resource manager with ID 142 not registered/, 'recovery without preloading is refused');
like($log, qr/HINT:.*shared_preload_libraries/, 'with what to do');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'omendb'");
start_again($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 1002, 'preloaded again, nothing is lost');

# More relations than there is room for.
$node->append_conf('postgresql.conf', 'omendb.max_storages = 64');
$node->restart;
my $session = session($node);
$session->do('CREATE TABLE parts (id int) PARTITION BY LIST (id)');
$session->do("CREATE TABLE part_$_ PARTITION OF parts FOR VALUES IN ($_) USING omendb") for 1 .. 65;
my $refused;
for my $id (1 .. 65)
{
	$answer = $session->query("INSERT INTO parts VALUES ($id)");
	$refused = $id if $session->error;
	last if $refused;
}
is($session->error, '54000', 'a relation too many is refused') or diag $answer;
cmp_ok($refused, '>=', 60, 'not before there is no room');
like($answer, qr/HINT:.*"omendb.max_storages"/, 'with what to do');
like($answer, qr/DETAIL:.*\b64\b/, 'and what the limit is');
is($session->do('SELECT count(*) FROM parts'), $refused - 1, 'the others are readable');
$session->do("DROP TABLE part_$_") for 1 .. 5;
ok(wait_for(120, sub {
		# The room comes back when the files are gone and the rows have left the store.
		$session->do('CHECKPOINT');
		$session->query("INSERT INTO parts VALUES ($refused)");
		return !$session->error }),
	'when others were dropped there is room');
is($session->do('SELECT count(*) FROM parts'), $refused - 5, 'and its row is there');
$session->do('DROP TABLE parts');

# Columns take room as well.
my $columns = join ', ', map { "c$_ int" } 1 .. 1600;
$session->do("CREATE TABLE broad_$_ ($columns) USING omendb") for 1 .. 3;
ok(wait_for(120, sub {
		$session->do('CHECKPOINT');
		$session->query('INSERT INTO broad_1 (c1600) VALUES (1)');
		return !$session->error }),
	'a table of 1600 columns fits');
for my $table (2, 3)
{
	$answer = $session->query("INSERT INTO broad_$table (c1600) VALUES (1)");
	last if $session->error;
}
is($session->error, '54000', 'several do not');
like($answer, qr/DETAIL:.*columns/, 'the error says that it is their columns');
like($answer, qr/HINT:.*"omendb.max_storages"/, 'and what to do');
is($session->do('SELECT c1600 FROM broad_1'), 1, 'the first one is readable');
$session->quit;
$node->append_conf('postgresql.conf', 'omendb.max_storages = 1000');
$node->restart;
# One of them may have found room before.
$node->safe_psql('postgres', 'TRUNCATE broad_2, broad_3');
$node->safe_psql('postgres', 'INSERT INTO broad_2 (c1600) VALUES (2); INSERT INTO broad_3 (c1600) VALUES (3)');
is($node->safe_psql('postgres', 'SELECT b1.c1600, b2.c1600, b3.c1600 FROM broad_1 b1, broad_2 b2, broad_3 b3'),
	'1|2|3', 'with more room they do');
$node->stop;
done_testing();
