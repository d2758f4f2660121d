# A search server that answers nonsense, or errors: each search ends with its own SQLSTATE, or PostgreSQL answers.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLiar;

# What the server says to a search; it is chosen by the text that is searched for.
my %replies = (
	garbage => [ 200, "\x00\x01\xfe\xff nonsense" ],
	html => [ 200, '<html><body>Please log in</body></html>' ],
	half => [ 200, '{"hits":{"total":{"value":1,"relation":"eq"},"hits":[{"_id":"1","_score":1.0,"_so' ],
	empty => [ 200, '' ],
	other => [ 200, '{"some":"thing"}' ],
	deep => [ 200, '{"hits":' . ('[' x 100_000) . (']' x 100_000) . '}' ],
	good => [ 200, '{"timed_out":false,"_shards":{"failed":0},"hits":{"total":{"value":1,"relation":"eq"},"hits":[{"_id":"7","_score":1.5,"_source":{"title":"from the server"}}]}}' ],
	refused => [ 400, '{"error":{"type":"parsing_exception","reason":"no"},"status":400}' ],
	forbidden => [ 403, '{"error":{"type":"security_exception","reason":"no"},"status":403}' ],
	broken => [ 500, 'Internal Server Error' ],
);

my $liar = TenancyLiar->start(sub {
	my ($body) = @_;
	my ($kind) = grep { $body =~ /"$_"/ } sort keys %replies;
	return $kind ? @{ $replies{$kind} } : ();
});

# The library is not preloaded: each session has its own circuit breaker.
my $node = tenancy_node('errors', preload => 0, conf => "tenancy.search_url = '" . $liar->url . "'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('acme');
UPDATE tenancy.search_index SET state = 'ready', filled = true;
INSERT INTO tenant_acme.case_studies (title) SELECT k FROM unnest('{garbage,html,half,empty,other,deep,good,refused,forbidden,broken}'::text[]) k;
CREATE FUNCTION state_of(what text, options jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN tenant_search(what, options => options)->>'engine';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SQL

# In a session of its own: engine of the answer, or SQLSTATE of the error.
sub search
{
	my ($what, $options) = @_;
	return $node->safe_psql('postgres', "BEGIN; DO \$\$ BEGIN PERFORM tenant_use('acme'); END \$\$; SELECT state_of('$what', '$options'); COMMIT");
}

for my $kind (qw(garbage html half empty other deep refused))
{
	is(search($kind, '{"engine": "server"}'), 'TN009', "$kind: TN009");
	is(search($kind, '{}'), 'postgresql', "$kind: PostgreSQL answers instead");
}
for my $kind (qw(forbidden broken))
{
	is(search($kind, '{"engine": "server"}'), 'TN008', "$kind: TN008");
	is(search($kind, '{}'), 'postgresql', "$kind: PostgreSQL answers instead");
}
like(search('good', '{"engine": "server"}'), qr/^(?:elasticsearch|opensearch|server)$/, 'a good answer is taken');
$liar->stop;
is(search('good', '{"engine": "server"}'), 'TN008', 'nobody there: TN008');
is(search('good', '{}'), 'postgresql', 'nobody there: PostgreSQL answers');

# The errors that say what to do before anything works.
is($node->safe_psql('postgres', q{SELECT state_of('x', '{}')}), 'TN005', 'no tenant in use: TN005');
my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT tenancy.sync_wait()");
like($err, qr/TN007.*shared_preload_libraries.*HINT:.*shared_preload_libraries = 'pg_tenancy'/s, 'not preloaded: TN007 with the line to add');

$node->stop;
done_testing();
