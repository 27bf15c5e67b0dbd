# A fast shutdown in the middle of the load loses no commit that a client has seen: a backend that is
# past its last interrupt check still commits, and what it wrote must be in the store before the
# shutdown checkpoint, because nothing is replayed at the next start.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $stops = $ENV{OMENDB_STOPS} // 20;
my @kinds = qw(single single batch batch update bench);

my $node = new_node('stops');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', <<'SQL');
SET default_table_access_method = omendb;
CREATE TABLE seen (client int, n int, what text);
CREATE TABLE single (client int, n int, PRIMARY KEY (client, n));
CREATE TABLE batch (client int, n int, k int, x float8, label text);
CREATE UNIQUE INDEX ON batch (client, n, k);
CREATE INDEX ON batch (x);
CREATE INDEX ON batch (label);
CREATE TABLE counter (client int PRIMARY KEY, n int);
INSERT INTO counter SELECT g, 0 FROM generate_series(0, 9) g;
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO seen VALUES (NEW.client, NEW.n, TG_TABLE_NAME);
  RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT ON single FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see AFTER INSERT ON batch FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see AFTER UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION see();
SQL

my $batch_rows = 300;
my $dir = PostgreSQL::Test::Utils::tempdir();

sub work
{
	my ($client, $kind, $n) = @_;
	open my $log, '>', "$dir/$client" or die "$dir/$client: $!";
	$log->autoflush(1);
	print $log "$n\n";
	my $session = session($node);
	while (1)
	{
		$n++;
		my $sql =
		    $kind eq 'single' ? "INSERT INTO single VALUES ($client, $n)"
		  : $kind eq 'update' ? "UPDATE counter SET n = n + 1 WHERE client = $client"
		  : $kind eq 'bench' ? "BEGIN; INSERT INTO single VALUES ($client, $n); UPDATE counter SET n = n + 1 "
			. "WHERE client = $client; COMMIT"
		  : "COPY batch FROM STDIN;\n"
		  . join('', map { "$client\t$n\t$_\t" . rand() . "\tlabel $_\n" } 1 .. $batch_rows) . "\\.";
		defined $session->query($sql, 60) or return;
		if (my $error = $session->error)
		{
			die "$kind got $error" unless $error =~ /^57P/;
			return;
		}
		print $log "$n\n";
	}
}

# Halts the clients' backends wherever they are, so that they hear of the shutdown only when the
# workers may have done their part of it.
sub delay_backends
{
	my @pids = split /\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
	kill 'STOP', @pids;
	return in_child(sub { sleep 0.6; kill 'CONT', @pids });
}

my @last = (0) x @kinds;
for my $stop (1 .. $stops)
{
	my @children = map {
		my $client = $_;
		in_child(sub { work($client, $kinds[$client], $last[$client]) });
	} 0 .. $#kinds;
	sleep 0.4 + rand(0.8);
	my $from = log_position($node);
	my $delayed = $stop % 2 ? delay_backends() : 0;
	$node->stop('fast');
	waitpid $delayed, 0 if $delayed;
	my $failed = wait_for_children(@children);
	my $log = slurp_file($node->logfile, $from);
	$from = log_position($node);
	$node->start;
	subtest "stop $stop" => sub {
		is($failed, 0, 'clients saw no error but the shutdown');
		unlike($log, qr/PANIC|terminated by signal|TRAP:/, 'the server stopped in order');
		like(slurp_file($node->logfile, $from), qr/database system was shut down at/,
			'nothing had to be replayed');
		my $session = session($node);
		for my $client (0 .. $#kinds)
		{
			my $kind = $kinds[$client];
			my $acknowledged = (split /\n/, slurp_file("$dir/$client"))[-1];
			my ($found, $rows) = split /\|/, $session->do(
				$kind eq 'update' ? "SELECT n, n FROM counter WHERE client = $client"
				: $kind eq 'batch' ? "SELECT coalesce(max(n), 0), count(*) FROM batch WHERE client = $client"
				: "SELECT coalesce(max(n), 0), count(*) FROM single WHERE client = $client");
			ok($found == $acknowledged || $found == $acknowledged + 1,
				"$kind: $acknowledged acknowledged, $found found");
			is($rows, $kind eq 'batch' ? $found * $batch_rows : $found, "$kind: every row is there");
			is($session->do("SELECT n FROM counter WHERE client = $client"), $found,
				'the two tables of one transaction agree') if $kind eq 'bench';
			is($session->do("SELECT count(*) FROM seen WHERE client = $client AND what = '"
				  . ($kind eq 'bench' ? 'single' : $kind eq 'update' ? 'counter' : $kind) . "'"),
				$rows, "$kind: the trigger wrote as often");
			$last[$client] = $found;
		}
	} or last;
}
# A change that is held up right before it enters the write buffer, and goes on when the workers may
# have done their part of the shutdown.
$node->safe_psql('postgres', 'INSERT INTO counter VALUES (100, 0)');
for my $change ([ 'an insert', 'INSERT INTO single VALUES (100, 2)', 'SELECT count(*) FROM single WHERE client = 100 AND n = 2' ],
	[ 'an update', 'UPDATE counter SET n = 1 WHERE client = 100', 'SELECT n FROM counter WHERE client = 100' ],
	[ 'COPY', "COPY batch FROM STDIN;\n" . join('', map { "100\t1\t$_\t0.5\tlabel\n" } 1 .. 50) . "\\.",
		'SELECT count(*) / 50.0 FROM batch WHERE client = 100' ])
{
	my ($name, $sql, $found) = @$change;
	my $session = session($node);
	$session->do('INSERT INTO single SELECT 100, coalesce(max(n), 10) + 1 FROM single WHERE client = 100');
	set_failure_point($node, 'before_write_gate:sleep=1500');
	ok(wait_for(60, sub { $session->do('SHOW omendb.failure_point') ne '' }), "$name will be held up");
	$session->send($sql);
	ok(wait_for(60, sub { $node->safe_psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE "
			  . "state = 'active' AND backend_type = 'client backend'") > 1 }), "$name has begun");
	$node->stop('fast');
	my $answer = $session->answer(60);
	my $acknowledged = defined $answer && !$session->error;
	set_failure_point($node, '');
	$node->start;
	my $is = $node->safe_psql('postgres', $found);
	ok($acknowledged ? $is == 1 : ($is == 0 || $is == 1),
		"$name during a fast stop: " . ($acknowledged ? 'acknowledged' : 'not acknowledged') . ", $is found");
}
$node->safe_psql('postgres', 'CREATE EXTENSION amcheck');
check_index($node, 'batch', 'batch_client_n_k_idx', 'client, n, k', 'at the end');
check_index($node, 'batch', 'batch_x_idx', 'x', 'at the end');
check_index($node, 'single', 'single_pkey', 'client, n', 'at the end');
$node->stop;
done_testing();
