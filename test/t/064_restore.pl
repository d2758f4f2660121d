# Restores: the database goes back in time, the search server does not, and in the end the indices agree with the tables.

use strict;
use warnings;
use Test::More;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->start;
my $primary = tenancy_node('origin', search => $search, redis => $redis);
$primary->enable_archiving;
$primary->start;

sub sql { return $primary->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($primary, 'postgres', $search, @_) }
sub epoch { return sql('SELECT epoch FROM tenancy.instance') }

# Highest epoch of any document.
sub epoch_of_index
{
	my ($status, $reply) = $search->request('POST', '/*_tenant_*/_search', { size => 5000, version => JSON::PP::true(), _source => JSON::PP::false() });
	my $most = 0;
	for (@{ $reply->{hits}{hits} }) { my $epoch = int($_->{_version} / 2**52); $most = $epoch if $epoch > $most }
	return $most;
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('thing', 1, 'CREATE TABLE thing (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, n int)');
SELECT tenant_sync_table('thing', 'thing', 'thing', cache_tags => '{things}');
SELECT tenant_create(n, 'thing') FROM unnest(ARRAY['one', 'two', 'three']) n;
INSERT INTO tenant_one.thing (name, n) SELECT 'one ' || n, n FROM generate_series(1, 600) n;
INSERT INTO tenant_two.thing (name, n) SELECT 'two ' || n, n FROM generate_series(1, 300) n;
INSERT INTO tenant_three.thing (name, n) SELECT 'three ' || n, n FROM generate_series(1, 100) n;
SQL
agrees('start');

# An older base backup, restored from the archive onto the same search server, twice.
$primary->backup('older');
sql(q{INSERT INTO tenant_one.thing (name, n) VALUES ('in the archive', 1)}, 'SELECT pg_switch_wal()');
my $target = sql('SELECT pg_current_wal_lsn()');
sql(q{INSERT INTO tenant_one.thing (name, n) SELECT 'newer ' || n, n FROM generate_series(1, 50) n; UPDATE tenant_two.thing SET name = 'newer'; DELETE FROM tenant_one.thing WHERE name LIKE 'one 5__'}, 'SELECT pg_switch_wal()');
agrees('before the restore');
$primary->stop;
my $origin = $primary;
for my $name ('restored', 'restored_again')
{
	my $earlier = epoch_of_index();
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init_from_backup($origin, 'older', has_restoring => 1, standby => 0);
	$node->append_conf('postgresql.conf', "recovery_target_lsn = '$target'\nrecovery_target_action = promote");
	$node->start;
	ok($node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), "$name: recovered");
	$primary = $node;
	sql(q{UPDATE tenant_two.thing SET name = name || '.'});
	agrees("$name");
	is($search->count('thing_tenant_one'), sql('SELECT count(*) FROM tenant_one.thing'), "$name: newer documents are gone");
	cmp_ok(epoch(), '>', $earlier, "$name: the epoch is above all that was given out");
	is(state_of($primary, 'postgres', 'search'), 'running', "$name: running");
	sql(q{UPDATE tenant_one.thing SET name = 'another future ' || n WHERE n < 60});
	agrees("$name: and on");
	$primary->stop if $name eq 'restored';
}

# A copy of the data directory is put back: same timeline, same slot.  Nothing tells, until a version does.
my $copy = $primary->data_dir . '_copy';
$primary->stop;
PostgreSQL::Test::RecursiveCopy::copypath($primary->data_dir, $copy);
chmod 0700, $copy;
$primary->start;
sql(q{UPDATE tenant_one.thing SET name = 'undone ' || n WHERE n > 100}, q{INSERT INTO tenant_one.thing (name) SELECT 'undone' FROM generate_series(1, 30)});
agrees('before the copy is put back');
my $before = epoch();
$primary->stop('immediate');
rename $primary->data_dir, $primary->data_dir . '_gone' or die $!;
rename $copy, $primary->data_dir or die $!;
my $offset = -s $primary->logfile;
$primary->start;
sql(q{UPDATE tenant_one.thing SET name = 'changed' WHERE n = 101});
ok(wait_until(sub { state_of($primary, 'postgres', 'search') eq 'version_regressed' }, 60), 'copy put back: version_regressed') or diag(sql('TABLE tenancy.stat_sync'));
like(slurp_file($primary->logfile, $offset), qr/WARNING:  index "thing_tenant_one" has a document with version \d+, which this database never gave/, 'copy put back: the log has a warning');
like(slurp_file($primary->logfile, $offset), qr/HINT:.*tenancy\.raise_epoch/, 'copy put back: and says what to do');
cmp_ok(sql('SELECT count(*) FROM tenancy.dead_letter WHERE status = 409'), '>', 0, 'copy put back: dead letters');
sql(q{INSERT INTO tenant_three.thing (name) VALUES ('not in the way')});
ok(sync_wait($primary, 'postgres', 60), 'copy put back: others go on');
is(state_of($primary, 'postgres', 'search'), 'version_regressed', 'copy put back: the alarm stays');
$primary->safe_psql('postgres', 'CREATE ROLE operator LOGIN; GRANT tenancy_operator TO operator');
is($primary->safe_psql('postgres', 'SELECT tenancy.raise_epoch()', extra_params => [ '-U', 'operator' ]), $before + 1, 'copy put back: an operator raises the epoch');
ok(wait_until(sub { sql('SELECT count(*) FROM tenancy.instance WHERE slot IS NOT NULL') == 1 }, 60), 'copy put back: noticed');
agrees('copy put back: the epoch raised');
is(state_of($primary, 'postgres', 'search'), 'running', 'copy put back: no alarm any more');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'copy put back: no dead letter is left');

# A document with a version far beyond; the epoch goes above it, but not above the highest there is.
my $id = sql(q{SELECT id FROM tenant_three.thing LIMIT 1});
my $far = (40 << 52) + 7;
is(($search->raw('PUT', "/thing_tenant_three/_doc/$id?version=$far&version_type=external_gte", '{}'))[0], 200, 'far ahead: somebody writes a document');
sql("UPDATE tenant_three.thing SET name = 'mine' WHERE id = '$id'");
ok(wait_until(sub { state_of($primary, 'postgres', 'search') eq 'version_regressed' }, 60), 'far ahead: version_regressed');
is(sql('SELECT tenancy.raise_epoch()'), 41, 'far ahead: the epoch goes above it');
ok(wait_until(sub { sql('SELECT count(*) FROM tenancy.instance WHERE slot IS NOT NULL') == 1 }, 60), 'far ahead: noticed');
agrees('far ahead');
sql('UPDATE tenancy.instance SET epoch = 2047');
my ($status, undef, $errors) = $primary->psql('postgres', q{\set VERBOSITY verbose
SELECT tenancy.raise_epoch()});
like($errors, qr/22003: the epoch cannot be raised above 2047/, 'the last epoch') or diag($errors);
$primary->stop;
done_testing();
