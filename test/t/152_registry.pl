# What sessions believe about tenants comes from the extension's own registry, and tenants that are stopped can be dumped and restored.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

my $node = tenancy_node('registry');
$node->start;
sub sql { return $node->safe_psql('postgres', join ";\n", @_) }

# A table of that name in a database without the extension, made by somebody who may make schemas there.
sql('CREATE ROLE bob LOGIN', 'CREATE ROLE app LOGIN', 'CREATE DATABASE other', 'GRANT CREATE ON DATABASE other TO bob');
my $other = sub { my ($user, $sql) = @_; return [ $node->psql('other', $sql, extra_params => [ '-U', $user ]) ] };
$node->safe_psql('other', 'CREATE TABLE public.t AS SELECT 1 AS i; GRANT SELECT ON t TO app; LOAD \'pg_tenancy\'');
$other->('bob', q{CREATE SCHEMA tenancy; GRANT USAGE ON SCHEMA tenancy TO PUBLIC;
CREATE TABLE tenancy.tenant (schema_name name CONSTRAINT tenant_schema_name_key UNIQUE, status bigint, name bigint, frozen bool);
CREATE INDEX tenant_restricted ON tenancy.tenant (status);
INSERT INTO tenancy.tenant VALUES ('public', 4096, 4096, true)});
is($other->('app', 'SELECT i FROM public.t')->[1], 1, 'a table of the same name says nothing');
$node->safe_psql('other', q{DROP TABLE tenancy.tenant; CREATE TABLE tenancy.tenant (name text)});
is($other->('app', 'SELECT i FROM public.t')->[1], 1, 'nor one that looks quite different');
$node->safe_psql('other', 'SET tenancy.require_context = on; SELECT i FROM public.t');

# Stopped tenants in a dump.
sql('CREATE EXTENSION pg_tenancy', q{SELECT tenant_blueprint_add('b', 1, 'CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent)')},
	map { ("SELECT tenant_create('$_', 'b')", "INSERT INTO tenant_$_.parent VALUES (1), (2)", "INSERT INTO tenant_$_.child VALUES (1)") } qw(blocked reading frozen));
sql(q{SELECT tenant_suspend('blocked', 'blocked', 'why not')}, q{SELECT tenant_suspend('reading', 'read_only')},
	q{SELECT tenant_blueprint_add('case_studies', 2, 'SELECT 1')}, q{CALL tenancy.usage_refresh(true)}, q{SELECT tenant_quota_set('frozen', 'bytes', 1)});
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'they can be dumped');
sql('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'and restored');
my $restored = sub { return $node->safe_psql('restored', join ";\n", @_) };
is($restored->("SELECT string_agg(name || ' ' || status || ' ' || frozen, ', ' ORDER BY name) FROM tenancy.tenant"), 'blocked suspended false, frozen active true, reading read_only false', 'as what they were');
is($restored->("SELECT count(*) FROM tenant_$_.parent, tenant_$_.child"), 2, "$_: all rows") for qw(blocked reading frozen);
is($restored->("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text LIKE 'tenant_%child'"), 3, 'and foreign keys');
is($restored->(q{SELECT string_agg(version || ' ' || length(sql), ', ' ORDER BY version) FROM tenancy.blueprint_step WHERE blueprint = 'case_studies' AND version > 1}), '2 8', 'and the steps that were added to the shipped blueprint');
is($restored->('SELECT resource, hard FROM tenancy.quotas'), 'bytes|1', 'and the quota');
my ($code, undef, $err) = $node->psql('restored', q{GRANT USAGE ON SCHEMA tenant_reading TO app; GRANT ALL ON tenant_reading.child TO app; SET ROLE app; DELETE FROM tenant_reading.child});
like($err, qr/tenant "reading" is read-only/, 'and they are what they say');

# A status that is changed by hand is heard of.
my $app = $node->background_psql('restored', on_error_stop => 0);
$app->query('SET tenancy.allow_suspended = off');
is($app->query('SELECT count(*) FROM tenant_reading.child'), 1, 'a session reads');
$restored->(q{UPDATE tenancy.tenant SET status = 'suspended' WHERE name = 'reading'});
$app->query('SELECT count(*) FROM tenant_reading.child');
like($app->{stderr}, qr/tenant "reading" is suspended/, 'until it is told');
$app->quit;
$node->stop;
done_testing();
