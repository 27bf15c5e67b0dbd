#!/usr/bin/perl
# sample_memory.pl POSTMASTER FILE: samples the private memory of the postmaster and its children each
# half second until it is told to end (SIGTERM); then writes the lines of a markdown table to FILE.
use strict;
use warnings;
use Time::HiRes qw(sleep);

my ($postmaster, $file) = @ARGV;
my (%name, %first, %most, %samples);
my $end = 0;
$SIG{TERM} = sub { $end = 1 };

sub private_kb {
  my ($pid) = @_;
  open my $rollup, '<', "/proc/$pid/smaps_rollup" or return undef;
  my $sum;
  # A process that ends meanwhile answers nothing, or an error.
  while (defined(my $line = readline $rollup)) {
    $sum = ($sum // 0) + $1 if $line =~ /^Private_\w+:\s+(\d+) kB/;
  }
  return $sum;
}

sub children {
  my @pids = ($postmaster);
  for my $task (glob "/proc/$postmaster/task/*/children") {
    open my $children, '<', $task or next;
    push @pids, split ' ', <$children> // '';
  }
  return @pids;
}

until ($end) {
  for my $pid (children()) {
    my $kb = private_kb($pid) // next;
    $samples{$pid}++;
    next if $kb <= ($most{$pid} // -1);
    open my $cmdline, '<', "/proc/$pid/cmdline" or next;
    my $name = <$cmdline> // '';
    $name =~ s/\s*\0.*//s;
    $name = $pid == $postmaster ? 'postmaster' : $name =~ s/^postgres: //r;
    $name{$pid} = $name =~ /^(?:\S+ ){2}\[local\] (\w+)/ ? "session ($1)" : $name;
    $first{$pid} //= $kb;
    $most{$pid} = $kb;
  }
  sleep 0.5;
}
open my $out, '>', $file or die "$file: $!\n";
for my $pid (sort { $most{$b} <=> $most{$a} } keys %most) {
  printf $out "| %s | %d | %.1f MB | %.1f MB |\n", $name{$pid}, $samples{$pid}, $first{$pid} / 1024,
    $most{$pid} / 1024;
}
