# The comparer must see every difference between a table and an index, else no other test is worth anything.

use strict;
use warnings;
use Test::More;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7');
my $rows = 2500;
my $epoch = 3;

my $search = TenancySearch->start('elasticsearch7');
my $node = PostgreSQL::Test::Cluster->new('comparer');
$node->init;
$node->start;

$node->safe_psql('postgres', <<SQL);
CREATE SCHEMA "tenant_it's";
CREATE TABLE "tenant_it's".thing (
	id bigint PRIMARY KEY, title text, price numeric(12,2), ratio float8, tags jsonb, at timestamptz, words tsvector);
INSERT INTO "tenant_it's".thing
	SELECT n, E'title "' || n || E'" \\\\ \\n\\tü', n / 4.0, CASE WHEN n % 7 > 0 THEN n / 8.0 END,
		jsonb_build_array('a', n), '2026-01-01 00:00:00.123+00'::timestamptz + n * interval '1 minute', 'a b'
	FROM generate_series(1, $rows) n;
SQL

# The documents as the sink would make them, but in another time zone.
my $lsn = $node->safe_psql('postgres', q{SELECT (pg_current_wal_lsn() - '0/0')::bigint});
my $version = ($epoch << 52) + $lsn;
my @documents = split /\n/, $node->safe_psql('postgres', <<'SQL');
SET TimeZone = 'Asia/Kolkata';
SELECT to_jsonb(t) - 'words' FROM "tenant_it's".thing t ORDER BY id;
SQL

# Sends documents with a version, through _bulk.
sub put
{
	my ($with, @text) = @_;
	my $body = '';
	for (@text)
	{
		my ($id) = /"id": (\d+)/;
		$body .= qq({"index":{"_id":"$id","version":$with,"version_type":"external_gte"}}\n$_\n);
	}
	my ($status, $reply) = $search->request('POST', '/things/_bulk', $body);
	is($status, 200, 'bulk accepted');
	ok(!$reply->{errors}, 'every document accepted') or diag(explain($reply));
}

my %where = (schema => "tenant_it's", alias => 'things', epoch => $epoch);

sub compare { return compare_index($node, 'postgres', "it's", 'thing', $search, 'thing', %where, @_) }

# Compares, and expects just these differences.
sub differs
{
	my ($name, %expected) = @_;
	my $found = compare();
	for my $kind (qw(missing ghost))
	{
		is_deeply($found->{$kind}, $expected{$kind} // [], "$name: $kind");
	}
	is_deeply([ map { "$_->{id}.$_->{field}" } @{ $found->{stale} } ], $expected{stale} // [], "$name: stale");
}

$search->request('PUT', '/things', { settings => { number_of_shards => 2, number_of_replicas => 0 },
	mappings => { dynamic => JSON::PP::false } });
put($version, @documents);
my $found = index_agrees($node, 'postgres', "it's", 'thing', $search, 'thing', 'table and index agree', %where);
is($found->{checked}, $rows, 'every row was looked at');
is($found->{documents}, $rows, 'every document was looked at');

# One document, changed and put back.  $change edits its text.
sub changed
{
	my ($name, $change, $stale) = @_;
	local $_ = $documents[41];
	$change->();
	put($version, $_);
	differs($name, stale => $stale);
	put($version, $documents[41]);
}

changed('text changed', sub { s/"title": "title/"title": "Title/ or die }, ['42.title']);
changed('number changed', sub { s/"price": 10.50/"price": 10.51/ or die }, ['42.price']);
changed('number written otherwise', sub { s/"price": 10.50/"price": 1.05e1/ or die }, []);
changed('number became text', sub { s/"price": 10.50/"price": "10.50"/ or die }, ['42.price']);
changed('time changed', sub { s/(T\d\d:\d\d:\d\d\.)123/${1}124/ or die }, ['42.at']);
changed('time is nonsense', sub { s/"at": "[^"]*"/"at": "soon"/ or die }, ['42.at']);
changed('inside a list', sub { s/\["a", 42\]/["a", 43]/ or die }, ['42.tags']);
changed('null left out', sub { s/"ratio": null, // or die }, ['42.ratio']);
changed('field too many', sub { s/\}$/, "extra": null}/ or die }, ['42.extra']);
changed('two fields', sub { s/"title": "title/"title": "Title/; s/"price": 10.50/"price": 0/ }, [ '42.price', '42.title' ]);
differs('all put back');

$search->request('DELETE', "/things/_doc/42?version=$version&version_type=external_gte");
differs('document deleted', missing => ['42']);
put($version, $documents[41]);

(my $more = $documents[41]) =~ s/"id": 42/"id": 999999/;
put($version, $more);
differs('document added', ghost => ['999999']);
$search->request('DELETE', "/things/_doc/999999?version=$version&version_type=external_gte");

$search->request('PUT', '/things2', { settings => { number_of_replicas => 0 }, mappings => { dynamic => JSON::PP::false } });
$search->request('POST', '/_aliases', { actions => [ map { { add => { index => $_, alias => 'both' } } } qw(things things2) ] });
$search->request('PUT', '/things2/_doc/42?refresh=true', $documents[41]);
{
	local $where{alias} = 'both';
	differs('the same row in two indices', ghost => ['42'], stale => ['42._version']);
}

put($version + 1_000_000_000, $documents[0]);
differs('version beyond the WAL', stale => ['1._version']);
put((($epoch + 1) << 52) + 1, $documents[0]);
differs('version of another epoch', stale => ['1._version']);
is(scalar @{ compare(versions => 0)->{stale} }, 0, 'versions not looked at if so asked');

$node->safe_psql('postgres', q{UPDATE "tenant_it's".thing SET title = 'new' WHERE id = 7; DELETE FROM "tenant_it's".thing WHERE id = 8;
	INSERT INTO "tenant_it's".thing VALUES (0)});
is_deeply(
	compare(versions => 0),
	{   checked => $rows, documents => $rows, missing => ['0'], ghost => ['8'],
		stale => [ { id => '7', field => 'title', row => 'new', doc => JSON::PP->new->utf8->decode($documents[6])->{title} } ] },
	'rows changed behind the index');

# A key of two columns, and values that JSON lacks.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE "tenant_it's".pair (a text, n int, x float8, at timestamptz, PRIMARY KEY (a, n));
INSERT INTO "tenant_it's".pair VALUES ('b:c\', 1, 'NaN', '-infinity'), ('d', 2, 'infinity', NULL), ('e', 3, 1e300, now());
SQL
my $pair = $node->safe_psql('postgres', q{SELECT to_jsonb(p) FROM "tenant_it's".pair p WHERE a = 'e'});
$search->request('PUT', '/pairs', { mappings => { dynamic => JSON::PP::false } });
$search->request('PUT', '/pairs/_doc/b%5C%3Ac%5C%5C:1', '{"a":"b:c\\\\","n":1,"x":null,"at":null}');
$search->request('PUT', '/pairs/_doc/d:2', '{"a":"d","n":2,"x":null,"at":null}');
$search->request('PUT', '/pairs/_doc/e:3', $pair);
index_agrees($node, 'postgres', "it's", 'pair', $search, 'pair', 'key of two columns', %where, alias => 'pairs',
	versions => 0, @$_) for [], [ key => [qw(a n)] ];

# No index at all is an error, not agreement.
ok(!eval { compare(alias => 'nowhere'); 1 }, 'no index: the comparer dies');
like($@, qr/404/, 'and says why');

my $redis;
SKIP:
{
	skip 'no Redis here', 4 unless TenancyRedis->available;
	$redis = TenancyRedis->start(password => 'se"cret');
	is(redis_cmd($redis, 'SET', 'a', "\x{fc} \r\n"), 'OK', 'Redis takes a value');
	is(redis_cmd($redis, 'GET', 'a'), "\x{fc} \r\n", 'and gives it back');
	is(redis_cmd($redis, 'GET', 'b'), undef, 'a missing key is undef');
	is_deeply([ $redis->keys('*') ], ['a'], 'list of keys');
}

$search->kill9;
is(($search->raw('GET', '/'))[0], 599, 'killed: no answer');
$search->start;
ok($search->count('things') == $rows, 'started again with its data');

done_testing();
