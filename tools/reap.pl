#!/usr/bin/perl
# reap.pl COMMAND...: runs it and, until it ends, is the parent of every process that loses its own.
#
# A postmaster is such an orphan. Where the first process of a container does not reap, a killed
# one stays a zombie, and PostgreSQL takes it for alive and refuses to start anew.
use strict;
use warnings;
use POSIX ();

my %prctl = (x86_64 => 157, aarch64 => 167, ppc64le => 171, s390x => 172, riscv64 => 167);
my $machine = (POSIX::uname())[4];
my $set_child_subreaper = 36;
syscall($prctl{$machine}, $set_child_subreaper, 1, 0, 0, 0) if $prctl{$machine};

my $command = fork // die "fork: $!\n";
if (!$command) {
  exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n";
}
for my $name (qw(INT TERM HUP)) {
  $SIG{$name} = sub { kill $name, $command };
}
while (1) {
  my $pid = waitpid -1, 0;
  next if $pid != $command && ($pid > 0 || $!{EINTR});
  exit 1 if $pid != $command;
  exit($? & 127 ? 128 + ($? & 127) : $? >> 8);
}
