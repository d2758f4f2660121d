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
is(titles(acme(qq{'kafka', page_size => 1, options => '{"after": "$next"}'})), 'KafkaE', 'it goes on');
for my $case (
	[ 'another word', qq{'postgres', page_size => 1, options => '{"after": "$next"}'} ],
	[ 'another filter', qq{'kafka', filters => '{"industry": "x"}', options => '{"after": "$next"}'} ],
	[ 'another order', qq{'kafka', options => '{"sort": "newest", "after": "$next"}'} ],
	[ 'another engine', qq{'kafka', options => '{"engine": "postgresql", "after": "$next"}'} ],
	[ 'a page too', qq{'kafka', page => 2, options => '{"after": "$next"}'} ],
	[ 'changed', q{'kafka', options => '{"after": "} . ($next =~ s/(.)$/$1 eq 'A' ? 'B' : 'A'/er) . q{"}'} ],
	[ 'cut', q{'kafka', options => '{"after": "} . substr($next, 0, 20) . q{"}'} ],
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
is(titles(acme(q{'kafka', options => '{"engine": "server"}'})), 'Kafka KafkaE Postgres', 'without it: the documents');
is(join(' ', sort keys %{ acme(q{'edge', options => '{"engine": "server", "hydrate": true, "source": "title"}'})->{results}[0] }), '_id _score title', 'hydrate: source');
$answer = acme(q{'kafka', page_size => 1, options => '{"engine": "server", "hydrate": true}'});
ok($answer->{next} && !@{ $answer->{results} }, 'hydrate: a page whose rows have all gone still has a cursor');
sql(q{SELECT tenancy.resume('search')});

# Rows of SQL.
ok(sync_wait($node, 'postgres', 60), 'in step again');
$search->refresh('case_studies_tenant_acme');
is(sql(q{BEGIN}, q{SELECT tenant_use('acme') \g /dev/null
SELECT string_agg(c.title || ' ' || (r.score > 0) || ' ' || (r.source ->> 'industry') || ' ' || (r.highlight IS NOT NULL), ', ' ORDER BY r.score DESC)
FROM tenant_search_rows('kafka', options => '{"engine": "server", "highlight": true}') r JOIN case_studies c ON c.id::text = r.id}, q{COMMIT}) =~ s/\s+$//r,
	'Postgres replication true finance true', 'tenant_search_rows: joined');
# Somebody else's words: nothing that acme can ask shows a document or a word of rival.
for my $arguments (
	q{'zanzibar'}, q{'zanzibar', options => '{"fuzzy": true}'}, q{'zanzibr', options => '{"suggest": true, "fuzzy": true}'}, q{'zanzibra secert', options => '{"suggest": true}'},
	q{NULL, filters => '{"industry": "espionage"}'}, q{NULL, filters => '{"industry": {"not": "x"}}'}, q{NULL, options => '{"facets": {"industry": 1000, "technologies": 1000}}'},
	q{'zanzibar', 'case_studies,case_studies_tenant_rival'}, q{'zanzibar', 'case_studies_tenant_rival'}, q{'zanzibar', '*'}, q{'zanzibar', 'case_studies_tenant_rival/_search?x='},
	q{'zanzibar', filters => '{"_index": "case_studies_tenant_rival"}'}, q{'zanzibar', options => '{"index": "case_studies_tenant_rival"}'},
	q{'zanzibar', options => '{"hydrate": true}'}, q{NULL, options => '{"hydrate": true}'}, q{'zanzibar', options => '{"highlight": true}'})
{
	for my $function ('tenant_search', 'to_json(ARRAY(SELECT to_json(r) FROM tenant_search_rows')
	{
		my $got = find($node, 'acme', $function eq 'tenant_search' ? $arguments : "$arguments) r)", $function);
		delete $got->{message} if ref $got eq 'HASH'; # the caller's own words
		my $text = JSON::PP->new->canonical->encode($got);
		unlike($text, qr/zanzibar secret|espionage|"zanzibar"|did_you_mean":"[^"]*zanzibar/i, "$function($arguments) shows nothing of another tenant");
	}
}
cmp_ok(find($node, 'rival', q{'zanzibar'})->{total}, '==', 30, 'rival has them');

# The statement's time is not spent waiting for the server, and a cancel ends the wait at once.
my $proxy = TenancyProxy->start(target => $search->port);
sql("ALTER SYSTEM SET tenancy.search_url = '" . $proxy->url . "'", 'SELECT pg_reload_conf()');
ok(wait_until(sub { index(sql('SHOW tenancy.search_url'), $proxy->port) > 0 }, 30), 'through the proxy');
is(acme(q{'kafka'})->{engine}, 'elasticsearch', 'through the proxy');
$proxy->fault('delay', match => qr{/_search}, ms => 60_000, when => 'before');
sub hurried { return $node->psql('postgres', "\\set VERBOSITY verbose\nSET statement_timeout = '5s'; BEGIN; SELECT tenant_use('acme') \\g /dev/null\nSELECT tenant_search('kafka', options => '$_[0]') ->> 'engine'; COMMIT") }
my ($rc, $out, $err) = hurried('{}');
is("$out$err", 'postgresql', 'a slow server leaves time for PostgreSQL');
($rc, $out, $err) = hurried('{"engine": "server"}');
like($err, qr/ERROR:  TN008:.*does not answer/, 'a slow server ends before the statement does');
$proxy->stop;
$node->stop;
$search->stop;
done_testing();
