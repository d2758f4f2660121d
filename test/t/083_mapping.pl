# Generated mappings on every search server there is: no value of any type is refused, and each field is found as its
# type says.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7', 'opensearch2');

# Products that nobody fetches for this test are used only if they are in the cache already.
my ($cache) = grep { defined && -d } $ENV{PG_TENANCY_CACHE}, '/var/cache/pg_tenancy', "$ENV{HOME}/.cache/pg_tenancy";
my @products = ('elasticsearch7', 'opensearch2');
push @products, 'opensearch' . 3 if $cache && glob("$cache/opensearch3-*/.complete");
push @products, 'elasticsearch' . 9 if $cache && glob("$cache/elasticsearch9-*/.complete");
@products = split / /, $ENV{MAPPING_PRODUCTS} if $ENV{MAPPING_PRODUCTS};

# Ordinary values of the row 2: column, type, value, query, and what servers lack it (regexp).
sub term { return { term => { $_[0] => $_[1] } } }
sub range { my ($field, @range) = @_; return { range => { $field => {@range} } } }
my @columns = (
	[ bo => 'bool', 'true', term(bo => 'true') ],
	[ i2 => 'int2', '-32768', range(i2 => lt => -32767) ],
	[ i4 => 'int4', '2147483647', term(i4 => 2147483647) ],
	[ i8 => 'int8', '9223372036854775807', term(i8 => '9223372036854775807') ],
	[ f4 => 'float4', '1.5', range(f4 => gte => 1.5, lt => 1.6) ],
	[ f8 => 'float8', '2.2250738585072014e-308', range(f8 => gt => 0, lt => 1e-300) ],
	[ n => 'numeric', '123456789012345678901234567890.0123456789', term('n.exact' => '123456789012345678901234567890.0123456789') ],
	[ n5 => 'numeric(5)', '99999', term(n5 => 99999) ],
	[ n12 => 'numeric(12,2)', '-12345.67', term(n12 => '-12345.67') ],
	[ n15 => 'numeric(15,15)', '0.123456789012345', range(n15 => gt => 0.12345, lt => 0.12346) ],
	[ mo => 'money', '12', term(mo => '$12.00') ],
	[ tx => 'text', 'The quick brown Fox', { match => { tx => 'fox' } } ],
	[ tr => 'text', 'The quick', term('tr.raw' => 'The quick') ],
	[ vc => 'varchar(50000)', 'Exactly this', term(vc => 'Exactly this') ],
	[ ch => 'char(5)', 'ab', term(ch => 'ab   ') ],
	[ by => 'bytea', '\x00ff', undef ],
	[ d => 'date', '2024-02-29', range(d => gte => '2024-02-29', lt => '2024-03-01') ],
	[ ti => 'time', '23:59:59', term(ti => '23:59:59') ],
	[ ts => 'timestamp', '2024-02-29 12:34:56.789', range(ts => gte => '2024-02-29T12:34:56', lt => '2024-02-29T12:34:57') ],
	[ tz => 'timestamptz', '2024-02-29 12:34:56+02', range(tz => gte => '2024-02-29T10:34:56Z', lte => '2024-02-29T10:34:56Z') ],
	[ iv => 'interval', '1 day 00:00:01.5', term(iv => 86401) ],
	[ u => 'uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', term(u => 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11') ],
	[ x => 'xml', '<a>words in it</a>', { match => { x => 'words' } } ],
	[ js => 'json', '{"a": {"b": "deep"}}', term('js.a.b' => 'deep'), qr/opensearch/ ],
	[ jb => 'jsonb', '{"a": [{"b": 5}, {"b": "x"}]}', term('jb.a.b' => '5'), qr/opensearch/ ],
	[ ja => 'jsonb', '["red", "green"]', term('ja.value' => 'green'), qr/opensearch/ ],
	[ ine => 'inet', '192.168.1.7', term(ine => '192.168.0.0/16') ],
	[ inm => 'inet', '192.168.1.7/24', term('inm.raw' => '192.168.1.7/24') ],
	[ ci => 'cidr', '10.0.0.0/8', term(ci => '10.1.2.3') ],
	[ ma => 'macaddr', '08:00:2b:01:02:03', term(ma => '08:00:2b:01:02:03') ],
	[ po => 'point', '(13.4,52.5)', { geo_distance => { distance => '10km', po => { lat => 52.51, lon => 13.41 } } } ],
	[ r4 => 'int4range', '[1,5)', term(r4 => 4) ],
	[ r8 => 'int8range', '(,5)', term(r8 => -1) ],
	[ rn => 'numrange', '(1.5,2.5]', term(rn => 2.5) ],
	[ rd => 'daterange', '[2024-01-01,2024-02-01)', term(rd => '2024-01-31') ],
	[ rs => 'tsrange', '[2024-01-01 12:00,)', term(rs => '2030-01-01') ],
	[ rz => 'tstzrange', '[2024-01-01 12:00+02,2024-01-01 13:00+02]', term(rz => '2024-01-01T11:00:00Z') ],
	[ en => 'mood', 'ok', term(en => 'ok') ],
	[ co => 'pair', '(1,b)', undef ],
	[ pr => 'price', '5.25', range(pr => gt => 5.2, lt => 5.3) ],
	[ ai => 'int[]', '{1,2,NULL,3}', term(ai => 2) ],
	[ at => 'text[]', '{one,two words}', { match => { at => 'words' } } ],
	[ an => 'numeric(12,2)[]', '{1.25,2}', term(an => '1.25') ],
	[ ad => 'date[]', '{2024-02-29}', range(ad => gte => '2024-02-29') ],
	[ ae => 'mood[]', '{sad,ok}', term(ae => 'sad') ],
	[ ac => 'cidr[]', '{10.0.0.0/8}', term(ac => '10.9.9.9') ],
	[ ar => 'int4range[]', '{"[1,5)"}', term(ar => '[1,5)') ],
	[ aj => 'jsonb[]', '{"{\"a\": 1}",5}', undef ],
	[ ap => 'pair[]', '{"(1,b)"}', undef ]);

my $long = q{repeat('x', 40000)};
# Rows that some type of server would refuse: column => value, as SQL.
my @odd = (
	{ f4 => q{'NaN'}, f8 => q{'Infinity'}, n => q{'NaN'}, d => q{'infinity'}, ts => q{'-infinity'}, tz => q{'infinity'}, ad => q{'{infinity,-infinity}'}, po => q{'(NaN,Infinity)'},
	  rn => q{'[1,NaN]'}, rd => q{'[2020-01-01,infinity)'}, rs => q{'[-infinity,infinity]'}, rz => q{'[infinity,infinity]'}, r4 => q{'empty'} },
	{ n => q{'-Infinity'}, n12 => q{'NaN'}, an => q{'{NaN,1}'}, f4 => q{'3.4028235e38'}, f8 => q{'-1.7976931348623157e308'}, rn => q{'[-Infinity,Infinity]'}, rd => q{'[-infinity,infinity]'} },
	{ d => q{'20000-02-29'}, ts => q{'20000-01-01'}, tz => q{'294276-12-31 23:59:59.999999+00'}, rd => q{'[20000-01-01,30000-01-01)'}, rs => q{'[20000-01-01,30000-01-01)'}, rz => q{'[2020-01-01,200000-01-01)'}, ad => q{'{20000-01-01,5874897-12-31}'} },
	{ d => q{'0044-03-15 BC'}, ts => q{'4713-01-01 BC'}, tz => q{'0001-01-01 00:00+00 BC'}, rd => q{'[4713-01-01 BC,0044-03-15 BC)'}, rs => q{'[4713-01-01 BC,0001-01-01 BC)'}, rz => q{'["0100-01-01 00:00+00 BC",2020-01-01]'}, ad => q{'{"0044-03-15 BC"}'} },
	{ d => q{'5874897-12-31'}, rd => q{'[5874896-12-31,5874897-12-31)'}, i2 => 32767, i4 => -2147483648, i8 => '(-9223372036854775808)', r4 => q{'[2147483646,2147483647)'}, r8 => q{'[9223372036854775807,)'} },
	{ rn => q{'(1,1.00000000000000000001)'}, rs => q{'("2020-01-01 00:00:00.0001","2020-01-01 00:00:00.0002")'}, rz => q{'("2020-01-01 00:00:00.0001+00","2020-01-01 00:00:00.0011+00")'}, rd => q{'[2020-01-01,2020-01-02)'}, r8 => q{'[9007199254740992,9007199254740993)'} },
	{ rn => q{'[1e400,2e400]'}, n => q{'1e400'}, iv => q{'178000000 years'} },
	{ rn => q{'[-2e400,-1e400]'}, n => q{repeat('9', 1000)::numeric + 0.1}, iv => q{'-178000000 years'} },
	{ tx => $long, tr => qq{repeat('word ', 20000)}, vc => $long, at => "ARRAY[$long]", ch => q{''}, x => qq{('<a>' || $long || '</a>')::xml}, by => qq{decode(repeat('ff', 40000), 'hex')} },
	{ tx => q{repeat('𝒳', 12000)}, vc => q{repeat('𝒳', 12000)}, at => q{ARRAY[repeat('𝒳', 9000)]}, tr => q{E'\u2028\t"\\\\\u0001'} },
	{ jb => q{(SELECT jsonb_object_agg('key' || n, n) FROM generate_series(1, 10000) n)}, ja => q{(SELECT jsonb_agg(n) FROM generate_series(1, 10000) n)}, js => q{(SELECT json_object_agg('key' || n, 'v' || n) FROM generate_series(1, 10000) n)} },
	{ jb => q{'"a string"'}, ja => q{'5'}, js => q{'true'} },
	{ jb => q{'null'}, ja => q{'[]'}, js => q{' null '} },
	{ jb => q{'[[[{"a": 1}]], null]'}, ja => q{'[1, {"a": [2, {"b": 3}]}, [4]]'}, js => q{' [ "x" , {"y" : null} ] '} },
	{ jb => "jsonb_build_object('long', $long)", ja => "jsonb_build_array($long, repeat('𝒳', 12000))", js => "json_build_object('a', json_build_object('b', $long))" },
	{ jb => "jsonb_build_object($long, 1, '', 2, ' ', 3, '.', 4, 'a.b', 5, '.x.', 6, 'a', '{}'::jsonb)", ja => "jsonb_build_array(jsonb_build_object($long, 1))", js => q{'{"zero\u0000": 1, "x": "\u0000"}'} },
	{ jb => q{(repeat('{"a":', 100) || '1' || repeat('}', 100))::jsonb}, ja => q{(repeat('[', 100) || repeat(']', 100))::jsonb}, js => q{(repeat('{"a":', 20) || '{}' || repeat('}', 20))::json} },
	{ jb => q{(repeat('{"a":', 18) || '1' || repeat('}', 18))::jsonb}, ja => q{(repeat('[{"a":', 17) || '5' || repeat('}]', 17))::jsonb}, js => q{'{"n": 1e400, "m": 123456789012345678901234567890}'} },
	{ ine => q{'::1'}, inm => q{'fe80::1/64'}, ci => q{'::/0'}, ac => q{'{0.0.0.0/0,::1}'}, po => q{'(500,1000)'}, mo => q{'-92233720368547758.08'} },
	{ jb => q{('{"x": ' || repeat('9', 1200) || '}')::jsonb}, ja => q{('[' || repeat('9', 1200) || ']')::jsonb}, js => q{('-' || repeat('9', 1200))::json} },
	{ ai => q{'{{1,2},{3,NULL}}'}, at => q{'{{a,"b\"c"},{NULL,"NULL"}}'}, an => q{'[0:1]={7,8}'}, ae => q{'{}'}, aj => q{ARRAY['[[1]]'::jsonb, 'null', '"x"', '{"a": {}}']}, ap => q{ARRAY[ROW(1,NULL)::pair, NULL]}, ar => q{'{empty,"(,)"}'} });

my $table = join ', ', 'id int PRIMARY KEY', map { "$_->[0] $_->[1]" } @columns;

for my $product (@products)
{
	my $search = TenancySearch->start($product);
	my $node = tenancy_node("mapping_$product", search => $search);
	$node->start;
	my $sql = sub { return $node->safe_psql('postgres', "SET search_path = tenant_m, public;\n" . join(";\n", @_)) };
	my $letters = sub { return $node->safe_psql('postgres', 'SELECT key, left(reason, 300) FROM tenancy.dead_letter ORDER BY key') };
	my $found = sub {
		my ($index, $query) = @_;
		$search->refresh("${index}_tenant_m");
		my ($status, $reply) = $search->request('POST', "/${index}_tenant_m/_search", { query => $query, size => 100 });
		return "$status: " . substr($reply->{error}{reason} // '', 0, 200) if $status != 200;
		return join ' ', sort { $a <=> $b } map { $_->{_id} } @{ $reply->{hits}{hits} };
	};
	my $fields = sub {
		my ($status, $reply) = $search->request('GET', "/$_[0]_tenant_m/_mapping");
		return (values %$reply)[0]{mappings}{properties};
	};
	$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION pg_tenancy;
CREATE TYPE public.mood AS ENUM ('sad', 'ok');
CREATE TYPE public.pair AS (a int, b text);
CREATE DOMAIN public.price AS numeric(12,2) CHECK (VALUE > 0);
SELECT tenant_blueprint_add('m', 1, \$\$
CREATE TABLE every ($table);
CREATE TABLE own (id int PRIMARY KEY, price numeric(10,2), j jsonb);
CREATE TABLE said (id int PRIMARY KEY, name text, secret text);
\$\$);
SELECT tenancy.index_template('m', 'said', '{"number_of_shards": 2, "analysis": {"analyzer": {"mine": {"tokenizer": "standard", "filter": ["lowercase", "stop"]}}}}');
SELECT tenancy.map_column('m', 'said', 'name', '{"type": "text", "analyzer": "mine"}'), tenancy.map_column('m', 'said', 'secret', NULL);
SELECT tenant_sync_table('m', t, t) FROM unnest('{every,said}'::text[]) t;
SELECT tenant_sync_table('m', 'own', 'own', mapping => '{"mappings": {"dynamic": false, "properties": {"price": {"type": "scaled_float", "scaling_factor": 100}, "o": {"properties": {"deep": {"type": "scaled_float", "scaling_factor": 10}}}, "j": {"type": "flattened"}}}}');
SELECT tenant_create('m', 'm');
SQL
	$sql->('INSERT INTO every (id) VALUES (1)', 'INSERT INTO every VALUES (2, ' . join(', ', map { "'$_->[2]'" } @columns) . ')');
	for my $n (0 .. $#odd)
	{
		my @names = sort keys %{ $odd[$n] };
		$sql->(sprintf 'INSERT INTO every (id, %s) VALUES (%d, %s)', join(', ', @names), $n + 10, join(', ', map { $odd[$n]{$_} } @names));
	}
	$sql->(q{INSERT INTO own VALUES (1, 12.34, '{"a": "b"}')}, q{INSERT INTO said VALUES (1, 'the word', 'hidden')});
	ok(sync_wait($node, 'postgres', 120), "$product: everything is in");
	is($letters->(), '', "$product: nothing was refused");
	is($search->count('every_tenant_m'), 2 + @odd, "$product: every row has a document");
	for my $column (@columns)
	{
		my ($name, $type, $value, $query, $lacking) = @$column;
		next unless $query;
		my $expected = $lacking && $product =~ $lacking ? '' : '2';
		# other rows may have such a value too
		my $ids = $found->('every', { bool => { must => [$query], filter => [ { terms => { id => [ 1, 2 ] } } ] } });
		is($ids, $expected, "$product: $type ($name) is found") or diag(explain($fields->('every')->{$name}));
	}
	is($found->('every', { range => { d => { gte => '20000-01-01', format => 'date_optional_time' } } }), $product =~ /opensearch/ ? '12' : '12 14', "$product: the years 20000 and 5874897, where they are known");
	is($found->('every', term('jb.key777' => '777')), $product =~ /opensearch/ ? '' : '20', "$product: one key of 10,000");
	is($found->('every', term('ja.value.a.b' => '3')), $product =~ /opensearch/ ? '' : '23', "$product: in an array of this and that");
	is($found->('every', { match => { tr => 'word' } }), '18', "$product: a long text is found by its words");
	$sql->(q{UPDATE every SET js = NULL WHERE js::text LIKE '%zero%'}); # the comparer cannot read that
	ok(sync_wait($node, 'postgres', 60), "$product: a change is in");
	index_agrees($node, 'postgres', 'm', 'every', $search, 'every', "$product: documents", ignore => [qw(js jb ja rn rd rs rz po ad n)]);

	my $notes = $node->safe_psql('postgres', q{SELECT index_type || ': ' || coalesce(note, '-') FROM tenancy.search_index WHERE index_type IN ('every', 'own') ORDER BY 1});
	my $own = $fields->('own');
	my %expected = (
		elasticsearch7 => "every: -\nown: -",
		elasticsearch9 => "every: scaled_float is double here\nown: scaled_float is double here",
		opensearch2 => "every: flattened is not indexed here\nown: flattened is flat_object here",
		opensearch3 => "every: flattened is not indexed here\nown: flattened is flat_object here");
	is($notes, $expected{$product}, "$product: what it got otherwise");
	is($own->{price}{type}, $product =~ /h9/ ? 'double' : 'scaled_float', "$product: a mapping of the user's own");
	is($own->{o}{properties}{deep}{type}, $product =~ /h9/ ? 'double' : 'scaled_float', "$product: and deeper in it");
	is($found->('own', range(price => gt => 12.33, lt => 12.35)), '1', "$product: found");
	is($found->('own', term('j.a' => 'b')), '1', "$product: JSON as the user wants it is found");
	is($found->('said', { match => { name => 'the' } }) . '|' . $found->('said', { match => { name => 'WORD' } }), '|1', "$product: an analyzer of the template");
	is($found->('said', { match => { secret => 'hidden' } }), '', "$product: a column that is not to be found");
	is(($search->request('GET', '/said_tenant_m/_settings'))[1]->{ (keys %{ ($search->request('GET', '/_alias/said_tenant_m'))[1] })[0] }{settings}{index}{number_of_shards}, 2, "$product: settings of the template");

	$sql->('ALTER TABLE every ADD added numeric(10,3), ADD more jsonb, ADD named varchar(20)', q{UPDATE every SET added = 1.234, more = '[1]', named = 'n' WHERE id = 2},
		'ALTER TABLE own ADD added numeric(10,3)', q{UPDATE own SET added = 1.5});
	ok(sync_wait($node, 'postgres', 60), "$product: added columns are in");
	is($letters->(), '', "$product: and nothing was refused");
	is($found->('every', range(added => gt => 1.233, lt => 1.235)) . $found->('every', term(named => 'n')), '22', "$product: added columns are found");
	is($fields->('own')->{added}, undef, "$product: a closed mapping of the user's own stays his");
	my $generated = $node->safe_psql('postgres', q{SELECT tenancy.mapping_diff(tenancy.merged_body(body, fields), tenancy.index_body(tenant_id, index_type)) FROM tenancy.search_index WHERE index_type = 'every'});
	like($generated, qr/^\(none,/, "$product: the index has what a new one would have");
	$node->stop;
	$search->stop;
}
done_testing();
