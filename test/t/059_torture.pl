# Torture: writers go on while everything else dies, stalls and lies.  A short run with fixed cards; test/torture makes it long.
#
# SEED: what everything is drawn from (random).  ROUNDS: rounds with cards from the whole deck instead of the fixed ones.
# SECONDS: no round begins later than that.  HOLD: seconds to wait before the servers end after a failure.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyActors;
use TenancyTorture;

need_servers('elasticsearch7', 'redis');
my $seed = $ENV{SEED} // int rand 1_000_000;
my $rounds = $ENV{ROUNDS} // 0;
my $seconds = $ENV{SECONDS} // 600;
my @short = ([ 'search drop_reply', 'search late', 'kill search', 'redis drop_reply', 'search status429', 'end capture' ],
	[ 'search stall', 'redis hangs', 'immediate', 'search reset', 'search half_close', 'kill cache' ]);

# To whoever watches, and into the test's output.
sub report
{
	my ($text) = @_;
	note($text);
	return unless $ENV{PROGRESS};
	open(my $file, '>>', $ENV{PROGRESS}) or return;
	print $file "$text\n";
	close $file;
	return;
}

report("seed $seed");
my @decks = $rounds ? deal($rounds) : @short;
my $torture = TenancyTorture->new(seed => $seed, report => \&report);
my $started = time;
for my $cards (@decks)
{
	last if time - $started > $seconds;
	my $wrong = $torture->round(cards => $cards, seconds => 5, $rounds ? () : (hold => 0.7, writers => 2));
	next if ok($wrong eq '', join(', ', @$cards));
	report("seed $seed: $wrong");
	diag("seed $seed\n$wrong");
	sleep($ENV{HOLD} // 0);
	last;
}
cmp_ok($torture->{rows} // 0, '>', 0, 'rows were compared');
report(sprintf 'seed %d: %d rows compared, %d letters, %d cached; memory: %s', $seed, map({ $torture->{$_} // 0 } qw(rows letters cached)), eval { $torture->memory } // '?');
done_testing();

# Hands of three cards, each card of the deck once before any comes again.
sub deal
{
	my ($n) = @_;
	my (@cards, @hands);
	for my $round (1 .. $n)
	{
		@cards = stir("$seed deck $round", TenancyTorture::deck()) if @cards < 3;
		push @hands, [ splice @cards, 0, 3 ];
	}
	return @hands;
}
