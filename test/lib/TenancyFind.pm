# Searches of a small library of case studies: what every search server must answer alike.

package TenancyFind;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();
use Test::More;
use TenancyTest;

our @EXPORT = qw(find_setup find titles facet find_checks find_isolation);

# find_setup(NODE, SEARCH): tenants acme and rival with documents that are in the index.  Which shard a document is in, and
# with it the score, follows from its id.
sub find_setup
{
	my ($node, $search) = @_;
	$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('acme'), tenant_create('rival');
INSERT INTO tenant_acme.case_studies
	(id, title, customer_company, industry, company_size, technologies, timeline_weeks, budget_usd, roi_percent, full_text, created_at) VALUES
	('00000000-0000-0000-0000-000000000001', 'Kafka migration', 'Bank One', 'finance', 'large', '["kafka", "java"]', 10, 1000.50, 12.5, 'Moving queues to Kafka without downtime', '2024-01-01Z'),
	('00000000-0000-0000-0000-000000000002', 'Kafka at the edge', 'Shop & Sons', 'retail', 'small', '["kafka"]', 20, 2000, NULL, 'Streams <b>of</b> orders & "events"', '2024-02-01Z'),
	('00000000-0000-0000-0000-000000000003', 'Postgres replication', 'Bank Two', 'finance', 'small', '["postgres"]', 30, 3000, 7, 'Replication without Kafka', '2024-03-01Z'),
	('00000000-0000-0000-0000-000000000004', 'Search for shops', 'Shop & Sons', 'retail', 'large', '["postgres", "java"]', NULL, 4000, 3, 'A catalogue of products', '2024-04-01Z'),
	('00000000-0000-0000-0000-000000000005', 'Nothing of that kind', NULL, NULL, NULL, '[]', 50, NULL, NULL, NULL, '2024-05-01Z');
INSERT INTO tenant_rival.case_studies (title, industry, technologies, full_text, created_at)
	SELECT 'Zanzibar secret ' || n, 'espionage', '["zanzibar"]', 'Kafka zanzibar', '2024-01-01Z' FROM generate_series(1, 30) n;
SQL
	sync_wait($node, 'postgres', 60) or die 'not in step';
	$search->refresh($_) for qw(case_studies_tenant_acme case_studies_tenant_rival);
	return;
}

# find(NODE, TENANT, ARGUMENTS [, FUNCTION]): the answer of tenant_search as data, or { error => SQLSTATE, message => TEXT }.
sub find
{
	my ($node, $tenant, $arguments, $function) = @_;
	$function //= 'tenant_search';
	my ($rc, $out, $err) = $node->psql('postgres', join("\n", '\set VERBOSITY verbose', 'BEGIN;', "SELECT tenant_use('$tenant') \\g /dev/null",
		"SELECT $function($arguments);", 'COMMIT;'));
	return { error => $1, message => $err } if $err =~ /ERROR:  (\w{5}): /;
	return { error => 'XXXXX', message => "$out $err" } if $out !~ /^[\{\[]/;
	return JSON::PP->new->utf8(0)->allow_nonref->decode($out);
}

# First words of the results' titles, in order; or the error.
sub titles
{
	my ($answer) = @_;
	return "$answer->{error}" if $answer->{error};
	return join ' ', map { ($_->{title} // '?') =~ s/ .*//r . (($_->{title} // '') =~ /edge/ ? 'E' : '') } @{ $answer->{results} };
}

# Values and counts of a facet.
sub facet
{
	my ($answer, $name) = @_;
	return join ' ', map { "$_->{value}:$_->{count}" } @{ $answer->{facets}{$name}{buckets} };
}

# What is the same with every product.
sub find_checks
{
	my ($node, $product) = @_;
	my $acme = sub { find($node, 'acme', $_[0]) };
	my $server = sub { '{"engine": "server"' . ($_[0] ? ", $_[0]" : '') . '}' };
	my $by = sub { join ' ', sort split / /, titles($acme->("NULL, filters => '$_[0]', options => '" . $server->() . "'")) };
	my $with = sub { $acme->("$_[0], options => '" . $server->($_[1]) . "'") };
	my $is = sub { my ($got, $want, $what) = @_; is($got, $want, "$product: $what") };

	# Filters, each where it holds and where there is no value.
	$is->($by->('{"industry": "finance"}'), 'Kafka Postgres', 'a value');
	$is->($by->('{"industry": ["finance", "nothing"]}'), 'Kafka Postgres', 'any of');
	$is->($by->('{"industry": []}'), '', 'any of nothing');
	$is->($by->('{"industry": null}'), 'Nothing', 'null');
	$is->($by->('{"roi_percent": {"exists": true}}'), 'Kafka Postgres Search', 'exists');
	$is->($by->('{"roi_percent": {"exists": false}, "industry": {"not": null}}'), 'KafkaE', 'exists not, and not null');
	$is->($by->('{"industry": {"not": "finance"}}'), 'KafkaE Nothing Search', 'not a value: also where there is none');
	$is->($by->('{"industry": {"not": ["finance", "retail"]}}'), 'Nothing', 'not any of');
	$is->($by->('{"timeline_weeks": {"gte": 10, "lt": 30}}'), 'Kafka KafkaE', 'a range of numbers');
	$is->($by->('{"timeline_weeks": {"gt": 10, "not": 50}}'), 'KafkaE Postgres', 'a range and not');
	$is->($by->('{"timeline_weeks": {"not": {"gt": 10}}}'), 'Kafka Search', 'not a range');
	$is->($by->('{"budget_usd": {"lte": "2000.00"}}'), 'Kafka KafkaE', 'a range of money');
	$is->($by->('{"created_at": {"gt": "2024-02-01", "lt": "2024-04-01T00:00:00Z"}}'), 'Postgres', 'a range of dates');
	$is->($by->('{"technologies": "java"}'), 'Kafka Search', 'an element of an array');

	# Order.
	$is->(titles($with->('NULL', '"sort": "newest"')), 'Nothing Search Postgres KafkaE Kafka', 'newest');
	$is->(titles($with->('NULL', '"sort": "oldest"')), 'Kafka KafkaE Postgres Search Nothing', 'oldest');
	$is->(titles($with->('NULL', '"sort": "budget_usd desc"')), 'Search Postgres KafkaE Kafka Nothing', 'a column, without a value last');
	$is->(titles($with->('NULL', '"sort": [{"industry": "asc"}, "budget_usd desc"]')), 'Postgres Kafka Search KafkaE Nothing', 'two columns');
	$is->(titles($with->(q{'kafka'}, '"sort": ["relevance"]')), 'KafkaE Kafka Postgres', 'relevance');

	# Pages by cursor meet every document once, in the order of one large page.
	for my $sort ('"newest"', '"budget_usd"', '["company_size desc", "roi_percent"]', '"relevance"')
	{
		my ($after, @seen) = ('null');
		for (1 .. 9)
		{
			my $page = $acme->("NULL, page_size => 2, options => '" . $server->(qq("sort": $sort, "after": $after)) . "'");
			push @seen, titles($page);
			last unless defined $page->{next};
			$after = qq("$page->{next}");
		}
		$is->(join(' ', grep { length } @seen), titles($with->('NULL', qq("sort": $sort))), "cursor by $sort");
	}

	# Totals.
	my $answer = $with->('NULL', '"total": 2');
	$is->("$answer->{total} $answer->{total_relation}", '2 gte', 'a capped total says so');
	$answer = $with->('NULL', '"total": false');
	ok(exists $answer->{total} && !defined $answer->{total} && !defined $answer->{total_relation} && @{ $answer->{results} } == 5, "$product: no total");
	$answer = $with->('NULL', '"total": "exact"');
	$is->("$answer->{total} $answer->{total_relation}", '5 eq', 'an exact total');
	$is->($answer->{engine}, $product =~ /^([a-z]+)/ ? $1 : '', 'the engine is named');

	# Highlighting.
	$answer = $with->(q{'orders kafka'}, '"highlight": {"fields": "full_text", "pre_tag": "[", "post_tag": "]"}');
	my ($edge) = grep { $_->{title} =~ /edge/ } @{ $answer->{results} };
	$is->($edge->{_highlight}{full_text}[0], 'Streams &lt;b&gt;of&lt;&#x2F;b&gt; [orders] &amp; &quot;events&quot;', 'highlighted text is escaped, tags are not');
	$answer = $acme->(q{'kafka', filters => '{"industry": "retail"}', options => '{"engine": "server", "highlight": true}'});
	ok($answer->{results}[0]{_highlight}{title}[0] eq '<em>Kafka</em> at the edge' && !$answer->{results}[0]{_highlight}{industry}, "$product: highlight => true");

	# Facets: a filter by a facet's own column does not restrict it.
	$answer = $acme->(q{NULL, filters => '{"industry": "finance"}', options => '{"engine": "server", "facets": {"industry": 5, "technologies": {"size": 2}, "timeline_weeks": 1}}'});
	$is->(titles($answer) =~ s/(\w+) (\w+)/join ' ', sort $1, $2/er, 'Kafka Postgres', 'facets: the hits are filtered');
	$is->(facet($answer, 'industry'), 'finance:2 retail:2', 'facets: its own filter does not hold');
	$is->(facet($answer, 'technologies'), 'java:1 kafka:1', 'facets: the others hold; by count, then by value');
	$is->("$answer->{facets}{technologies}{other} " . facet($answer, 'timeline_weeks') . " $answer->{facets}{timeline_weeks}{other} $answer->{total}", '1 10:1 1 2', 'facets: numbers, and the rest');

	# Words.
	$is->(titles($with->(q{'kafak'}, '')), '', 'a misspelled word');
	$is->(join(' ', sort split / /, titles($with->(q{'kafak'}, '"fuzzy": true'))), 'Kafka KafkaE Postgres', 'fuzzy');
	$is->(titles($with->(q{'xafka'}, '"fuzzy": true')), '', 'fuzzy: the first letter must be right');
	$is->(titles($with->(q{'kafka'}, '"fields": ["full_text"], "sort": "oldest"')), 'Kafka Postgres', 'fields');
	my @weighted = map { $with->(q{'downtime'}, qq("fields": {"full_text": $_}))->{results}[0]{_score} } 1, 10;
	ok(abs($weighted[1] - 10 * $weighted[0]) < 0.001, "$product: weights of fields");
	$answer = $with->(q{'kafka migration'}, '');
	my $second = $answer->{results}[1]{_score};
	$is->(titles($with->(q{'kafka migration'}, qq("min_score": @{[ $second + 0.01 ]}))), 'Kafka', 'min_score');
	$is->($with->(q{'Repplication for kafak'}, '"suggest": true')->{did_you_mean}, 'replication for kafka', 'did_you_mean: whole words');
	my $fine = $with->(q{'kafka migration'}, '"suggest": true');
	ok(exists $fine->{did_you_mean} && !defined $fine->{did_you_mean}, "$product: nothing to mean where all words occur");

	# What of the documents.
	$answer = $with->(q{'edge'}, '"source": ["title", "budget_usd"]');
	$is->(join(' ', sort keys %{ $answer->{results}[0] }), '_id _score budget_usd title', 'source');
	$answer = $with->(q{'edge'}, '"source": false');
	$is->(join(' ', sort keys %{ $answer->{results}[0] }), '_id _score', 'no source');

	# What the caller writes is words.
	for my $text ('kafka" OR "x', 'title:kafka', '*', '{"match_all": {}}', 'kafka~ AND (', "kafka\\\\ \\u0000", '/.*/', '${x}{{y}}')
	{
		my $got = titles($with->("'" . $text =~ s/'/''/gr . "'", ''));
		like($got, qr/^(?:Kafka|Postgres|KafkaE| )*$/, "$product: '$text' is words");
	}
	return;
}

# Somebody else's words: nothing that acme can ask shows a document or a word of rival, wherever the two are placed.
sub find_isolation
{
	my ($node, $what) = @_;
	for my $arguments (
		q{'zanzibar'}, q{'zanzibar', options => '{"fuzzy": true}'}, q{'zanzibr', options => '{"suggest": true, "fuzzy": true}'}, q{'zanzibra secert', options => '{"suggest": true}'},
		q{NULL, filters => '{"industry": "espionage"}'}, q{NULL, filters => '{"industry": {"not": "x"}}'}, q{NULL, options => '{"facets": {"industry": 1000, "technologies": 1000}}'},
		q{'zanzibar', 'case_studies,case_studies_tenant_rival'}, q{'zanzibar', 'case_studies_tenant_rival'}, q{'zanzibar', '*'}, q{'zanzibar', 'case_studies_tenant_rival/_search?x='},
		q{'zanzibar', filters => '{"_index": "case_studies_tenant_rival"}'}, q{NULL, filters => '{"_tenancy.tenant": {"exists": true}}'}, q{NULL, filters => '{"_tenancy": null}'},
		q{'zanzibar', options => '{"index": "case_studies_tenant_rival"}'}, q{NULL, options => '{"sort": "_tenancy.tenant"}'}, q{NULL, options => '{"facets": "_tenancy.tenant"}'},
		q{'zanzibar', options => '{"hydrate": true}'}, q{NULL, options => '{"hydrate": true}'}, q{NULL, options => '{"source": false}'}, q{NULL, options => '{"source": "_tenancy"}'},
		q{'zanzibar', options => '{"highlight": true}'}, q{NULL, options => '{"min_score": 0.0001, "total": false}'})
	{
		is_silent(find($node, 'acme', $arguments), "$what: tenant_search($arguments)");
		is_silent(find($node, 'acme', "$arguments) r)", 'to_json(ARRAY(SELECT to_json(r) FROM tenant_search_rows'), "$what: tenant_search_rows($arguments)");
	}
	for my $body ('{}', '{"query": {"match": {"full_text": "zanzibar"}}}', '{"query": {"query_string": {"query": "*"}}}', '{"query": {"bool": {"should": [{"match_all": {}}, {"term": {"industry": "espionage"}}], "minimum_should_match": 0}}}',
		'{"query": {"bool": {"must_not": {"exists": {"field": "_tenancy.tenant"}}}}}', '{"query": {"terms": {"_tenancy.tenant": ["1", "2", "3", "4"]}}}', '{"post_filter": {"match_all": {}}, "size": 1000, "track_total_hits": true}',
		'{"aggs": {"a": {"terms": {"field": "industry", "size": 1000}}, "b": {"filter": {"match_all": {}}, "aggs": {"c": {"terms": {"field": "technologies", "size": 1000}}}}}}',
		'{"aggs": {"a": {"filters": {"filters": {"x": {"term": {"industry": "espionage"}}}}}}}', '{"aggs": {"a": {"cardinality": {"field": "technologies"}}}, "_source": false}')
	{
		my $got = find($node, 'acme', "'$body'", 'tenant_search_dsl');
		is_silent($got, "$what: tenant_search_dsl($body)");
		cmp_ok($got->{hits}{total}{value} // 0, '<=', 5, "$what: tenant_search_dsl($body) counts its own") unless $got->{error};
	}
	cmp_ok(find($node, 'rival', q{'zanzibar'})->{total}, '==', 30, "$what: rival has them");
	is(find($node, 'rival', q{'zanzibra', options => '{"suggest": true}'})->{did_you_mean}, 'zanzibar', "$what: and is told its words");
	return;
}

# An answer has no word of rival's; an error has only the caller's own.
sub is_silent
{
	my ($got, $what) = @_;
	delete $got->{message} if ref $got eq 'HASH';
	unlike(JSON::PP->new->canonical->encode($got), qr/zanzibar secret|espionage|"zanzibar"|did_you_mean":"[^"]*zanzibar|Kafka zanzibar/i, $what);
	return;
}

1;
