# The search server and PostgreSQL give the same answers; the server dies in the middle and PostgreSQL answers, then the
# server again when it is back.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('engines', search => $search);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create(n) FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.case_studies (id, title, customer_company, industry, company_size, technologies, timeline_weeks, budget_usd, full_text, created_at)
SELECT md5(n::text)::uuid,
	(ARRAY['Kafka', 'Postgres', 'Redis', 'Linux', 'Écran'])[1 + n % 5] || ' in case ' || n,
	CASE WHEN n % 11 > 0 THEN (ARRAY['Acme', 'acme two', 'Zeta', 'Ömega', 'beta'])[1 + n % 5] END,
	CASE WHEN n % 7 > 0 THEN (ARRAY['retail', 'banking', 'health', 'travel'])[1 + n % 4] END,
	(ARRAY['small', 'medium', 'large'])[1 + n % 3],
	CASE n % 4 WHEN 0 THEN '[]'::jsonb WHEN 1 THEN '["kafka"]' WHEN 2 THEN '["kafka", "redis"]' ELSE '["linux", "redis", "linux"]' END,
	CASE WHEN n % 6 > 0 THEN n % 40 END,
	CASE WHEN n % 9 > 0 THEN n * 12.25 END,
	'Some words about migration' || CASE WHEN n % 50 = 0 THEN ' and a <b>zebra</b> & "co"/it''s' ELSE '' END,
	timestamptz '2024-01-01Z' + (n % 100) * interval '1 day'
FROM generate_series(1, 300) n;
INSERT INTO tenant_two.case_studies (title, industry) SELECT 'Kafka of another tenant', 'secret' FROM generate_series(1, 20);
CREATE FUNCTION ask(e text, q text, f jsonb, size int, o jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE a jsonb;
BEGIN
	a := tenant_search(q, filters => f, page_size => size, options => o || jsonb_build_object('engine', e));
	RETURN a - '{engine,took_ms,next,results,page,page_size}'::text[]
		|| jsonb_build_object('ids', jsonb_path_query_array(a, '$.results[*]._id'), 'highlight', jsonb_path_query_array(a, '$.results[*]._highlight'));
END $$;
-- All ids by one page after the other.
CREATE FUNCTION walk(e text, q text, f jsonb, size int, o jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE a jsonb; ids jsonb := '[]'; pages int := 0;
BEGIN
	LOOP
		a := tenant_search(q, filters => f, page_size => size, options => o || jsonb_build_object('engine', e));
		ids := ids || jsonb_path_query_array(a, '$.results[*]._id');
		pages := pages + 1;
		EXIT WHEN a ->> 'next' IS NULL OR pages > 400;
		o := o || jsonb_build_object('after', a -> 'next');
	END LOOP;
	RETURN pages || ' ' || ids::text;
END $$;
SQL
ok(sync_wait($node, 'postgres', 120), 'synced');
ok($node->poll_query_until('postgres', q{SELECT bool_and(state = 'ready' AND filled) FROM tenancy.search_index}), 'indices are ready');
$search->refresh('case_studies_tenant_one');

sub quoted { return defined $_[0] ? "'" . $_[0] =~ s/'/''/gr . "'" : 'NULL' }

# One question to one engine.
sub ask
{
	my ($function, $engine, $query, $filters, $size, $options) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"BEGIN; SELECT tenant_use('one'); SELECT $function('$engine', " . quoted($query) . ', ' . quoted($filters) . ", $size, " . quoted($options) . '); COMMIT');
	return $status == 0 ? $out =~ s/^\s+//r : $err =~ s/\nCONTEXT.*//sr;
}

# Both engines say the same, and it is no error and not nothing.
sub same
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($function, $name, @question) = @_;
	my $server = ask($function, 'server', @question);
	unlike($server, qr/ERROR|"ids": \[\]/, "$name: the server finds something") unless $name =~ /nothing/;
	is(ask($function, 'postgresql', @question), $server, "$name: both engines say the same");
	return $server;
}

my $all = '{"sort": "newest"}';
for my $case (
	[ 'everything', undef, '{}' ],
	[ 'a value', undef, '{"industry": "retail"}' ],
	[ 'a list', undef, '{"industry": ["retail", "health", "none"]}' ],
	[ 'an empty list finds nothing', undef, '{"industry": []}' ],
	[ 'a range of numbers', undef, '{"budget_usd": {"gte": 122.5, "lt": 1000}}' ],
	[ 'a range of days', undef, '{"created_at": {"gte": "2024-02-01", "lte": "2024-02-10"}}' ],
	[ 'null', undef, '{"industry": null}' ],
	[ 'not null', undef, '{"industry": {"exists": true}}' ],
	[ 'not a value', undef, '{"industry": {"not": "retail"}}' ],
	[ 'none of a list', undef, '{"industry": {"not": ["retail", "health"]}}' ],
	[ 'not in a range', undef, '{"timeline_weeks": {"not": {"gt": 5}}}' ],
	[ 'in a range but not a value', undef, '{"timeline_weeks": {"gte": 3, "lt": 20, "not": 7}}' ],
	[ 'in an array', undef, '{"technologies": "redis"}' ],
	[ 'one of many in an array', undef, '{"technologies": ["linux", "nothing"]}' ],
	[ 'not in an array', undef, '{"technologies": {"not": "kafka"}}' ],
	[ 'empty arrays', undef, '{"technologies": null}' ],
	[ 'several columns', undef, '{"technologies": "kafka", "industry": ["retail", "banking"], "budget_usd": {"gt": 100}}' ],
	[ 'a word', 'kafka', '{}' ],
	[ 'a word and a filter', 'postgres', '{"company_size": "small"}' ],
	[ 'any of the words', 'kafka zebra', '{}' ],
	[ 'a stem', 'migrations', '{"industry": "travel"}' ],
	[ 'nothing like it', 'xylophone', '{}' ])
{
	my ($name, @question) = @$case;
	same('ask', $name, @question, 400, $all);
}

same('ask', 'facets', undef, '{}', 1, '{"sort": "newest", "facets": {"industry": 3, "technologies": 10, "company_size": 2}}');
same('ask', 'facets, a value of one chosen', undef, '{"industry": "retail", "company_size": "small"}', 1, '{"sort": "newest", "facets": ["industry", "company_size"]}');
same('ask', 'facets of numbers', 'kafka', '{}', 1, '{"sort": "newest", "facets": {"timeline_weeks": 5, "budget_usd": 2}}');
like(same('ask', 'a total that is capped', undef, '{}', 5, '{"sort": "newest", "total": 100}'), qr/"total": 100.*"gte"/, 'and say so');
like(same('ask', 'a total below the cap', undef, '{"industry": "retail"}', 5, '{"sort": "newest", "total": 100}'), qr/"eq"/, 'and say so');
like(same('ask', 'no total', undef, '{}', 5, '{"sort": "newest", "total": false}'), qr/"total": null/, 'and say so');
same('ask', 'highlighting of a whole text', 'zebra', '{}', 10, '{"sort": "newest", "highlight": {"fields": ["full_text"], "fragments": 0, "pre_tag": "[", "post_tag": "]"}}');
same('ask', 'a misspelled word', 'kafak', '{}', 400, '{"sort": "newest", "fuzzy": true}');
same('ask', 'a column of its own', 'kafka', '{}', 400, '{"sort": "newest", "fields": ["title"]}');
like(ask('ask', 'postgresql', 'kafak migration', '{}', 1, '{"suggest": true}'), qr/"did_you_mean": "kafka migration"/, 'PostgreSQL knows a better spelling');
like(ask('ask', 'postgresql', 'kafka migration', '{}', 1, '{"suggest": true}'), qr/"did_you_mean": null/, 'and none where there is no need');

for my $sort ('"timeline_weeks asc"', '"timeline_weeks desc"', '["industry desc", "budget_usd asc"]', '"customer_company asc"',
	'["company_size", "created_at desc"]', '"newest"', '"oldest"')
{
	my $sorted = same('ask', "sort $sort", undef, '{}', 400, qq({"sort": $sort}));
	my $walked = same('walk', "sort $sort, page after page", undef, '{}', 37, qq({"sort": $sort}));
	my ($ids) = $sorted =~ /"ids": (\[.*?\])/;
	is($walked =~ s/^\d+ //r, $ids, "sort $sort: the pages are the whole");
}
like(ask('walk', 'postgresql', 'kafka migration', '{}', 37, '{}'), qr/^9 /, 'page after page by relevance');
is(scalar(my @seen = uniq(ask('walk', 'postgresql', 'kafka migration', '{}', 37, '{}') =~ /"([0-9a-f-]+)"/g)), 300, 'and each once');

sub uniq { my %there; return grep { !$there{$_}++ } @_ }

# A cursor is not trusted.
like(ask('ask', 'postgresql', undef, '{}', 5, '{"after": "nonsense"}'), qr/cursor|after/, 'a made-up cursor is refused');

# The server dies in the middle, and comes back.
my $before = ask('ask', 'server', undef, '{"industry": "retail"}', 20, $all);
sub by { return $node->safe_psql('postgres', q{BEGIN; SELECT tenant_use('one'); SELECT tenant_search('kafka') ->> 'engine'; COMMIT}) =~ s/^\s+//r }
is(by(), 'elasticsearch', 'the server answers');
$search->kill9;
is(by(), 'postgresql', 'it is killed: PostgreSQL answers');
my $after = ask('ask', 'auto', undef, '{"industry": "retail"}', 20, $all);
like($after, qr/"fallback": "search server/, 'and says why');
is($after =~ s/"fallback": ".*?", //r, $before, 'the same');
like(ask('ask', 'server', undef, '{}', 20, $all), qr/ERROR:  could not search on the server/, 'who wants the server gets an error');
$search->start;
ok(wait_until(sub { by() eq 'elasticsearch' }, 60), 'it is back: it answers again');
is(ask('ask', 'auto', undef, '{"industry": "retail"}', 20, $all), $before, 'the same again');

# A search in PostgreSQL can be cancelled.
$node->safe_psql('postgres', q{INSERT INTO tenant_two.case_studies (title, full_text) SELECT 'title ' || n, repeat('word' || n || ' ', 2000) FROM generate_series(1, 600) n});
my ($status, $out, $err) = $node->psql('postgres', q{BEGIN; SELECT tenant_use('two'); SET LOCAL statement_timeout = '20ms';
	SELECT tenant_search('word', options => '{"engine": "postgresql", "fields": ["industry", "full_text"]}')});
like($err, qr/canceling statement due to statement timeout/, 'a search in PostgreSQL can be cancelled');
done_testing();
