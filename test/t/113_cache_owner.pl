# A name that is given to another tenant: nobody reads the earlier one's values, on a standby or after COMMIT PREPARED either.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $redis = TenancyRedis->start;
my $node = tenancy_node('owner', redis => $redis, conf => "max_prepared_transactions = 2\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items']);
SELECT tenant_create('one', 'box'), tenant_create('two', 'box');
SQL
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('reads');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;

# In a transaction that uses a tenant, on a server.
sub as
{
	my ($server, $tenant, $sql) = @_;
	return $server->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('$tenant'); $sql; COMMIT") =~ s/\s//gr;
}
my $get = q{SELECT coalesce(tenant_cache_get('secret')::text, 'none')};
my $fetch = q{SELECT tenant_cache_fetch('secret', 'SELECT to_jsonb(5)')};
sub set { my ($tenant, $value) = @_; return as($node, $tenant, "SELECT tenant_cache_set('secret', '$value')") }
sub settled { my ($name) = @_; ok(sync_wait($node, 'postgres', 60), "$name: in the sink"); $node->wait_for_catchup($standby); return }
sub mine { my ($name) = @_; return ok(wait_until(sub { set('two', 7) eq 't' }, 30), "$name: then it stores its own") && is(as($standby, 'two', $get), 7, "$name: and the standby finds it") }
sub sink { return worker_pids($node, 'pg_tenancy cache sink') }
settled('start');
ok(wait_until(sub { set('two', 1) eq 't' }, 30), 'a value is stored');
is(as($_, 'two', $get), 1, $_->name . ': it is found') for $node, $standby;
my $open = $standby->background_psql('postgres');
is($open->query("BEGIN; SELECT FROM tenant_use('two'); $get; COMMIT;") =~ s/\s//gr, 1, 'and by a session that stays');

# Dropped and made again: a standby.
kill 'STOP', my ($worker) = sink();
$node->safe_psql('postgres', q{SELECT tenant_drop('two')});
$node->safe_psql('postgres', q{SELECT tenant_create('two', 'box')});
$node->wait_for_catchup($standby);
is(redis_cmd($redis, 'GET', 'tenant:two:secret'), 1, 'made again: the value is still there');
is(as($_, 'two', $get), 'none', $_->name . ': and not found') for $node, $standby;
is(as($standby, 'two', $fetch), 5, 'nor by a fetch');
is($open->query("BEGIN; SELECT FROM tenant_use('two'); $get; COMMIT;") =~ s/\s//gr, 'none', 'nor by the session that has stayed');
is(redis_cmd($redis, 'GET', 'tenant:two:secret'), 1, 'which has not stored its own');
kill 'CONT', $worker;
settled('made again');
mine('made again');

# Dropped and made again by a prepared transaction.
$node->safe_psql('postgres', q{BEGIN; SELECT tenant_drop('two'); SELECT tenant_create('two', 'box'); PREPARE TRANSACTION 'swap'});
$node->safe_psql('postgres', 'INSERT INTO tenant_one.item VALUES (1, 1)');
settled('prepared');
kill 'STOP', ($worker) = sink();
$node->safe_psql('postgres', q{COMMIT PREPARED 'swap'});
$node->wait_for_catchup($standby);
is(as($_, 'two', $get), 'none', $_->name . ': prepared: not found') for $node, $standby;
is(as($node, 'two', $fetch), 5, 'prepared: nor by a fetch');
is(redis_cmd($redis, 'GET', 'tenant:two:secret'), 7, 'prepared: nothing else is stored');
kill 'CONT', $worker;
settled('prepared');
mine('prepared');

# Another tenant gets the name of one that is gone.
ok(wait_until(sub { set('one', 3) eq 't' }, 30), 'another tenant has a value');
is($open->query("BEGIN; SELECT FROM tenant_use('one'); $get; COMMIT;") =~ s/\s//gr, 3, 'which a session finds');
kill 'STOP', ($worker) = sink();
$node->safe_psql('postgres', q{SELECT tenant_drop('two')});
$node->safe_psql('postgres', q{SELECT tenant_rename('one', 'two')});
$node->wait_for_catchup($standby);
is(as($_, 'two', $get), 'none', $_->name . ': renamed: not found') for $node, $standby;
is($open->query("BEGIN; SELECT FROM tenant_use('two'); $get; COMMIT;") =~ s/\s//gr, 'none', 'renamed: nor by that session');
kill 'CONT', $worker;
settled('renamed');
mine('renamed');
is(redis_cmd($redis, 'GET', 'tenant:two:#owner'), $node->safe_psql('postgres', q{SELECT id FROM tenancy.tenants WHERE name = 'two' AND status = 'active'}), 'whose it is');

# What another client has stored is for everybody.
redis_cmd($redis, 'DEL', 'tenant:two:#owner');
redis_cmd($redis, 'SET', 'tenant:two:secret', '8');
is(as($_, 'two', $get), 8, $_->name . ': a plain value is found') for $node, $standby;

# A clock that was forward for a while, and is set back: what had expired by it has not, and is in no set any more.
is(as($node, 'two', q{SELECT tenant_cache_set('list', '1', tags => '{items}')}), 't', 'clock: a value with a tag');
redis_cmd($redis, 'ZADD', $_, 1, 'tenant:two:list') for 'tenant:two:#tag:', 'tenant:two:#tag:items';
is(as($node, 'two', q{SELECT tenant_cache_set('other', '1', tags => '{items}')}), 't', 'clock: a fill takes it out of the sets');
is(redis_cmd($redis, 'ZSCORE', 'tenant:two:#tag:items', 'tenant:two:list'), undef, 'clock: it is in none');
is(redis_cmd($redis, 'GET', 'tenant:two:list'), undef, 'clock: and is gone too');
is(as($node, 'two', q{SELECT tenant_cache_set('list', '1', tags => '{items}')}), 't', 'clock: stored again');
redis_cmd($redis, 'ZADD', 'tenant:two:#tag:items', 1, 'tenant:two:list');
is(as($node, 'two', q{SELECT tenant_cache_set('other', '1', tags => '{items}')}), 't', 'an old score in one set only');
is(redis_cmd($redis, 'GET', 'tenant:two:list'), 1, 'does not take a value away');
$open->quit;
$standby->stop;
$node->stop;
done_testing();
