# tenant_search with a real server: every option, cursors, hydrate, time-outs, and what one tenant sees of another.

use strict;
use warnings;
use Time::HiRes qw(time sleep);
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyFind;
use TenancyProxy;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('find', search => $search);
$node->start;
find_setup($node, $search);
find_checks($node, 'elasticsearch7');

sub acme { return find($node, 'acme', @_) }
sub sql { return $node->safe_psql('postgres', join(';', @_)) }

# Pages beyond the window point to the cursor.
my $answer = acme(q{NULL, page => 11, page_size => 1000});
ok($answer->{error} eq '22023' && $answer->{message} =~ /HINT:.*"next".*"after"/s, 'a page after 10,000 is refused and the cursor named');

# Cursors are bound to tenant, search and engine.
my $next = acme(q{'kafka', page_size => 1})->{next};
ok($next, 'there is a cursor');
is(titles(acme(qq{'kafka', page_size => 1, options => '{"after": "$next"}'})), 'Kafka', 'it goes on');
for my $case (
	[ 'another word', qq{'postgres', page_size => 1, options => '{"after": "$next"}'} ],
	[ 'another filter', qq{'kafka', filters => '{"industry": "x"}', options => '{"after": "$next"}'} ],
	[ 'another order', qq{'kafka', options => '{"sort": "newest", "after": "$next"}'} ],
	[ 'another engine', qq{'kafka', options => '{"engine": "postgresql", "after": "$next"}'} ],
	[ 'a page too', qq{'kafka', page => 2, options => '{"after": "$next"}'} ],
	[ 'changed', q!'kafka', options => '{"after": "! . ($next =~ s/(.)$/$1 eq 'A' ? 'B' : 'A'/er) . q!"}'! ],
	[ 'cut', q!'kafka', options => '{"after": "! . substr($next, 0, 20) . q!"}'! ],
	[ 'no cursor', q{'kafka', options => '{"after": "%%%"}'} ],
	[ 'empty', q{'kafka', options => '{"after": ""}'} ],
	[ 'long', q{'kafka', options => jsonb_build_object('after', repeat('A', 100000))} ])
{
	is(acme($case->[1])->{error}, '22023', "cursor: $case->[0]");
}
is(find($node, 'rival', qq{'kafka', page_size => 1, options => '{"after": "$next"}'})->{error}, '22023', 'cursor: another tenant');

# 300 documents with many equal scores and values, page by page, while more come.
sql(q{INSERT INTO tenant_acme.case_studies (title, industry, timeline_weeks, created_at)
	SELECT 'Deep page', 'deep', n % 3, '2020-01-01Z' FROM generate_series(1, 300) n});
ok(sync_wait($node, 'postgres', 60), 'many rows');
$search->refresh('case_studies_tenant_acme');
for my $sort (qw(relevance timeline_weeks newest))
{
	my (%seen, $after);
	my $pages = 0;
	do
	{
		my $page = acme(q{'deep', filters => '{"industry": "deep"}', page_size => 37, options => } . "jsonb_build_object('sort', '$sort', 'after', " . ($after ? "'$after'" : 'NULL') . ')');
		$seen{ $_->{_id} }++ for @{ $page->{results} };
		$after = $page->{next};
		$pages++;
	} while (defined $after && $pages < 20);
	is(join(' ', scalar(keys %seen), scalar(grep { $_ != 1 } values %seen)), '300 0', "cursor by $sort: every document once");
}
sql(q{DELETE FROM tenant_acme.case_studies WHERE industry = 'deep'});
ok(sync_wait($node, 'postgres', 60), 'gone again');
$search->refresh('case_studies_tenant_acme');

# Options that the mapping or the rows do not know.
for my $case (
	'{"nope": 1}', '{"sort": "full_text"}', '{"sort": "nope"}', '{"sort": []}', '{"sort": {"title": "up"}}', '{"sort": [["newest"]]}',
	'{"facets": ["full_text"]}', '{"facets": {"industry": 0}}', '{"facets": {"industry": 100000}}', '{"facets": "nope"}', '{"facets": true}',
	'{"fields": {"title": 0}}', '{"fields": {"title": -1}}', '{"fields": {"title": "3"}}', '{"fields": ["budget_usd"]}', '{"fields": ["ti*"]}', '{"fields": ["_all"]}',
	'{"highlight": ["*"]}', '{"highlight": {"script": "x"}}', '{"highlight": {"fragments": -1}}', '{"fuzzy": "AUTO"}', '{"min_score": "1"}',
	'{"source": ["*"]}', '{"source": ["_tenancy*"]}', '{"source": {"includes": "x"}}', '{"total": 0}', '{"total": "many"}', '{"after": 1}', '{"hydrate": 1}')
{
	is(acme("'kafka', options => '$case'")->{error}, '22023', "refused: $case");
}
for my $case ('{"full_text": "x"}', '{"nope": 1}', '{"industry.x": 1}', '{"_id": "1"}', '{"_index": "x"}', '{"industry": {"gt": {}}}',
	'{"industry": {"not": {"not": 1}}}', '{"industry": {"exists": 1}}', '{"industry": {"script": "1"}}', '{"industry": [[1]]}', '{"industry": {"terms": {"index": "x"}}}')
{
	is(acme("NULL, filters => '$case'")->{error}, '22023', "refused filter: $case");
}
is(acme(q{NULL, filters => '{"timeline_weeks": "no number"}', options => '{"engine": "server"}'})->{error}, 'TN009', 'a value that the server cannot read: its refusal');
is(acme(q!NULL, filters => '{"industry": {"gt": "a\"}}]}}, {\"match_all"}}'!)->{total}, 4, 'a value that looks like syntax is a value');

# Rows in place of documents.
sql(q{SELECT tenancy.pause('search')});
sql(q{UPDATE tenant_acme.case_studies SET title = 'Present row' WHERE title = 'Kafka at the edge'},
	q{DELETE FROM tenant_acme.case_studies WHERE title = 'Kafka migration'});
$answer = acme(q{'kafka', options => '{"engine": "server", "hydrate": true, "highlight": "title"}'});
is(titles($answer), 'Present Postgres', 'hydrate: rows as they are now, in order');
is("$answer->{vanished} $answer->{total}", '1 3', 'hydrate: the row that has gone is counted');
is($answer->{results}[0]{_highlight}{title}[0], '<em>Kafka</em> at the edge', 'hydrate: highlighting is of the document');
is(join(' ', sort split / /, titles(acme(q{'kafka', options => '{"engine": "server"}'}))), 'Kafka KafkaE Postgres', 'without it: the documents');
is(join(' ', sort keys %{ acme(q{'edge', options => '{"engine": "server", "hydrate": true, "source": "title"}'})->{results}[0] }), '_id _score title', 'hydrate: source');
$answer = acme(q{'kafka', page_size => 1, options => '{"engine": "server", "hydrate": true, "sort": "oldest"}'});
ok($answer->{next} && !@{ $answer->{results} }, 'hydrate: a page whose rows have all gone still has a cursor');
sql(q{SELECT tenancy.resume('search')});

# Rows of SQL.
ok(sync_wait($node, 'postgres', 60), 'in step again');
$search->refresh('case_studies_tenant_acme');
is(sql(q{BEGIN}, q{SELECT tenant_use('acme') \g /dev/null
SELECT string_agg(c.title || ' ' || (r.score > 0) || ' ' || (r.source ->> 'industry') || ' ' || (r.highlight IS NOT NULL), ', ' ORDER BY r.score DESC)
FROM tenant_search_rows('kafka', options => '{"engine": "server", "highlight": true}') r JOIN case_studies c ON c.id::text = r.id}, q{COMMIT}) =~ s/\s+$//r,
	'Postgres replication true finance true', 'tenant_search_rows: joined');
find_isolation($node, 'elasticsearch7');

# An administrator's own body: what stays within the tenant's documents, and nothing else.
sub dsl { return find($node, 'acme', "\$dsl\$$_[0]\$dsl\$", 'tenant_search_dsl') }
$answer = dsl('{"query": {"bool": {"must": [{"match": {"title": {"query": "kafka", "operator": "and"}}}], "should": {"term": {"industry": "retail"}}, "filter": [{"terms": {"company_size": ["small", "large"]}},
	{"range": {"created_at": {"gte": "2024-01-01"}}}, {"nested": {"path": "x", "ignore_unmapped": true, "query": {"match_all": {}}}}]}}}');
is($answer->{hits}{total}{value}, 0, 'dsl: nested passes');
$answer = dsl('{"query": {"dis_max": {"queries": [{"match_phrase": {"title": "Postgres replication"}}, {"constant_score": {"filter": {"prefix": {"industry": "ret"}}}}]}}, "size": 5, "sort": [{"created_at": "desc"}, "_score"],
	"_source": ["title"], "highlight": {"fields": {"title": {}}}, "aggs": {"by": {"terms": {"field": "industry"}, "aggs": {"sum": {"sum": {"field": "budget_usd"}}}}, "some": {"filters": {"filters": {"a": {"term": {"industry": "retail"}}}}}}}');
is(join(' ', map { $_->{_source}{title} } @{ $answer->{hits}{hits} }), 'Search for shops Postgres replication Present row', 'dsl: queries, sort and source');
is(join(' ', map { "$_->{key}:$_->{doc_count}" } @{ $answer->{aggregations}{by}{buckets} }), 'retail:2 finance:1', 'dsl: aggregations');
is(dsl('{}')->{hits}{total}{value}, 4, 'dsl: an empty body finds every document');
is(dsl('{"query": {"query_string": {"query": "_index:case_studies_tenant_rival OR zanzibar"}}}')->{hits}{total}{value}, 0, 'dsl: a query string names no other index');
is(dsl('{"query": {"match": {"title": {"nope": 1}}}}')->{error}, 'TN009', 'dsl: what the server refuses');
is(dsl('{"query": {"match_all": {"boost": 1e400}}}')->{error}, '22023', 'dsl: a number too large');
my $rival = sql(q{SELECT id FROM tenant_rival.case_studies LIMIT 1});
my @escapes = map { qq({"query": $_}) } (
	'{"terms": {"industry": {"index": "case_studies_tenant_rival", "id": "' . $rival . '", "path": "industry"}}}',
	'{"more_like_this": {"like": [{"_index": "case_studies_tenant_rival", "_id": "' . $rival . '"}], "min_term_freq": 1}}', '{"percolate": {"field": "q", "index": "case_studies_tenant_rival", "id": "1"}}',
	'{"has_parent": {"parent_type": "x", "query": {"match_all": {}}}}', '{"has_child": {"type": "x", "query": {"match_all": {}}}}', '{"parent_id": {"type": "x", "id": "1"}}',
	'{"script": {"script": "true"}}', '{"script_score": {"query": {"match_all": {}}, "script": "1"}}', '{"function_score": {"script_score": {"script": "1"}}}',
	'{"wrapper": {"query": "eyJtYXRjaF9hbGwiOnt9fQ=="}}', '{"geo_shape": {"x": {"indexed_shape": {"index": "case_studies_tenant_rival", "id": "1", "path": "x"}}}}',
	'{"knn": {"field": "x", "query_vector": [1]}}', '{"terms_set": {"industry": {"terms": ["a"], "minimum_should_match_script": {"source": "1"}}}}', '{"pinned": {"ids": ["1"], "organic": {"match_all": {}}}}',
	'{"intervals": {"title": {"match": {"query": "a", "filter": {"script": "true"}}}}}', '{"bool": {"must": [{"bool": {"filter": {"script": {"script": "true"}}}}]}}',
	'{"nested": {"path": "x", "query": {"match_all": {}}, "inner_hits": {}}}', '{"match": {"title": {"query": {"script": "x"}}}}', '{"range": {"timeline_weeks": {"script": "x"}}}',
	'{"constant_score": {"filter": {"wrapper": {"query": "e30="}}}}', '{"boosting": {"positive": {"match_all": {}}, "negative": {"script": {}}}}', '{"template": {}}', '{"span_near": {}}', '[]', '"x"', '{"bool": {"must": ["x"]}}', '{"bool": {"must": [[{"script": {}}]]}}');
push @escapes, map { qq({"$_": {}}) } qw(suggest runtime_mappings script_fields pit indices_boost knn retriever rescore collapse explain profile ext stored_fields sub_searches rank stats slice scroll index _index pipeline search_pipeline);
push @escapes, map { qq({"aggs": {"a": $_}}) } ('{"global": {}, "aggs": {"b": {"terms": {"field": "industry"}}}}', '{"significant_terms": {"field": "industry"}}', '{"scripted_metric": {}}',
	'{"terms": {"field": "industry", "min_doc_count": 0}}', '{"terms": {"script": "x"}}', '{"sum": {"script": {"source": "x"}}}', '{"top_hits": {}}', '{"children": {"type": "x"}}', '{"filters": {"filters": [{"script": {}}]}}',
	'{"filters": {"filters": {"a": {"wrapper": {"query": "e30="}}}}}', '{"filter": {"script": {}}}', '{"filter": {"match_all": {}}, "aggs": {"b": {"global": {}}}}', '{"nested": {"path": "x"}, "aggregations": {"c": {"global": {}}}}');
push @escapes, '{"sort": {"_script": {"type": "number", "script": "1"}}}', '{"sort": [{"title": {"nested": {"path": "x", "filter": {"script": {}}}}}]}', '{"highlight": {"fields": {"title": {"highlight_query": {"script": {}}}}}}',
	'{"highlight": {"fields": {"title": {}}, "highlight_query": {"wrapper": {"query": "e30="}}}}', '{"post_filter": {"script": {}}}', '[]', '"x"', '{"_source": {"includes": {"script": "x"}}}',
	'{"query":' . '{"bool":{"must":' x 200 . '{"match_all":{}}' . '}}' x 200 . '}';
is(dsl($_)->{error}, '22023', 'dsl refused: ' . substr($_, 0, 100)) for @escapes;
is(sql(q{SELECT has_function_privilege('tenancy_app', 'tenant_search_dsl(jsonb, text)', 'EXECUTE')}), 'f', 'dsl: not for applications');

# The statements of the platform as functions; a document that is of no row has no case study.
is(($search->raw('PUT', '/case_studies_tenant_acme/_doc/no-key?refresh=true', '{"title":"Kafka replication by nobody"}'))[0], 201, 'a stray document');
sql(q{INSERT INTO tenant_acme.technologies (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'Kafka')});
is(sql(q{BEGIN}, q{SELECT tenant_use('acme') \g /dev/null
SELECT get_technology_by_id('00000000-0000-0000-0000-000000000001') ->> 'name'}, q{SELECT string_agg(title, ', ') FROM search_case_studies('kafka replication', 5)}, q{COMMIT}),
	"Kafka\nPostgres replication", 'statements of the platform are functions');
$search->raw('DELETE', '/case_studies_tenant_acme/_doc/no-key?refresh=true');

# The statement's time is not spent waiting for the server, and a cancel ends the wait at once.
my $proxy = TenancyProxy->start(target => $search->port);
sql("ALTER SYSTEM SET tenancy.search_url = '" . $proxy->url . "'", 'SELECT pg_reload_conf()');
ok(wait_until(sub { index(sql('SHOW tenancy.search_url'), $proxy->port) > 0 }, 30), 'through the proxy');
is(acme(q{'kafka'})->{engine}, 'elasticsearch', 'through the proxy');
$proxy->fault('delay', match => qr{/_search}, ms => 60_000, when => 'before');
sub hurried { return $node->psql('postgres', "\\set VERBOSITY verbose\nSET statement_timeout = '5s'; BEGIN; SELECT tenant_use('acme') \\g /dev/null\nSELECT tenant_search('kafka', options => '$_[0]') ->> 'engine'; COMMIT") }
my (undef, $out, $err) = hurried('{}');
is("$out$err", 'postgresql', 'a slow server leaves time for PostgreSQL');
# Until the circuit closes again it is not asked at all.
wait_until(sub { (undef, undef, $err) = hurried('{"engine": "server"}'); $err =~ /does not answer/ }, 60);
like($err, qr/ERROR:  TN008:.*does not answer/, 'a slow server ends before the statement does');
$proxy->stop;
$node->stop;
$search->stop;
done_testing();
