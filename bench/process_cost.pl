#!/usr/bin/perl
# process_cost.pl DATA-DIRECTORY PREFIX, process ids on standard input: one line of a markdown table.
use strict;
use warnings;

my ($data, $prefix) = @ARGV;
my ($processes, $private, $files, %deleted) = (0, 0, 0);
while (my $pid = <STDIN>) {
  chomp $pid;
  open my $rollup, '<', "/proc/$pid/smaps_rollup" or next;
  while (<$rollup>) { $private += $1 if /^Private_(?:Clean|Dirty):\s+(\d+) kB/ }
  $processes++;
  for my $fd (glob "/proc/$pid/fd/*") {
    $files++;
    my $target = readlink $fd;
    next if !defined $target || $target !~ /^\Q$data\E.* \(deleted\)$/;
    my ($device, $inode, $blocks) = (stat $fd)[ 0, 1, 12 ];
    $deleted{"$device $inode"} = ($blocks // 0) * 512 if defined $inode;
  }
}
die "no processes\n" if !$processes;
my $held = 0;
$held += $_ for values %deleted;
printf "%s | %d | %.0f kB | %.1f | %d | %.1f MB |\n", $prefix, $processes, $private / $processes,
  $files / $processes, scalar keys %deleted, $held / 1e6;
