# Redis fails over behind an address that stays: worker and sessions leave the one that has become a replica, and no old value survives.

use strict;
use warnings;
use Test::More;
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my ($first, $second) = map { TenancyRedis->start } 1 .. 2;

# The address: each new connection goes to the port in a file.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 50, ReuseAddr => 1) or die $!;

# Has the address lead to a server from now on.
sub lead_to
{
	my ($redis) = @_;
	open(my $file, '>', "$dir/port.new") or die $!;
	print $file $redis->port;
	close $file;
	rename("$dir/port.new", "$dir/port") or die $!;
	return;
}

# Carries one connection until an end closes it.
sub carry
{
	my ($client) = @_;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => slurp_file("$dir/port")) or return;
	my $select = IO::Select->new($client, $server);
	while (my @ready = $select->can_read)
	{
		for my $from (@ready)
		{
			my $to = $from == $client ? $server : $client;
			sysread($from, my $bytes, 65536) or return;
			syswrite($to, $bytes) == length $bytes or return;
		}
	}
	return;
}

lead_to($first);
my $forwarder = fork // die $!;
if ($forwarder == 0)
{
	setpgrp;
	$SIG{CHLD} = 'IGNORE';
	while (my $client = $socket->accept)
	{
		next if fork;
		carry($client);
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}
END { local $?; kill 'TERM', -$forwarder if $forwarder }

# Makes a server the other one's replica.
sub replicate
{
	my ($replica, $primary) = @_;
	redis_cmd($primary, 'REPLICAOF', 'NO', 'ONE');
	redis_cmd($replica, 'REPLICAOF', '127.0.0.1', $primary->port);
	return;
}
sub in_step { my ($replica) = @_; return wait_until(sub { redis_cmd($replica, 'INFO', 'replication') =~ /master_link_status:up/ }, 60) }

my $node = tenancy_node('failover', conf => "tenancy.redis_url = 'redis://127.0.0.1:" . $socket->sockport . "/0'\ntenancy.retry_max = 1s\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}']);
SELECT tenant_create('one', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 20) g;
SQL
my $reader = $node->background_psql('postgres', on_error_stop => 0);
my $all = q{BEGIN; SELECT FROM tenant_use('one'); SELECT string_agg(tenant_cache_fetch('item:' || id, 'SELECT to_jsonb(n) FROM item WHERE id = ' || id)::text, ' ' ORDER BY id) FROM item; COMMIT;};
sub sink_state { return $node->safe_psql('postgres', q{SELECT state || ': ' || coalesce(last_error, '') FROM tenancy.stat_sync WHERE sink = 'cache'}) }
sub stored { my ($redis) = @_; return scalar grep { !/#/ } $redis->keys('tenant:one:item:*') }
sub stores { my ($redis, $name) = @_; return ok(wait_until(sub { $reader->query($all); stored($redis) == 20 }, 60), "$name: values are stored") }
replicate($second, $first);
ok(in_step($second), 'there is a replica');
ok(sync_wait($node, 'postgres', 60), 'start');
stores($first, 'first');
ok(wait_until(sub { stored($second) == 20 }, 30), 'the replica has them');

# Writers go on through all of it.
my $writes = q{DO $$ BEGIN FOR i IN 1 .. 3000 LOOP UPDATE tenant_one.item SET n = n + 1 WHERE id = 1 + i % 20; COMMIT; PERFORM pg_sleep(0.002); END LOOP; END $$};
my $writer = IPC::Run::start([ 'psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c', $writes ], '<', \'', '>', \my $out, '2>', \my $err);
sleep 2;
replicate($first, $second);
ok(wait_until(sub { sink_state() =~ /unreachable: .*replica/ }, 60), 'the address leads to a replica: the view says so');
$reader->query($all) for 1 .. 20;
lead_to($second);
ok(wait_until(sub { sink_state() =~ /^running/ && @{ redis_cmd($second, 'KEYS', 'tenant:#mark:*') } }, 60), 'it leads to the new one: the worker is there');
$reader->query($all) for 1 .. 50;
$writer->finish;
is($err, '', 'no writer had an error');
ok(sync_wait($node, 'postgres', 60), 'all changes are in the new one');
my $right = $node->safe_psql('postgres', q{SELECT string_agg(n::text, ' ' ORDER BY id) FROM tenant_one.item});
stores($second, 'second');
is($reader->query($all) =~ s/^\s+|\s+$//gr, $right, 'a session reads what is right');
is(join(' ', map { redis_cmd($second, 'GET', "tenant:one:item:$_") } 1 .. 20), $right, 'and no old value is left');
$reader->quit;
$node->stop;
done_testing();
