#!/usr/bin/perl
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# Peer: AnyEvent::Fork::RPC, on libev, with its sequential backend and its serialiser of strings,
# which are the cheapest it has. Called as a case in C is (case.h); the variant is `echo`.

use strict;
use warnings;

use EV;
use AnyEvent;
use AnyEvent::Fork;
use AnyEvent::Fork::RPC;
use Getopt::Long;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($count, $warm_up, $in_flight, $resident_mb) = (100, 10, 1, 0);
GetOptions ('count=i' => \$count, 'warm-up=i' => \$warm_up, 'in-flight=i' => \$in_flight,
            'resident-mb=i' => \$resident_mb)
   or exit 2;
my $variant = shift // 'echo';
die "no such variant\n" if $variant ne 'echo';

my $ballast = 'x' x ($resident_mb * 1024 * 1024);
my $bytes = "\x5a" x 64;

sub now { int (1e9 * clock_gettime CLOCK_MONOTONIC) }

my $rpc = AnyEvent::Fork
   ->new
   ->eval ('sub echo { $_[0] }')
   ->AnyEvent::Fork::RPC::run ('echo', on_error => sub { print STDERR "$_[0]\n"; exit 1 });

# Returns how long all of them took, then how long each did.
sub run_calls {
   my ($count) = @_;
   my ($n_begun, @latencies) = (0);
   my $all_done = AE::cv;
   my $began = now;

   my $begin;
   $begin = sub {
      my $one_began = now;
      $n_begun++;
      $rpc->($bytes, sub {
         die "a wrong result\n" if $_[0] ne $bytes;
         push @latencies, now () - $one_began;
         return $all_done->send if @latencies == $count;
         $begin->() if $n_begun < $count;
      });
   };

   $begin->() for 1 .. ($in_flight < $count ? $in_flight : $count);
   $all_done->recv;
   undef $begin;
   return (now () - $began, @latencies);
}

# libev would swallow what dies in a callback, and wait for ever.
$EV::DIED = sub { print STDERR $@; exit 1 };

run_calls $warm_up if $warm_up;
my ($elapsed, @latencies) = run_calls $count;
print "elapsed-ns $elapsed\n";
print join (' ', 'latency-ns', @latencies), "\n";
