# tenant_suggest(): both engines suggest the same, of the tenant in use and of what the caller may see.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('suggest', search => $search);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('odd', 1, 'CREATE TABLE odd (id int PRIMARY KEY, title text, code text, "odd[name]>" text)');
SELECT tenant_sync_table('odd', 'odd', 'odd', mapping => '{"mappings": {"properties": {"odd[name]>": {"type": "keyword"}, "code": {"type": "keyword", "doc_values": false},
	"title": {"type": "text", "fields": {"raw": {"type": "keyword", "doc_values": false}}}}}}');
SELECT tenant_create('odd', 'odd');
INSERT INTO tenant_odd.odd VALUES (1, 'Alphabet', 'alpine', 'alpaca'), (2, 'Alphabet', 'alphabet', 'bison'), (3, 'Alpha beta', 'gamma', NULL);
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.case_studies (title, customer_company, industry, technologies)
SELECT t, 'Data ' || left(t, 3), CASE WHEN t ~ 'Kafka' THEN 'streams' ELSE 'other' END, '["Kafka", "kafkacat", "linux"]'
FROM unnest(ARRAY['Kafka migration', 'Migrating to Kafka', 'Kafka', 'Kafka Connect in production', 'A database of kafkaesque novels',
	'Databases migrated', 'Data warehouse', 'data lake', 'Node-based editing', 'Élan vital', 'C++ build farm', '100% uptime', 'back\slash "quoted"']) t;
INSERT INTO tenant_one.case_studies (title, industry) SELECT 'Kafka', 'streams' FROM generate_series(1, 300);
INSERT INTO tenant_one.technologies (name, vendor) VALUES ('Kafka Streams', 'Apache'), ('Kubernetes', 'CNCF');
INSERT INTO tenant_two.case_studies (title, customer_company, technologies) VALUES ('Kafka secret of two', 'Data secret', '["kafka-secret"]');
CREATE FUNCTION suggest(e text, p text, t text, o jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE a jsonb;
BEGIN
	a := tenant_suggest(p, t, options => o || jsonb_build_object('engine', e));
	RETURN jsonb_path_query_array(a, '$.suggestions[*].text')::text;
END $$;
SQL
ok(sync_wait($node, 'postgres', 120), 'synced');
ok($node->poll_query_until('postgres', q{SELECT bool_and(state = 'ready' AND filled) FROM tenancy.search_index}), 'indices are ready');
$search->refresh('case_studies_tenant_one');
$search->refresh('technologies_tenant_one');
$search->refresh('odd_tenant_odd');

sub quoted { return "'" . $_[0] =~ s/'/''/gr . "'" }

sub suggest
{
	my ($engine, $prefix, $options, $type) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"BEGIN; SELECT tenant_use('" . (($type // '') eq 'odd' ? 'odd' : 'one') . "'); SELECT suggest('$engine', " . quoted($prefix) . ', ' . quoted($type // 'case_studies') . ', ' . quoted($options // '{}') . '); COMMIT');
	return $status == 0 ? $out =~ s/^\s+//r : $err =~ s/\nCONTEXT.*//sr;
}

# Both engines suggest this.
sub both
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($expected, @question) = @_;
	is(suggest('server', @question), $expected, "\"$question[0]\": the server");
	is(suggest('postgresql', @question), $expected, "\"$question[0]\": PostgreSQL");
	return;
}

both('["Kafka", "Kafka migration", "Kafka Connect in production", "Migrating to Kafka", "A database of kafkaesque novels"]', 'kaf');
both('["Kafka", "Kafka migration", "Kafka Connect in production", "Migrating to Kafka"]', 'KAFKA', '{"filters": {"industry": "streams"}}');
both('["Kafka migration", "Migrating to Kafka"]', 'kafka migrati');
both('["Kafka migration", "Kafka Connect in production", "Kafka", "Migrating to Kafka"]', 'kafka ');
both('["Kafka migration"]', 'migration');
both('["Migrating to Kafka"]', 'migrating k');
both('["Databases migrated", "A database of kafkaesque novels"]', 'databas');
both('["Node-based editing"]', 'based ed');
both('["C++ build farm"]', 'c++');
both('["Élan vital"]', 'éla');
both('["100% uptime"]', '100%');
both('[]', 'xylo');
both('[]', ' ');
both('["Kafka", "kafkacat"]', 'kaf', '{"fields": ["technologies"]}');
both('["Data Mig"]', 'data m', '{"fields": "customer_company"}');
both('["Data warehouse"]', 'data w', '{"fields": ["title", "customer_company"]}');
both('["Kafka Streams"]', 'kafka', '{}', 'technologies');

# Fields whose values the server cannot count, or cannot tell from each other; a name that no aggregation may have.
both('["alpine", "alphabet"]', 'alp', '{"fields": ["code"]}', 'odd');
both('["Alphabet", "Alpha beta"]', 'alp', '{"fields": ["title"]}', 'odd');
both('["alpaca"]', 'alp', '{"fields": ["odd[name]>"]}', 'odd');
both('["alpaca", "alpine", "Alphabet", "alphabet", "Alpha beta"]', 'alp', '{"fields": ["odd[name]>", "code", "title"]}', 'odd');

# What is typed is never syntax.
for my $typed ('"', q{'}, '\\', 'a:*', 'kafka & !', '(', '| x', '*', '%', '_', '.*', '<->', q{'); DROP TABLE x --}, '{"a":1}', "kaf\x01")
{
	for my $engine ('server', 'postgresql') { unlike(suggest($engine, $typed), qr/ERROR|secret/, "\"$typed\" is no syntax: $engine") }
}
is(suggest('postgresql', 'kaf', '{"fields": "search_vector; DROP TABLE x"}'),
	'psql:<stdin>:1: ERROR:  cannot suggest values of "search_vector; DROP TABLE x"' . "\nDETAIL:  The table has no such column.", 'a field is a name');
like(suggest('auto', 'kaf', '{"fields": ["budget_usd"]}'), qr/ERROR:  cannot suggest values of "budget_usd"/, 'a number is not suggested');
like(suggest('auto', 'kaf', '{"filters": {"full_text": "x"}}'), qr/ERROR:  cannot filter by "full_text"/, 'filters are checked');
like(suggest('auto', 'kaf', '{"fielsd": 1}'), qr/ERROR:  unknown suggestion option "fielsd"/, 'options are checked');

# Who may not read the table gets nothing; who may read some rows gets what is in them.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE nobody IN ROLE tenancy_app;
CREATE ROLE reader IN ROLE tenancy_app;
REVOKE SELECT ON tenant_one.technologies FROM tenancy_app;
ALTER TABLE tenant_one.case_studies ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON tenant_one.case_studies TO reader USING (industry = 'other');
SQL
sub as
{
	my ($role, $type) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"BEGIN; SELECT tenant_use('one'); SET LOCAL ROLE $role; SELECT tenant_suggest('kaf', '$type') - 'took_ms'; COMMIT");
	return $err . $out;
}
like(as('nobody', 'technologies'), qr/permission denied for table technologies/, 'no right to the table, no suggestions');
like(as('reader', 'case_studies'), qr/"engine": "postgresql".*\[\{"text": "A database of kafkaesque novels", "field": "title"\}\]/, 'rows that a policy hides are not suggested');

# The server is away.
$search->kill9;
my $away = $node->safe_psql('postgres', q{BEGIN; SELECT tenant_use('one'); SELECT tenant_suggest('kaf', size => 1) - 'took_ms'; COMMIT});
like($away, qr/"engine": "postgresql".*"fallback": "search server.*"text": "Kafka"/, 'the server is away: PostgreSQL suggests');
like(suggest('server', 'kaf'), qr/ERROR:  could not search on the server/, 'who wants the server gets an error');
$search->start;
ok(wait_until(sub { suggest('server', 'kaf') =~ /Kafka/ }, 60), 'it is back');
done_testing();
