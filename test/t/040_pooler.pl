# Behind a PgBouncer that pools by transaction, a tenant never leaks from one client to the next.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('pgbouncer');
my $node = tenancy_node('pooler', preload => 0);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('one'), tenant_create('two');
INSERT INTO tenant_one.case_studies (title) VALUES ('of one');
INSERT INTO tenant_two.case_studies (title) VALUES ('of two');
SQL
my $bouncer = TenancyBouncer->start($node, 'default_pool_size = 1', 'max_client_conn = 20');

# A session through the pooler.
sub client
{
	return $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-d', $bouncer->connstr('postgres') ]);
}
my ($one, $two) = (client(), client());
my $who = q{SELECT coalesce(tenant_current(), 'nobody') || ' ' || current_setting('search_path')};

# What a client says, without the empty lines of functions that return nothing.
sub says
{
	my ($client, $sql) = @_;
	return join ' ', grep { $_ ne '' } split /\n/, $client->query($sql);
}

is(says($one, 'SELECT pg_backend_pid()'), my $pid = says($two, 'SELECT pg_backend_pid()'), 'both clients have the same server process');
my $nobody = says($one, $who);
like($nobody, qr/^nobody /, 'at first there is no tenant');
for my $end ('COMMIT', 'ROLLBACK', 'COMMIT AND CHAIN; COMMIT')
{
	is(says($one, "BEGIN; SELECT tenant_use('one'); SELECT title FROM case_studies; $end"), 'of one', "$end: one sees its rows");
	is(says($two, $who), $nobody, "$end: the other has no tenant");
	is(says($two, "BEGIN; SELECT tenant_use('two'); SELECT title FROM case_studies; $end"), 'of two', "$end: the other sees its rows");
	is(says($one, $who), $nobody, "$end: the first has no tenant any more");
}

# In one transaction, one client after the other; with savepoints, tenants that change, and errors.
is(says($one, "BEGIN; SELECT tenant_use('one'); SAVEPOINT a; SELECT tenant_use('two'); ROLLBACK TO a; SELECT title FROM case_studies; COMMIT"), 'of one', 'a savepoint brings the former one back');
is(says($one, "BEGIN; SELECT tenant_use('one'); SELECT tenant_use('two'); SELECT title FROM case_studies; COMMIT"), 'of two', 'another one in the same transaction');
is(says($two, $who), $nobody, 'and it does not leak');
says($one, "BEGIN; SELECT tenant_use('one'); SELECT 1 / 0; COMMIT");
is(says($two, $who), $nobody, 'nor after an error');
says($one, "BEGIN; SELECT tenant_use('one')");
says($one, 'SELECT title FROM nowhere');
says($one, 'ROLLBACK');
is(says($two, $who), $nobody, 'nor after an error in a later statement');

# Outside of a transaction it could only leak: it is refused.
$one->query("SELECT tenant_use('one')");
like($one->{stderr}, qr/can only be called in a transaction block/, 'outside of a transaction: refused');
is(says($one, $who), $nobody, 'and nothing is set');
$two->query('SELECT title FROM case_studies');
like($two->{stderr}, qr/relation "case_studies" does not exist/, 'without a tenant there are no tables');

# The client goes away in the middle.
my $lost = client();
says($lost, "BEGIN; SELECT tenant_use('one')");
$lost->quit;
is(says($two, $who), $nobody, 'a client that went away leaves nothing');
is(says($two, 'SELECT count(*) FROM pg_stat_activity WHERE state = \'idle in transaction\''), 0, 'nor a transaction');

# Many clients at the same time, each with its own tenant.
my @mixed = map { client() } 1 .. 6;
my $wrong = 0;
for my $round (1 .. 20)
{
	for my $n (0 .. $#mixed)
	{
		my $tenant = $n % 2 ? 'one' : 'two';
		$wrong++ if says($mixed[$n], "BEGIN; SELECT tenant_use('$tenant'); SELECT title FROM case_studies; COMMIT") ne "of $tenant";
		$wrong++ if says($mixed[$n], $who) ne $nobody;
	}
}
is($wrong, 0, 'many clients: each sees its own rows and nothing stays');

# The statements of the platform as functions: their plans are the server process's, their tables the tenant's, also when somebody
# has left temporary ones of the same names there.
my $id = '00000000-0000-0000-0000-000000000001';
$node->safe_psql('postgres', "INSERT INTO tenant_$_.technologies (id, name) VALUES ('$id', 'technology of $_')") for 'one', 'two';
my $asked = "SELECT get_technology_by_id('$id') ->> 'name'; SELECT title FROM search_case_studies('one two'); SELECT tenant_search('one two') #>> '{results,0,title}'; SELECT tenant_suggest('of') #>> '{suggestions,0,text}'";
for my $what ('functions', 'temporary tables')
{
	$wrong = 0;
	for my $round (1 .. 8)
	{
		for my $n (0 .. 3)
		{
			my $tenant = $n % 2 ? 'one' : 'two';
			my $said = says($mixed[$n], "BEGIN; SELECT tenant_use('$tenant'); $asked; COMMIT");
			$wrong++ if $said ne "technology of $tenant of $tenant of $tenant of $tenant";
			diag($said) if $wrong == 1;
		}
	}
	is($wrong, 0, "$what: each tenant's own rows");
	says($mixed[5], "CREATE TEMPORARY TABLE technologies AS SELECT '$id'::uuid AS id, 'left behind' AS name; CREATE TEMPORARY TABLE case_studies AS SELECT * FROM tenant_two.case_studies");
}
$mixed[0]->query("SELECT get_technology_by_id('$id')");
like($mixed[0]->{stderr}, qr/no tenant is in use/, 'functions: none without a tenant');
$_->quit for $one, $two, @mixed;
done_testing();
