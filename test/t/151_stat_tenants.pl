# tenancy.stat_tenants: what each tenant's statements cost.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

my $node = tenancy_node('stat_tenants');
$node->append_conf('postgresql.conf', 'tenancy.stat_tenants_max = 4');
$node->start;
sub sql { return $node->safe_psql('postgres', join ";\n", @_) }
sub in_tenant { my ($tenant, @sql) = @_; return sql("BEGIN; SELECT tenant_use('$tenant')", @sql, 'COMMIT') }
sub seen { my ($tenant, $columns) = @_; return sql("SELECT $columns FROM tenancy.stat_tenants WHERE name = '$tenant'") }

sql('CREATE EXTENSION pg_tenancy',
	q{SELECT tenant_blueprint_add('b', 1, 'CREATE TABLE t (i int); CREATE TABLE copy (i int);
CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE format(''INSERT INTO %I.copy VALUES ($1)'', TG_TABLE_SCHEMA) USING NEW.i; RETURN NEW; END$$;
CREATE TRIGGER twice AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION twice()')},
	q{SELECT tenant_create('red', 'b'), tenant_create('blue', 'b')});
is(sql('SELECT count(*) FROM tenancy.stat_tenants'), 0, 'nothing before a tenant is used');
sql('SELECT 1', 'INSERT INTO tenant_red.t VALUES (0)');
is(sql('SELECT count(*) FROM tenancy.stat_tenants'), 0, 'statements without a tenant in use are nobody\'s');

in_tenant('red', 'INSERT INTO t SELECT generate_series(1, 10)', 'SELECT i FROM t LIMIT 3');
is(seen('red', 'calls, rows'), '2|13', 'statements and their rows, without what triggers ran');
is(seen('red', 'wal_records >= 20 AND wal_bytes > 20 * 30'), 't', 'the WAL of triggers is in it');
is(seen('red', 'total_time > 0 AND stats_since < now()'), 't', 'and so is time');
is(seen('blue', 'count(*)'), 0, 'none of it is the other tenant\'s');

in_tenant('blue', 'COPY (SELECT generate_series(1, 5)) TO STDOUT', 'SHOW work_mem', 'SAVEPOINT s', 'UPDATE t SET i = 1 WHERE false');
is(seen('blue', 'calls, rows, wal_records'), '2|5|0', 'COPY counts, bookkeeping does not');
in_tenant('blue', 'DECLARE c CURSOR FOR SELECT generate_series(1, 10)', 'FETCH 4 FROM c', 'FETCH 3 FROM c');
is(seen('blue', 'calls, rows'), '5|12', 'what a cursor gives');
$node->psql('postgres', "BEGIN; SELECT tenant_use('blue'); SELECT 1 / 0; ROLLBACK");
in_tenant('blue', 'SELECT 1', 'ROLLBACK; BEGIN');
is(seen('blue', 'calls'), '6', 'a failed statement is not counted, one that is rolled back is');
in_tenant('blue', "DO \$\$BEGIN PERFORM generate_series(1, 3); END\$\$");
is(seen('blue', 'calls'), '7', 'a block of code is one statement');
in_tenant('blue', q{SELECT tenant_use('red')}, 'SELECT 1');
is(seen('red', 'calls'), '4', 'the tenant of a statement is the one in use after it');

sql(q{SELECT tenant_rename('red', 'green')});
is(seen('green', 'calls'), '4', 'a new name takes its counters along');
sql('SET tenancy.track_tenants = off', q{BEGIN; SELECT tenant_use('green')}, 'SELECT 1', 'COMMIT');
is(seen('green', 'calls'), '4', 'off: nothing is counted');
sql(q{SELECT tenancy.stat_tenants_reset('green')});
is(sql(q{SELECT string_agg(name, ' ') FROM tenancy.stat_tenants}), 'blue', 'one is reset');
my ($code, undef, $err) = $node->psql('postgres', q{SELECT tenancy.stat_tenants_reset('nobody')}, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
like($err, qr/TN001/, 'an unknown one is not');

sql(map { "SELECT tenant_create('n$_', 'b')" } 1 .. 4);
in_tenant("n$_", 'SELECT 1') for 1 .. 4;
is(sql(q{SELECT string_agg(coalesce(name, 'others') || ' ' || calls, ', ' ORDER BY name) FROM tenancy.stat_tenants}), 'blue 7, n1 1, n2 1, others 2', 'no room: counted together');
sql(q{SELECT tenant_drop('n1', purge => true)});
in_tenant('n3', 'SELECT 1');
is(sql(q{SELECT string_agg(coalesce(name, 'others') || ' ' || calls, ', ' ORDER BY name) FROM tenancy.stat_tenants}), 'blue 7, n2 1, others 3', 'the others stay together');
sql('SELECT tenancy.stat_tenants_reset()');
is(sql('SELECT count(*) FROM tenancy.stat_tenants'), 0, 'all are reset');
in_tenant('n3', 'SELECT 1');
is(seen('n3', 'calls'), 1, 'and there is room again');
sql('CREATE DATABASE other');
$node->safe_psql('other', q{CREATE EXTENSION pg_tenancy; SELECT tenant_blueprint_add('b', 1, 'SELECT 1'); SELECT tenant_create('n3', 'b'); BEGIN; SELECT tenant_use('n3'); SELECT 1; COMMIT});
is(seen('n3', 'calls'), 1, 'another database counts for itself');
is($node->safe_psql('other', 'SELECT name, calls FROM tenancy.stat_tenants'), 'n3|1', 'and sees its own');
$node->stop;
done_testing();
