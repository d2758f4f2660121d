# A search server that lies: replies of every wrong form, and far too large ones.  Each search ends with its own
# SQLSTATE, or PostgreSQL answers; the backend lives on, and 10,000 searches do not make it grow.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLiar;

# A reply to a search with these hits, and what else.
sub reply
{
	my ($hits, $more) = @_;
	return '{"took":1,"timed_out":false,"_shards":{"failed":0},"hits":{"total":{"value":1,"relation":"eq"},"hits":[' . $hits . ']}' . ($more // '') . '}';
}

my $hit = '{"_id":"7","_score":1.5,"_source":{"title":"from the server"},"sort":[1.5,"7"]}';
my %replies = (
	good => reply($hit),
	garbage => "\x00\x01\xfe\xff nonsense",
	latin => "{\"hits\": \"\xe9\"}",
	html => '<html><body>Please log in</body></html>',
	half => substr(reply($hit), 0, 120),
	list => '[]',
	word => '"hits"',
	zero => '{"hits":{"total":{"value":1},"hits":[{"_id":"a\u0000b","_score":1,"_source":{}}]}}',
	deep => '{"hits":' . '[' x 100_000 . ']' x 100_000 . '}',
	negative => reply($hit) =~ s/"value":1/"value":-1/r,
	fraction => reply($hit) =~ s/"value":1/"value":1.5/r,
	huge => reply($hit) =~ s/"value":1/"value":99999999999999999999999/r,
	text => reply($hit) =~ s/"value":1/"value":"1"/r,
	many => reply(join(',', ($hit) x 21)),
	noid => reply('{"_score":1,"_source":{}}'),
	numberid => reply('{"_id":7,"_score":1,"_source":{}}'),
	nosource => reply('{"_id":"7","_score":1}'),
	listsource => reply('{"_id":"7","_score":1,"_source":[1]}'),
	textscore => reply('{"_id":"7","_score":"1","_source":{}}'),
	hugescore => reply($hit =~ s/"_score":1.5/"_score":1e400/r),
	hugesort => reply($hit =~ s/\[1.5,"7"\]/[-1e400,"7"]/r),
	shortsort => reply($hit =~ s/\[1.5,"7"\]/[1.5]/r),
	deepsort => reply($hit =~ s/\[1.5,"7"\]/[1.5,{"a":1}]/r),
	mark => reply($hit =~ s/"_source"/"highlight":{"title":[{"a":1}]},"_source"/r),
	markdeep => reply($hit =~ s/"_source"/"highlight":{"title":[["a"]]},"_source"/r),
	marktext => reply($hit =~ s/"_source"/"highlight":{"title":"a"},"_source"/r),
	wide => reply(join(',', (1) x 2_000_000)),
);

# Replies about facets are only read where facets are asked for.
my %facets = (
	nofacet => '', nofacets => ',"aggregations":{}', listfacets => ',"aggregations":[]',
	nobuckets => ',"aggregations":{"f0":{"values":{"sum_other_doc_count":0}}}',
	nocount => ',"aggregations":{"f0":{"values":{"sum_other_doc_count":0,"buckets":[{"key":"a"}]}}}',
	nokey => ',"aggregations":{"f0":{"values":{"sum_other_doc_count":0,"buckets":[{"doc_count":1}]}}}',
	deepkey => ',"aggregations":{"f0":{"values":{"sum_other_doc_count":0,"buckets":[{"key":{"a":1},"doc_count":1}]}}}',
	minus => ',"aggregations":{"f0":{"values":{"sum_other_doc_count":-1,"buckets":[]}}}',
	morebuckets => ',"aggregations":{"f0":{"values":{"sum_other_doc_count":0,"buckets":[' . join(',', ('{"key":"a","doc_count":1}') x 11) . ']}}}',
);
$replies{$_} = reply($hit, $facets{$_}) for keys %facets;

# Sends a long body of a true beginning, until the other side has had enough.
sub send_long
{
	my ($client, $megabytes) = @_;
	my $piece = 'x' x (1024 * 1024);
	local $SIG{PIPE} = 'IGNORE';
	printf $client "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"hits\":\"", $megabytes * length($piece) + 9;
	for (1 .. $megabytes) { print $client $piece or return }
	return;
}

# A hit in an index that tenants share.
sub part_hit
{
	my ($id, $tenant, $part) = @_;
	return '{"_id":"' . $id . '","_score":1.5,"_source":{"_tenancy":{"tenant":"' . $tenant . '","part":"' . $part . '"},"title":"shared"},"sort":[1.5,"7"]}';
}
$replies{part} = reply(part_hit('1.1:7', 1, '1.1'));
$replies{partof} = reply(part_hit('1.10:7', 1, '1.1'));
$replies{parttenant} = reply(part_hit('1.1:7', 2, '1.1'));
$replies{partless} = reply(part_hit('1.1:7', 1, ''));

# How a word is spelled, and whose document says so: spelt, or spelled: another tenant's.
sub spelling
{
	my ($kind, $body) = @_;
	my $option = '[{"offset":0,"length":' . length($kind) . ',"options":[{"text":"spell","score":0.8}]}]';
	return reply(part_hit('1.1:7', 1, '1.1'), qq{,"suggest":{"s0":$option,"s1":$option,"s2":$option}}) if $body =~ /"suggest"/;
	my $found = part_hit($kind eq 'spelt' ? ('1.1:7', 1, '1.1') : ('2.1:7', 2, '2.1')) =~ s/"_score"/"highlight":{"title":["{\\u0001{spell}\\u0002}"]},"_score"/r;
	return reply('', ',"aggregations":{' . join(',', '"w0":{"doc_count":0}', map { qq{"w0o$_":{"doc_count":1,"hit":{"hits":{"hits":[$found]}}}} } 0 .. 2) . '}');
}

# The searched text says how it answers.
my $liar = TenancyLiar->start(sub {
	my ($body, $client) = @_;
	my ($kind) = $body =~ /"query":"(\w+)"/;
	return () unless $kind;
	if ($kind eq 'hundred') { send_long($client, 100); return 'said' }
	return (200, reply($hit =~ s/from the server/sprintf '%s the tenant', $body =~ m{"_tenancy\.tenant":"1"} ? 'only' : 'not only'/er)) if $kind eq 'confined';
	return (200, reply($hit =~ s/from the server/sprintf 'after %s', ($body =~ m{"search_after":\[([^,]*)} ? $1 : 'nothing') =~ tr{"}{'}r/er =~ s/\[1.5/[18446744073709551615/r)) if $kind eq 'large';
	return (200, spelling($kind, $body)) if $kind =~ /^spel/;
	return (200, $replies{$kind});
});

# The library is not preloaded: each session has its own circuit breaker.
my $node = tenancy_node('hostile', preload => 0, conf => "tenancy.search_url = '" . $liar->url . "'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('acme');
UPDATE tenancy.search_index SET state = 'ready', filled = true;
CREATE FUNCTION state_of(what text, options jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN tenant_search(what, options => options)->>'engine';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION rss() RETURNS bigint LANGUAGE sql RETURN substring(pg_read_file('/proc/self/status') FROM 'VmRSS:\s+(\d+)')::bigint;
SQL

# In a session of its own: what the statements print.
sub session
{
	return $node->safe_psql('postgres', "BEGIN; SELECT tenant_use('acme') \\g /dev/null\n" . join(';', @_) . '; COMMIT');
}

is(session(q{SELECT state_of('good', '{"engine": "server"}')}), 'elasticsearch', 'a good reply is taken');
for my $kind (sort grep { $_ !~ /^(?:good|part.*)$/ } keys %replies)
{
	my $options = $facets{$kind} // undef;
	$options = defined $options ? '"facets": "industry"' : '"highlight": "title"';
	is(session(qq{SELECT state_of('$kind', '{"engine": "server", $options}')}, qq{SELECT state_of('$kind', '{}')}),
		$facets{$kind} || $kind =~ /nofacet$/ ? "TN009\nelasticsearch" : "TN009\npostgresql", "$kind: TN009, and the backend lives on");
}
is(session(q{SELECT state_of('hundred', '{"engine": "server"}')}, q{SELECT state_of('hundred', '{}')}), "TN009\npostgresql", '100 MB: TN009');

# What is asked is asked of the tenant's documents, also where the registry knows of nobody else's.
is(session(q{SELECT tenant_search('confined', options => '{"engine": "server"}') #>> '{results,0,title}'}), 'only the tenant', 'a query is confined');
# A number beyond 64 bits comes back as it was.
is(session(q{SELECT tenant_search('large', page_size => 1, options => jsonb_build_object('engine', 'server', 'after',
	tenant_search('large', page_size => 1, options => '{"engine": "server"}') -> 'next')) #>> '{results,0,title}'}), q{after '18446744073709551615'}, 'no digit of a cursor is lost');
# A hit that says whose it is, where the index is the tenant's own as far as the registry knows.
is(session(q{SELECT tenant_search('part', options => '{"engine": "server"}') #- '{results,0,_score}' #>> '{results,0}'}), '{"_id": "7", "title": "shared"}', 'what a shared index adds is taken away');
is(session(q{SELECT tenant_search('parttenant', options => '{"engine": "server"}') #>> '{results,0,_id}'}), '1.1:7', 'and left alone where it is the caller\'s own');
# Where tenants share it.
$node->safe_psql('postgres', q{UPDATE tenancy.search_index SET shared = 'x'});
is(session(q{SELECT state_of('part', '{"engine": "server"}'), state_of('partof', '{"engine": "server"}'), state_of('parttenant', '{"engine": "server"}'), state_of('partless', '{"engine": "server"}')}),
	'elasticsearch|TN009|TN009|TN009', 'shared: only the tenant\'s own hits');
is(session(map { qq{SELECT coalesce(tenant_search('$_', options => '{"engine": "server", "suggest": true}') ->> 'did_you_mean', 'null')} } 'spelt', 'spelled'), "spell\nnull", 'shared: no other tenant\'s word is shown');
is(session(q{SELECT tenant_search('spelt', options => '{"engine": "server", "suggest": true, "fields": "title"}') ->> 'did_you_mean'}), 'spell', 'shared: spellings of fields that were not asked for are not read');
$node->safe_psql('postgres', q{UPDATE tenancy.search_index SET shared = NULL});

# 10,000 searches in one session: mostly the server's nonsense, some large, and good ones.
my $long = session(
	(map { 'DO $$ BEGIN FOR i IN 1 .. 200 LOOP ' . join(' ', map { qq{PERFORM state_of('$_', '{"engine": "server", "highlight": true, "facets": "industry"}');} } qw(garbage half html nofacet shortsort))
		. ' END LOOP; END $$; SELECT rss()' } 1 .. 10),
	'SELECT state_of(\'hundred\', \'{"engine": "server"}\'), state_of(\'wide\', \'{"engine": "server"}\')', 'SELECT rss()');
my @rss = $long =~ /^(\d+)$/mg;
diag("RSS in kB after each 1,000 searches: @rss");
is(scalar @rss, 11, '10,000 searches in one session');
cmp_ok($rss[9] - $rss[1], '<', 20_000, 'its memory does not grow: less than 2 kB a search');
cmp_ok($rss[10] - $rss[1], '<', 200_000, 'nor does a reply of 100 MB stay');

$liar->stop;
is(session(q{SELECT state_of('good', '{"engine": "server"}')}, q{SELECT state_of('good', '{}')}), "TN008\npostgresql", 'nobody there: TN008');
$node->stop;
done_testing();
