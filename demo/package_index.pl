#!/usr/bin/perl
# Debian package lists (Packages files, on standard input) as rows for COPY into package, in the
# order of the columns below; the first is a running number.
use strict;
use warnings;

my @columns = qw(Package Version Architecture Section Priority Installed-Size Size Maintainer
  Depends Homepage Filename Description);
local $/ = '';    # one stanza at a time
my $id = 0;
while (my $stanza = <STDIN>) {
  my %field;
  while ($stanza =~ /^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t].*)*)/mg) { $field{$1} = $2 }
  next if !defined $field{Package};
  my @row = ++$id;
  for my $column (@columns) {
    my $value = $field{$column};
    if (defined $value) {
      $value =~ s/\\/\\\\/g;
      $value =~ s/\t/\\t/g;
      $value =~ s/\n/\\n/g;
      $value =~ s/\r/\\r/g;
    }
    push @row, $value // '\N';
  }
  print join("\t", @row), "\n";
}
