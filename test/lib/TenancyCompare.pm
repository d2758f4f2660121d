# The comparer: does an index hold exactly the rows of a table, each as it is now?

package TenancyCompare;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();
use Test::More ();
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(compare_index index_agrees);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $files = 0;

# compare_index(NODE, DATABASE, TENANT, TABLE, SEARCH, INDEX_TYPE [, option => value...])
#
# Compares every row of the tenant's table with every document behind its alias:
# { checked => rows, documents => n, missing => [ids], ghost => [ids], stale => [{ id, field, row, doc }] }.
# A document must have a field for every column but tsvectors, JSON null where the column is NULL or has a value that
# JSON lacks (NaN, infinity), and no other field; intervals are seconds, points and ranges objects, and JSON that is no object may be in
# one ({"value": ...}); numbers are compared as numbers, timestamps as instants.  Its version must be of the epoch of tenancy.instance and not
# beyond the WAL; else it is stale in field _version.  The same id twice is a ghost.
#
# Options, for tables and indices that the extension did not make:
#   schema    schema of the table (that of tenancy.tenant)
#   alias     name to look behind (INDEX_TYPE_tenant_TENANT, after tenancy.search_index_prefix)
#   key       [columns] that make the document's id (the primary key)
#   id        SQL expression of the id over t, instead of key
#   document  SQL expression of the document over t (to_jsonb(t))
#   ignore    [fields] of the documents not to look at
#   epoch     number that the versions must carry (that of tenancy.instance)
#   versions  0: do not look at versions
#   absent_is_null  1: a document may lack a field that is NULL in its row
sub compare_index
{
	my ($node, $database, $tenant, $table, $search, $type, %option) = @_;
	$option{schema} //= schema_of($node, $database, $tenant);
	my $alias = $option{alias} // index_prefix($node, $database) . "${type}_tenant_$tenant";
	my $file = sprintf '%s/compare_%d_%d.json', $PostgreSQL::Test::Utils::tmp_check, $$, ++$files;
	save_documents($search, $alias, $file);
	my $result = $node->safe_psql($database, compare_sql($file, $table, %option));
	unlink $file;
	return $json->decode($result);
}

# index_agrees(NODE, ..., INDEX_TYPE, NAME [, option => value...]): the comparer as one assertion.
sub index_agrees
{
	my ($node, $database, $tenant, $table, $search, $type, $name, %option) = @_;
	my $found = eval { compare_index($node, $database, $tenant, $table, $search, $type, %option) };
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $differ = $found ? map({ scalar @{ $found->{$_} } } qw(missing ghost stale)) : 1;
	my $good = $found && !@{ $found->{missing} } && !@{ $found->{ghost} } && !@{ $found->{stale} };
	Test::More::ok($good, $name) or Test::More::diag($found ? summary($found) : $@);
	return $found;
}

# A few lines about what differs.
sub summary
{
	my ($found) = @_;
	my $text = "$found->{checked} rows, $found->{documents} documents\n";
	for my $kind (qw(missing ghost stale))
	{
		my @list = @{ $found->{$kind} } or next;
		$text .= scalar(@list) . " $kind:";
		$text .= "\n  " . (ref $_ ? $json->encode($_) : $_) for @list[ 0 .. ($#list < 4 ? $#list : 4) ];
		$text .= "\n";
	}
	return $text;
}

sub quote_literal
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

sub quote_ident
{
	my ($text) = @_;
	$text =~ s/"/""/g;
	return qq{"$text"};
}

sub text_array { return 'ARRAY[' . join(',', map { quote_literal($_) } @_) . ']::text[]' }

sub schema_of
{
	my ($node, $database, $tenant) = @_;
	my $schema = $node->safe_psql($database, "SELECT schema_name FROM tenancy.tenant WHERE name = "
		  . quote_literal($tenant) . " AND status <> 'dropped'");
	die "no tenant $tenant\n" if $schema eq '';
	return $schema;
}

sub index_prefix
{
	my ($node, $database) = @_;
	return $node->safe_psql($database, "SELECT coalesce(current_setting('tenancy.search_index_prefix', true), '')");
}

# Every document behind the alias into the file, one reply of the scroll a line.
sub save_documents
{
	my ($search, $alias, $file) = @_;
	my $filter = 'filter_path=_scroll_id,hits.hits._id,hits.hits._version,hits.hits._source';
	$search->refresh($alias);
	my ($status, $text) = $search->raw('POST', "/$alias/_search?scroll=2m&$filter",
		{ size => 1000, version => JSON::PP::true, sort => ['_doc'] });
	open(my $out, '>', $file) or die "$file: $!";
	my $scroll;
	while (1)
	{
		die "$alias: HTTP $status $text\n" if $status != 200;
		($scroll) = $text =~ /"_scroll_id":"([^"]+)"/ or die "$alias: no scroll in $text\n";
		# with filter_path an empty list is left out
		last unless $text =~ /"hits":\{"hits":\[\{/;
		print $out "$text\n";
		($status, $text) = $search->raw('POST', "/_search/scroll?$filter", { scroll => '2m', scroll_id => $scroll });
	}
	close $out or die "$file: $!";
	$search->raw('DELETE', '/_search/scroll', { scroll_id => $scroll });
	return;
}

# The id of a row as SQL: one column as it is, several escaped and joined by ':'.  undef: the primary key's.
sub id_sql
{
	my (%option) = @_;
	return $option{id} if defined $option{id};
	return undef unless $option{key};
	my @columns = map { 't.' . quote_ident($_) . '::text' } @{ $option{key} };
	return $columns[0] if @columns == 1;
	return join " || ':' || ", map { "replace(replace($_, '\\', '\\\\'), ':', '\\:')" } @columns;
}

# The script that compares in the server: jsonb knows equal numbers, and it is fast.
sub compare_sql
{
	my ($file, $table, %option) = @_;
	my $relation = quote_ident($option{schema}) . '.' . quote_ident($table);
	my $regclass = quote_literal($relation) . '::regclass';
	my $document = $option{document} // 'to_jsonb(t)';
	my $document_given = defined $option{document} ? 'true' : 'false';
	my $ignore = text_array(@{ $option{ignore} // [] });
	my $epoch = $option{epoch} // '(SELECT epoch FROM tenancy.instance)';
	my $absent = $option{absent_is_null} ? 'true' : 'false';
	my $versions = ($option{versions} // 1) ? 'true' : 'false';
	my $id = id_sql(%option);
	my $set_id = defined $id ? "SELECT \$id\$$id\$id\$ AS id" : <<"SQL";
SELECT CASE WHEN count(*) = 1 THEN min(format('t.%I::text', a.attname))
	ELSE string_agg(format(\$f\$replace(replace(t.%I::text, '\\', '\\\\'), ':', '\\:')\$f\$, a.attname),
		\$f\$ || ':' || \$f\$ ORDER BY k.n) END AS id
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k (attnum, n)
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $regclass AND i.indisprimary
SQL
	return <<"SQL";
\\set QUIET 1
\\o /dev/null
SET TimeZone = 'UTC';
SET search_path = pg_catalog, pg_temp;
SET client_min_messages = warning;
$set_id \\gset
CREATE FUNCTION pg_temp.same_instant(a jsonb, b jsonb) RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
	IF jsonb_typeof(a) <> 'string' OR jsonb_typeof(b) <> 'string' THEN
		RETURN false;
	END IF;
	RETURN (a #>> '{}')::timestamptz = (b #>> '{}')::timestamptz;
EXCEPTION WHEN others THEN
	RETURN false;
END \$\$;
CREATE TEMP TABLE page (reply text);
\\copy page FROM '$file' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')
CREATE TEMP TABLE doc AS
	SELECT h ->> '_id' AS id, (h ->> '_version')::numeric AS version, (h -> '_source') - $ignore AS d
	FROM page, jsonb_array_elements(reply::jsonb -> 'hits' -> 'hits') h;
CREATE TEMP TABLE expected AS
	SELECT :id AS id, $document - ARRAY(SELECT attname::text FROM pg_attribute
		WHERE attrelid = $regclass AND atttypid = 'tsvector'::regtype) - $ignore AS d
	FROM $relation t;
ANALYZE doc, expected;
DO \$\$
DECLARE
	field text;
BEGIN
	FOR field IN SELECT attname FROM pg_attribute WHERE attrelid = $regclass AND atttypid = ANY (
			'{float4,float8,numeric,date,timestamp,timestamptz}'::regtype[]) LOOP
		UPDATE expected SET d = jsonb_set(d, ARRAY[field], 'null')
			WHERE d ->> field IN ('NaN', 'Infinity', '-Infinity', 'infinity', '-infinity');
	END LOOP;
END \$\$;
-- what the document has otherwise than to_jsonb: intervals in seconds, points and ranges as objects
CREATE FUNCTION pg_temp.bounds(r anyrange) RETURNS jsonb LANGUAGE sql AS \$\$
	SELECT CASE WHEN isempty(r) THEN 'null' ELSE
		CASE WHEN lower(r) IS NULL OR lower(r)::text IN ('-infinity', '-Infinity') THEN '{}' ELSE jsonb_build_object(CASE WHEN lower_inc(r) THEN 'gte' ELSE 'gt' END, lower(r)) END ||
		CASE WHEN upper(r) IS NULL OR upper(r)::text IN ('infinity', 'Infinity', 'NaN') THEN '{}' ELSE jsonb_build_object(CASE WHEN upper_inc(r) THEN 'lte' ELSE 'lt' END, upper(r)) END END \$\$;
DO \$\$
DECLARE
	field text;
	type regtype;
	made text;
BEGIN
	FOR field, type IN SELECT attname, atttypid FROM pg_attribute WHERE attrelid = $regclass AND NOT attisdropped LOOP
		made := CASE type::text WHEN 'interval' THEN 'to_jsonb(extract(epoch FROM v::interval))'
			WHEN 'point' THEN \$q\$jsonb_build_object('lon', (v::point)[0], 'lat', (v::point)[1])\$q\$
			ELSE CASE WHEN type IN ('int4range', 'int8range', 'numrange', 'daterange', 'tsrange', 'tstzrange')
				THEN format('pg_temp.bounds(v::%s)', type) END END;
		CONTINUE WHEN made IS NULL OR $document_given;
		EXECUTE format('UPDATE expected SET d = jsonb_set(d, ARRAY[%L], (SELECT %s FROM (SELECT d ->> %L) x (v))) WHERE d ->> %L IS NOT NULL',
			field, made, field, field);
	END LOOP;
END \$\$;
CREATE TEMP TABLE instant AS
	SELECT attname::text AS name FROM pg_attribute
	WHERE attrelid = $regclass AND atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype);
CREATE TEMP TABLE json_column AS
	SELECT attname::text AS name FROM pg_attribute
	WHERE attrelid = $regclass AND atttypid IN ('json'::regtype, 'jsonb'::regtype);
CREATE TEMP TABLE stale AS
	SELECT e.id, f.field, e.d -> f.field AS "row", x.d -> f.field AS doc
	FROM expected e JOIN doc x USING (id)
		CROSS JOIN LATERAL (SELECT jsonb_object_keys(e.d) AS field UNION SELECT jsonb_object_keys(x.d)) f
	WHERE e.d IS DISTINCT FROM x.d AND (e.d -> f.field) IS DISTINCT FROM (x.d -> f.field)
		AND NOT ($absent AND NOT x.d ? f.field AND e.d -> f.field = 'null')
		AND NOT coalesce(f.field IN (SELECT name FROM instant)
			AND pg_temp.same_instant(e.d -> f.field, x.d -> f.field), false)
		-- a flattened field has what is no object in one
		AND NOT coalesce(f.field IN (SELECT name FROM json_column) AND jsonb_typeof(e.d -> f.field) <> 'object'
			AND x.d -> f.field = jsonb_build_object('value', e.d -> f.field), false);
INSERT INTO stale
	SELECT x.id, '_version', to_jsonb(pg_current_wal_lsn() - '0/0'::pg_lsn), to_jsonb(x.version)
	FROM doc x
	WHERE $versions AND (x.version IS NULL OR x.version <= 0
		OR div(x.version, 4503599627370496) IS DISTINCT FROM $epoch
		OR mod(x.version, 4503599627370496) > pg_current_wal_lsn() - '0/0'::pg_lsn);
\\o
\\pset format unaligned
\\pset tuples_only on
SELECT jsonb_build_object(
	'checked', (SELECT count(*) FROM expected),
	'documents', (SELECT count(*) FROM doc),
	'missing', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM expected e
		WHERE NOT EXISTS (SELECT FROM doc x WHERE x.id = e.id)),
	'ghost', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM (
		SELECT id FROM doc x WHERE NOT EXISTS (SELECT FROM expected e WHERE e.id = x.id)
		UNION ALL SELECT id FROM doc GROUP BY id HAVING count(*) > 1) g),
	'stale', (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY id, field), '[]') FROM stale s));
SQL
}

1;
