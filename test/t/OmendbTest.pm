# What the TAP tests share: servers with omendb, psql sessions that can wait, crashes.
package OmendbTest;

use strict;
use warnings;
use Exporter 'import';
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(check_sql new_node start_again start_to_crash crash_by_killing wait_until_up set_failure_point worker_pid
  wait_for session in_child wait_for_children check_index same_on log_position file_size_sum);

# A server that loads omendb with the smallest buffer, so that every test flushes; not started.
# Crashes restart it, as in production, unless restart_after_crash is set otherwise.
sub new_node
{
	my ($name, %params) = @_;
	my $conf = delete $params{conf} // '';
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%params);
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'omendb'
omendb.write_buffer_size = '16MB'
log_statement = none
restart_after_crash = on
log_checkpoints = on
max_connections = 40
$conf
CONF
	return $node;
}

# Starts a server whose postmaster was killed. Its children need a moment to notice; until they have,
# the new one refuses to start.
sub start_again
{
	my ($node) = @_;
	for (1 .. 60)
	{
		my $from = log_position($node);
		# A start that failed took the killed one's pid file for its own.
		$node->{_pid} = undef;
		return 1 if $node->start(fail_ok => 1);
		my $log = slurp_file($node->logfile, $from);
		last unless $log =~ /shared memory block|lock file .* exists|is another postmaster/;
		sleep 0.5;
	}
	die 'the server did not start: ' . substr(slurp_file($node->logfile), -3000);
}

# Starts a server that will crash or wait in its recovery; then it starts anew by itself, goes on, or
# does not come up at all.
sub start_to_crash
{
	my ($node) = @_;
	local $ENV{PGCTLTIMEOUT} = 5;
	for (1 .. 20)
	{
		my $from = log_position($node);
		$node->start(fail_ok => 1);
		# Refused as long as children of the killed one are still there.
		last unless slurp_file($node->logfile, $from) =~ /shared memory block|lock file .* exists/;
		$node->{_pid} = undef;
		sleep 0.5;
	}
	return;
}

# After the crash of a child: waits until the server takes connections again.
sub wait_until_up
{
	my ($node, $limit) = @_;
	my $ok = wait_for($limit // 120, sub {
		# Dies of a broken pipe if psql is gone before it has read the command.
		my ($ret) = eval { $node->psql('postgres', 'SELECT 1', timeout => 20, timed_out => \my $unused) };
		defined $ret && $ret == 0;
	});
	die 'the server did not come back: ' . substr(slurp_file($node->logfile), -3000) unless $ok;
	return;
}

# Kills a child of the server and waits until all have started anew. Not before the postmaster has
# noticed: who connects until then is thrown out again.
sub crash_by_killing
{
	my ($node, $pid) = @_;
	my $from = log_position($node);
	kill 9, $pid;
	wait_for(60, sub {
		slurp_file($node->logfile, $from) =~ /all server processes terminated; reinitializing/;
	}) or die 'the server did not notice the crash: ' . substr(slurp_file($node->logfile), -3000);
	wait_until_up($node);
	return;
}

# For the workers of a running server; they read it within a fraction of a second.
sub set_failure_point
{
	my ($node, $point) = @_;
	$node->append_conf('postgresql.conf', "omendb.failure_point = '$point'");
	$node->reload if defined $node->{_pid};
	return;
}

sub worker_pid
{
	my ($node, $name) = @_;
	open my $ps, '-|', 'ps', '-A', '-o', 'pid=,ppid=,args=' or die "ps: $!";
	my $pid;
	while (<$ps>)
	{
		$pid = $1 if /^\s*(\d+)\s+$node->{_pid}\s.*\Q$name\E/;
	}
	close $ps;
	return $pid;
}

# Polls until it is true; false after so many seconds.
sub wait_for
{
	my ($seconds, $condition) = @_;
	my $end = time + $seconds;
	until ($condition->())
	{
		return 0 if time > $end;
		sleep 0.1;
	}
	return 1;
}

sub log_position { my ($node) = @_; return -s $node->logfile // 0; }

# Runs code in a child process; it ends without this script's END blocks.
sub in_child
{
	my ($code) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	my $ok = eval { $code->(); 1 };
	warn $@ unless $ok;
	POSIX::_exit($ok ? 0 : 1);
}

# The number of children that failed.
sub wait_for_children
{
	my (@pids) = @_;
	my $failed = 0;
	for my $pid (@pids)
	{
		waitpid $pid, 0;
		$failed++ if $?;
	}
	return $failed;
}

sub file_size_sum
{
	my ($folder) = @_;
	my $sum = 0;
	opendir my $dir, $folder or return 0;
	for my $name (readdir $dir) { $sum += -s "$folder/$name" // 0 if -f "$folder/$name"; }
	return $sum;
}

# SQL that checks one index against its table, whichever of the two methods it has.
sub check_sql
{
	my ($index) = @_;
	return "CASE (SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = $index) WHEN 'alex' "
	  . "THEN omendb.check_index($index)::text ELSE bt_index_check($index, heapallindexed => true)::text END";
}

# An index and its table agree: by amcheck or our own check, and by comparing what the index alone and what a
# sequential scan says of the key columns.
sub check_index
{
	my ($node, $table, $index, $columns, $name) = @_;
	my ($ret, $out, $err) = $node->psql('postgres',
		'SELECT ' . check_sql("'$index'::regclass"));
	is($err, '', "$name: check of $index");
	my $select = "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(row($columns)::text, 0)), 0) "
	  . "FROM (SELECT $columns FROM $table ORDER BY $columns) s";
	my $by_index = $node->safe_psql('postgres',
		"SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; $select");
	my $by_table = $node->safe_psql('postgres',
		"SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; $select");
	is($by_index, $by_table, "$name: $index and $table agree");
	return;
}

# The same query gives the same on both servers.
sub same_on
{
	my ($one, $other, $query, $name) = @_;
	my $expected = $one->safe_psql('postgres', $query);
	is($other->safe_psql('postgres', $query), $expected, $name);
	return;
}

sub session { return OmendbTest::Session->new(@_); }

# A psql that takes commands one by one. A command may be sent without waiting for its end.
package OmendbTest::Session;

use strict;
use warnings;
use Time::HiRes qw(time);

sub new
{
	my ($class, $node, $database) = @_;
	pipe my $stdin, my $to or die "pipe: $!";
	pipe my $from, my $stdout or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if (!$pid)
	{
		open STDIN, '<&', $stdin or POSIX::_exit(126);
		open STDOUT, '>&', $stdout or POSIX::_exit(126);
		open STDERR, '>&', $stdout or POSIX::_exit(126);
		close $_ for $to, $from, $stdin, $stdout;
		exec 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d',
		  $node->connstr($database // 'postgres') or POSIX::_exit(127);
	}
	close $stdin;
	close $stdout;
	my $old = select $to;
	$| = 1;
	select $old;
	my $self = bless { pid => $pid, to => $to, from => $from, text => '', marker => 0, owner => $$ },
	  $class;
	return $self;
}

# Sends commands without waiting for their answer.
sub send
{
	my ($self, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$self->{marker}++;
	# Inline COPY data ends the statement itself: an empty one behind it makes newer psql start the
	# COPY again, and wait for data.
	my $end = $sql =~ /^\\\.\z/m ? '' : ";\n";
	print { $self->{to} } "$sql\n$end\\echo -- done $self->{marker}\n";
	return;
}

# The answer of what was sent last, or undef if it has not come by then or the session has died.
sub answer
{
	my ($self, $seconds) = @_;
	my $end = time + ($seconds // 180);
	my $marker = "-- done $self->{marker}\n";
	while (1)
	{
		if ($self->{text} =~ s/\A(.*?)^\Q$marker\E//ms)
		{
			my $answer = $1;
			chomp $answer;
			if ($answer =~ /server closed the connection|connection to server was lost/)
			{
				$self->{dead} = 1;
				return undef;
			}
			($self->{error}) = $answer =~ /(?:ERROR|FATAL):  (\w{5}): /;
			return $answer;
		}
		return undef if $self->{dead};
		my $left = $end - time;
		return undef if $left <= 0;
		my $bits = '';
		vec($bits, fileno($self->{from}), 1) = 1;
		next unless select($bits, undef, undef, $left) > 0;
		my $read = sysread $self->{from}, $self->{text}, 65536, length $self->{text};
		$self->{dead} = 1 if !$read;
	}
}

# Sends and waits. undef: the connection was lost, or it took too long.
sub query
{
	my ($self, $sql, $seconds) = @_;
	return undef if $self->{dead};
	$self->send($sql);
	return $self->answer($seconds);
}

# Like query, but the test cannot go on after an error.
sub do
{
	my ($self, $sql, $seconds) = @_;
	my $answer = $self->query($sql, $seconds);
	die "no answer to $sql: $self->{text}" unless defined $answer;
	die "$sql: $answer" if $self->{error};
	return $answer;
}

# SQLSTATE of the last answer, undef if it was none.
sub error { my ($self) = @_; return $self->{error}; }
sub is_dead { my ($self) = @_; return $self->{dead}; }

sub quit
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	close $self->{to};
	close $self->{from};
	my $pid = delete $self->{pid};
	# It may wait for an answer that will not come.
	for (1 .. 50)
	{
		return if waitpid($pid, POSIX::WNOHANG) != 0;
		select(undef, undef, undef, 0.1);
	}
	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	$self->quit;
	return;
}

1;
