# What the TAP tests use: `use TenancyTest;` brings PostgreSQL nodes with the extension, the real servers, the
# comparer, and ways to wait.

package TenancyTest;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes qw(sleep time);
use Test::More ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyServers;
use TenancyCompare;

our @EXPORT = (
	qw(tenancy_node need_servers each_product wait_until sync_wait redis_cmd worker_pids kill_worker),
	@TenancyCompare::EXPORT);

# tenancy_node(NAME [, search => ..., redis => ..., preload => 0, wal_level => 'replica', conf => TEXT]):
# a PostgreSQL, made and not started, with the library preloaded and the sinks' URLs set.
sub tenancy_node
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $wal_level = $option{wal_level} // 'logical';
	$node->init(allows_streaming => $wal_level eq 'logical' ? 'logical' : 1);
	my $conf = <<"CONF";
wal_level = $wal_level
shared_buffers = 32MB
max_connections = 100
max_worker_processes = 24
restart_after_crash = on
log_statement = none
log_min_messages = info
max_wal_size = 1GB
CONF
	$conf .= "shared_preload_libraries = 'pg_tenancy'\n" if $option{preload} // 1;
	$conf .= $option{search}->settings if $option{search};
	$conf .= $option{redis}->settings if $option{redis};
	$node->append_conf('postgresql.conf', $conf . ($option{conf} // ''));
	return $node;
}

# Skips the whole test file where a server can't be had; with TENANCY_REQUIRE_SERVERS set it fails instead.
# need_servers('elasticsearch7', 'redis', 'pgbouncer')
sub need_servers
{
	for my $name (@_)
	{
		my $there = $name eq 'redis' || $name eq 'valkey' ? TenancyRedis->available($name)
		  : $name eq 'pgbouncer' ? TenancyBouncer->available
		  : TenancySearch->available($name);
		next if $there;
		die "$name can't be had here\n" if $ENV{TENANCY_REQUIRE_SERVERS};
		Test::More::plan(skip_all => "$name can't be had here");
	}
	return;
}

# each_product(CODE, MUST, MAY...): starts search servers one after the other and calls CODE with its name and itself.  Those
# that may be there are used only where they are in the cache already: nobody fetches them for this.
sub each_product
{
	my ($code, $must, @may) = @_;
	my ($cache) = grep { defined && -d } $ENV{PG_TENANCY_CACHE}, '/var/cache/pg_tenancy', "$ENV{HOME}/.cache/pg_tenancy";
	for my $product ($must, grep { $cache && glob("$cache/$_-*/.complete") } @may)
	{
		my $search = eval { TenancySearch->start($product) };
		if (!$search)
		{
			Test::More::diag("$product does not start here: $@");
			Test::More::fail("$product starts") if $product eq $must || $ENV{TENANCY_REQUIRE_SERVERS};
			next;
		}
		$code->($product, $search);
		$search->stop;
	}
	return;
}

# wait_until(CODE [, SECONDS]): the code's value once it is true, its last one when the time is over.
sub wait_until
{
	my ($code, $seconds) = @_;
	my $deadline = time + ($seconds // 30);
	my $value;
	until ($value = $code->())
	{
		last if time > $deadline;
		sleep 0.1;
	}
	return $value;
}

# True if everything committed until now is in every sink within SECONDS (30).
sub sync_wait
{
	my ($node, $database, $seconds) = @_;
	$seconds //= 30;
	return $node->safe_psql($database, "SELECT tenancy.sync_wait('$seconds s')") eq 't';
}

# redis_cmd(REDIS, WORD...): reply of one command.
sub redis_cmd
{
	my ($redis, @words) = @_;
	return $redis->cmd(@words);
}

# Pids of the background workers whose backend_type is like the pattern.
sub worker_pids
{
	my ($node, $pattern) = @_;
	return split /\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type LIKE '$pattern' ORDER BY pid");
}

# kill -9 of the only worker of a type; true once the server has a new worker of that type, or of another one that is always
# there: the old ones are listed until the postmaster hears of the death, and the server answers until then.
sub kill_worker
{
	my ($node, $type, $always) = @_;
	$always //= $type;
	my ($before) = worker_pids($node, $always);
	my ($killed) = worker_pids($node, $type) or return 0;
	kill 'KILL', $killed;
	return wait_until(sub { my @now = eval { worker_pids($node, $always) }; @now == 1 && $now[0] ne $before }, 60);
}

1;
