# The answers of 074_search that do not depend on the product, from the other search servers that are here.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyFind;

need_servers('opensearch2');

each_product(sub {
	my ($product, $search) = @_;
	my $node = tenancy_node($product, search => $search);
	$node->start;
	find_setup($node, $search);
	find_checks($node, $product);
	# Text beyond what highlighting reads does not make the search fail.
	$node->safe_psql('postgres', q{INSERT INTO tenant_acme.case_studies (title, full_text) SELECT 'Long', 'lengthy ' || repeat('word and more ', 90000)});
	ok(sync_wait($node, 'postgres', 60), "$product: a long text");
	$search->refresh('case_studies_tenant_acme');
	my $answer = find($node, 'acme', q{'lengthy', options => '{"engine": "server", "highlight": "full_text", "source": "title"}'});
	like($answer->{results}[0]{_highlight}{full_text}[0] // $answer->{message}, qr/^<em>lengthy<\/em> word/, "$product: highlighted as far as it is read");
	is(find($node, 'acme', '$${"query": {"terms": {"industry": {"index": "case_studies_tenant_rival", "id": "1", "path": "industry"}}}}$$', 'tenant_search_dsl')->{error}, '22023', "$product: dsl looks nothing up");
	is(find($node, 'acme', '$${"aggs": {"n": {"terms": {"field": "industry"}}}}$$', 'tenant_search_dsl')->{aggregations}{n}{sum_other_doc_count}, 0, "$product: dsl counts");
	$node->stop;
}, 'opensearch2', 'opensearch' . 3, 'elasticsearch' . 9);
done_testing();
