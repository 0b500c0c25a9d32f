#!/usr/bin/perl
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# Peer: AnyEvent::Fork, on libev. Called as a case in C is (case.h); variants `new` and `exec`.
#
# Processes run CORE::exit, as in the benchmark that its own manual describes. With `new` they are
# forks of the default template, and how they ended the caller is not told; with `exec` each is a
# new interpreter and a child of the caller, which waits for it. The status means nothing, since
# CORE::exit takes it from the socket that it is called with.

use strict;
use warnings;

use EV;
use AnyEvent;
use AnyEvent::Fork;
use Getopt::Long;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($count, $warm_up, $in_flight, $resident_mb) = (100, 10, 1, 0);
GetOptions ('count=i' => \$count, 'warm-up=i' => \$warm_up, 'in-flight=i' => \$in_flight,
            'resident-mb=i' => \$resident_mb)
   or exit 2;
my $variant = shift // 'new';

my $ballast = 'x' x ($resident_mb * 1024 * 1024);

sub now { int (1e9 * clock_gettime CLOCK_MONOTONIC) }

# Calls back at the end of file.
sub on_eof {
   my ($socket, $callback) = @_;

   my $watcher;
   $watcher = AE::io $socket, 0, sub {
      my $n_read = sysread $socket, my $buffer, 1;
      return if !defined $n_read && ($!{EINTR} || $!{EAGAIN});
      die "a process was to end, and did not\n" if !defined $n_read || $n_read;
      undef $watcher;
      $callback->();
   };
}

# Calls back when the process has ended, and when it is a child has been waited for.
sub create {
   my ($callback) = @_;

   my $process = $variant eq 'exec' ? AnyEvent::Fork->new_exec : AnyEvent::Fork->new;
   my $n_awaited = 1;
   my $ended = sub { $callback->() if --$n_awaited == 0 };

   if (my $pid = $process->pid) {
      my $watcher;
      $n_awaited++;
      $watcher = AE::child $pid, sub {
         undef $watcher;
         $ended->();
      };
   }

   $process->run ('CORE::exit', sub { on_eof ($_[0], $ended) });
}

# Returns how long all of them took, then how long each did, in the order in which they ended.
sub run_creations {
   my ($count) = @_;
   my ($n_begun, @latencies) = (0);
   my $all_done = AE::cv;
   my $began = now;

   my $begin;
   $begin = sub {
      my $one_began = now;
      $n_begun++;
      create sub {
         push @latencies, now () - $one_began;
         return $all_done->send if @latencies == $count;
         $begin->() if $n_begun < $count;
      };
   };

   $begin->() for 1 .. ($in_flight < $count ? $in_flight : $count);
   $all_done->recv;
   undef $begin;
   return (now () - $began, @latencies);
}

# libev would swallow what dies in a callback, and wait for ever.
$EV::DIED = sub { print STDERR $@; exit 1 };

run_creations $warm_up if $warm_up;
my ($elapsed, @latencies) = run_creations $count;
print "elapsed-ns $elapsed\n";
print join (' ', 'latency-ns', @latencies), "\n";
