# Wrong set-up is refused with the reason: a library that is not preloaded, settings that make no
# sense, single-user mode.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('setup');
my $hint = qr/HINT:.*shared_preload_libraries = 'omendb'/;

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nCREATE EXTENSION omendb");
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
	[ 'omendb.no_such_setting', '1', qr/(?:unrecognized configuration|invalid configuration) parameter/ ])
{
	my ($name, $value, $message) = @$bad;
	($ret, $out, $err) = $node->psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	like($err, $message, "$name = $value is refused");
}
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
$node->stop;
done_testing();
