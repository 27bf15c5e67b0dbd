#!/usr/bin/perl
# Holds the #include lines under src/ to the table of rooms (doc/architecture.md): which room may
# include which, which rooms know nothing of PostgreSQL, and that RocksDB stays in one room.
#
#   check_includes.pl [FOLDER]       checks src/, or the folder given
#   check_includes.pl --self-test    checks that violations are found
use strict;
use warnings;

my @below_engine = qw(base key alex block buffer cache store pg mvcc wal);
my %may_include = (
  base   => [],
  key    => ['base'],
  alex   => ['base'],
  block  => ['base'],
  buffer => [qw(base key alex)],
  cache  => ['base'],
  store  => [qw(base key block alex)],
  pg     => [qw(base key alex block buffer cache store)],
  mvcc   => [qw(base pg)],
  wal    => [qw(base buffer pg)],
  engine => [@below_engine],
  worker => [@below_engine],
  am     => [ @below_engine, 'engine' ],
  ''     => [ @below_engine, qw(engine worker am) ],    # src/omendb.cpp
);
my %is_pure = map { $_ => 1 } qw(base key alex block buffer cache store);

# Headers of the server by the folders that it has; anything else in quotes must be a room.
my $server_header =
  qr{^(?:postgres\w*\.h|fmgr\.h|c\.h|miscadmin\.h|pgstat\.h|funcapi\.h|varatt\.h|pg_\w+\.h|port\.h
      |(?:access|catalog|commands|common|executor|foreign|lib|libpq|mb|nodes|optimizer|parser
         |partitioning|port|portability|postmaster|replication|rewrite|statistics|storage|tcop
         |tsearch|utils|jit|datatype|bootstrap)/)}x;

sub room_of { return $_[0] =~ m{^([^/]+)/} ? $1 : '' }

# The include names of a file, in order.
sub includes_of {
  my ($text) = @_;
  my @names;
  while ($text =~ /^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]/mg) { push @names, [ $1, $2 ] }
  return @names;
}

# check({path => text}) returns the violations. Paths are relative to src/.
sub check {
  my ($files) = @_;
  my @errors;
  for my $path (sort keys %$files) {
    my $room = room_of($path);
    if (!$may_include{$room}) {
      push @errors, "$path: $room is not in the table of rooms";
      next;
    }
    my %allowed = map { $_ => 1 } $room, @{ $may_include{$room} };
    for (includes_of($files->{$path})) {
      my ($quote, $name) = @$_;
      my $target = room_of($name);
      if ($name =~ m{^rocksdb/}) {
        push @errors, "$path: only store may include $name" if $room ne 'store';
      } elsif ($may_include{$target} && exists $files->{$name}) {
        push @errors, "$path: $room may not include $name" if !$allowed{$target};
      } elsif ($name =~ $server_header) {
        push @errors, "$path: a pure room may not include $name" if $is_pure{$room};
      } elsif ($quote eq '"') {
        push @errors, "$path: $name is neither a header of a room nor one of the server";
      }
    }
    push @errors, "$path: does not include base/pure.h"
      if $is_pure{$room} && $path =~ /\.cpp$/ && !reaches($files, $path, 'base/pure.h', {});
  }
  return @errors;
}

sub reaches {
  my ($files, $from, $to, $seen) = @_;
  return 1 if $from eq $to;
  return 0 if $seen->{$from}++ || !exists $files->{$from};
  for (includes_of($files->{$from})) {
    return 1 if reaches($files, $_->[1], $to, $seen);
  }
  return 0;
}

sub slurp {
  my ($path) = @_;
  open my $file, '<', $path or die "$path: $!\n";
  local $/;
  return scalar <$file>;
}

sub self_test {
  my %good = (
    'base/pure.h'    => '',
    'base/status.h'  => qq(#include "base/pure.h"\n),
    'block/a.cpp'    => qq(#include <string>\n#include "base/status.h"\n),
    'store/b.h'      => '',
    'store/b.cpp'    => qq(#include "store/b.h"\n#include <rocksdb/db.h>\n#include "base/pure.h"\n),
    'engine/c.h'     => '',
    'wal/log.h'      => '',
    'worker/w.h'     => '',
    'am/d.cpp'       => qq(#include "engine/c.h"\nextern "C" {\n#include "access/xlog.h"\n}\n),
    'omendb.cpp'     => qq(#include "engine/c.h"\n#include "postgres.h"\n),
  );
  my %violations = (    # what is found: the file that is changed and its text
    'a room above'              => [ 'block/a.cpp', qq(#include "base/pure.h"\n#include "store/b.h"\n) ],
    'the server in a pure room' => [ 'store/b.h',   qq(#include "utils/rel.h"\n) ],
    'postgres.h in angles'      => [ 'store/b.h',   qq(#include <postgres.h>\n) ],
    'RocksDB elsewhere'         => [ 'engine/c.h',  qq(# include "rocksdb/db.h"\n) ],
    'the worker from the AM'    => [ 'am/d.cpp',    qq(#include "worker/w.h"\n) ],
    'no pure.h'                 => [ 'block/a.cpp', qq(#include <string>\n) ],
    'an unknown room'           => [ 'misc/e.h',    '' ],
    'an unknown header'         => [ 'engine/c.h',  qq(#include "nowhere.h"\n) ],
  );
  my $failed = 0;
  if (my @errors = check(\%good)) { print "self-test: refused what is right: @errors\n"; $failed = 1; }
  for my $name (sort keys %violations) {
    my ($path, $text) = @{ $violations{$name} };
    my @errors = check({ %good, $path => $text });
    if (@errors != 1 || $errors[0] !~ /^\Q$path\E:/) {
      print "self-test: $name: expected one error, found " . scalar(@errors) . " (@errors)\n";
      $failed = 1;
    }
  }
  print "self-test of the include check: ok\n" if !$failed;
  return $failed;
}

exit self_test() if @ARGV && $ARGV[0] eq '--self-test';

my $folder = @ARGV ? $ARGV[0] : 'src';
my %files;
for my $path (map { glob "$folder/$_" } qw(*.h *.cpp */*.h */*.cpp */*/*.h */*/*.cpp)) {
  $files{ substr $path, length("$folder/") } = slurp($path);
}
die "no sources under $folder\n" if !%files;
my @errors = check(\%files);
print map { "$folder/$_\n" } @errors;
print scalar(keys %files) . " files hold to the table of rooms\n" if !@errors;
exit(@errors ? 1 : 0);
