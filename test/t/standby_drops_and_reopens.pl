# On a standby: what a replayed record does reaches the store no sooner than the record does, and a
# store that cannot be opened for a while is waited for.
use strict;
use warnings;
use OmendbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $primary = new_node('primary', allows_streaming => 1, conf => "autovacuum = off\ncheckpoint_timeout = 1h");
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE TABLE other (id int) USING omendb');
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;
sub catch_up { $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert')); return; }
sub swept { return $standby->safe_psql('postgres', 'SELECT swept_storages FROM omendb.store_stat()'); }

# A checkpoint leaves an empty segment behind. The drop is the first that comes after it.
my $session = session($primary);
$session->do('BEGIN; CREATE TABLE t (id int) USING omendb');
$session->do('INSERT INTO t SELECT generate_series(1, 1000)');
$primary->safe_psql('postgres', 'CHECKPOINT');
catch_up();
my $before = swept();
$session->do('TRUNCATE t');
# WAL is sent once it is flushed.
$primary->safe_psql('postgres', 'CREATE TABLE heap (id int)');
catch_up();
sleep 3;
is(swept(), $before, 'a replayed drop waits for its segment');
$session->do('COMMIT');
$primary->safe_psql('postgres', 'INSERT INTO other VALUES (1); CHECKPOINT');
catch_up();
ok(wait_for(20, sub { swept() == $before + 1 }), 'and is in the store with it');

# The store cannot be opened when the standby starts, and there are rows to replay.
$standby->stop;
my $folder = $standby->data_dir . '/omendb';
$primary->safe_psql('postgres', 'INSERT INTO other SELECT generate_series(1, 100)');
chmod 0500, $folder or die "chmod: $!";
$standby->start;
my $from = log_position($standby);
sleep 8;
is($standby->safe_psql('postgres', 'SELECT 1'), 1, 'the standby is up without its store');
my (undef, undef, $error) = $standby->psql('postgres', 'SELECT count(*) FROM other');
like($error, qr/the omendb store is not open/, 'which it does not have');
chmod 0700, $folder or die "chmod: $!";
catch_up();
same_on($primary, $standby, 'SELECT count(*) FROM other', 'it goes on once the store can be opened');
unlike(slurp_file($standby->logfile, $from), qr/shutting down|FATAL:  the omendb/, 'and has not stopped in between');
$standby->stop;
$primary->stop;
done_testing();
