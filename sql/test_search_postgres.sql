-- What PostgreSQL answers in the server's place: order, pages, facets, highlights, spelling.
\set VERBOSITY terse
SELECT tenant_blueprint_add('pg_test', 1, $$
    CREATE TABLE doc (
        id integer PRIMARY KEY, title text NOT NULL, body text, author varchar(40), kind text, tags text[], labels jsonb,
        price numeric(10,2), made date,
        words tsvector GENERATED ALWAYS AS (setweight(to_tsvector('english', title), 'A')
            || setweight(to_tsvector('english', coalesce(author, '')), 'B')
            || setweight(to_tsvector('english', coalesce(body, '')), 'D')) STORED
    );
    CREATE INDEX ON doc USING gin (words);
    CREATE INDEX ON doc USING gin (to_tsvector('simple', translate(left(title, 20000), '-./:@_', '      ')));
    CREATE TABLE kept (id integer PRIMARY KEY, name text, words tsvector);
    CREATE TABLE bare (id integer PRIMARY KEY, name text)
$$);
SELECT tenant_sync_table('pg_test', 'doc', 'docs', mapping => '{"mappings": {"_meta": {"search_fields": ["title^3", "author^2", "body"]},
    "properties": {"id": {"type": "integer"}, "title": {"type": "text"}, "body": {"type": "text"}, "author": {"type": "text"},
    "kind": {"type": "keyword"}, "tags": {"type": "keyword"}, "labels": {"type": "keyword"}, "price": {"type": "double"}, "made": {"type": "date"}}}}');
SELECT tenant_sync_table('pg_test', 'kept', 'kept', mapping => '{"mappings": {"properties": {"name": {"type": "text"}}}}');
SELECT tenant_sync_table('pg_test', 'bare', 'bare', mapping => '{"mappings": {"properties": {"name": {"type": "text"}}}}');
SELECT tenant_create('pg-test', 'pg_test') > 0;
INSERT INTO "tenant_pg-test".doc (id, title, body, author, kind, tags, labels, price, made) VALUES
    (1, 'Kafka migration', 'Moving streams', 'Ann', 'b', '{x,y,x}', '["l1", "l2", 3, true, null]', 10.50, '2024-01-01'),
    (2, 'Postgres at scale', 'With kafka beside it', 'Kafka, Franz', 'B', '{x}', '[]', 10.5, '2024-01-02'),
    (3, 'A long tale', 'kafka', 'Bob', 'é', '{NULL}', NULL, NULL, NULL),
    (4, 'Kafka kafka KAFKA <b>bold</b> & "quoted" it''s a/b', 'x <script>kafka</script> ' || repeat('and so on ', 60) || 'kafka', NULL, NULL, NULL, '"l1"', 99, '2024-01-03'),
    (5, 'Nothing of it', NULL, 'Cy', 'a', '{}', '{"k": 1}', 1, '2024-01-03');
INSERT INTO "tenant_pg-test".kept VALUES (1, 'kept by hand', to_tsvector('english', 'streams of kafka')), (2, 'none', NULL);
ANALYZE "tenant_pg-test".doc;

CREATE FUNCTION public.pg(query text, options jsonb DEFAULT '{}', filters jsonb DEFAULT '{}', type text DEFAULT 'docs', page_size integer DEFAULT 20)
RETURNS text LANGUAGE sql VOLATILE RETURN (WITH a AS MATERIALIZED (SELECT tenant_search(query, type, filters, 1, page_size, options || '{"engine": "postgresql"}') AS a)
    SELECT (a ->> 'total_relation') || ' ' || (a ->> 'total') || ' ' || jsonb_path_query_array(a, '$.results[*]._id')::text FROM a);

BEGIN;
SELECT tenant_use('pg-test');
\set ON_ERROR_ROLLBACK on
-- relevance: the title before the author before the text, any of the words, nothing is syntax
SELECT pg('kafka'), pg('kafka streams'), pg('bob kafka'), pg('kafka -migration'), pg('"kafka migration"'), pg('kafka & !migration | (');
-- fields and their weights; one that the tsvector does not have
SELECT pg('kafka', '{"fields": ["title"]}'), pg('kafka', '{"fields": ["author"]}'), pg('kafka', '{"fields": {"body": 5, "author": 1}}');
SELECT pg('b', '{"fields": ["kind"]}'), pg('kafka', '{"fields": ["nope"]}');
SELECT pg('l1 kafka', '{"fields": ["labels", "body"]}');
-- sort: nothing comes last, text by its bytes; what has no order
SELECT pg(NULL, '{"sort": "kind asc"}'), pg(NULL, '{"sort": "kind desc"}'), pg(NULL, '{"sort": ["made desc", "price asc"]}'), pg(NULL, '{"sort": ["price", "id desc"]}');
SELECT pg(NULL, '{"sort": "labels"}');
SELECT pg(NULL, '{"sort": "tags"}');
SELECT pg(NULL, '{"sort": "nope"}');
SELECT pg(NULL, '{"sort": "kind\" DESC; DROP TABLE doc --"}');
-- totals
SELECT pg(NULL, '{"total": 2}'), pg(NULL, '{"total": 5}'), pg('kafka', '{"total": 3}'), pg(NULL, '{"total": "exact"}');
-- filters
SELECT pg(NULL, '{}', '{"kind": null}'), pg(NULL, '{}', '{"kind": {"exists": true}}'), pg(NULL, '{}', '{"kind": {"not": ["a", "b"]}}'), pg(NULL, '{}', '{"price": {"not": {"gt": 10}}}');
SELECT pg(NULL, '{}', '{"tags": null}'), pg(NULL, '{}', '{"tags": {"not": "y"}}'), pg(NULL, '{}', '{"labels": null}'), pg(NULL, '{}', '{"labels": {"not": "l1"}}');
SELECT pg(NULL, '{}', '{"made": {"gte": "2024-01-02", "lt": "2024-01-03", "not": "2024-01-01"}}'), pg(NULL, '{}', '{"made": {"gte": "no date"}}');
-- columns of the answer
SELECT tenant_search('tale', 'docs', options => '{"engine": "postgresql", "source": ["title", "price"]}') #- '{took_ms}' #- '{results,0,_score}';
SELECT tenant_search('tale', 'docs', options => '{"engine": "postgresql", "source": false}') #- '{took_ms}' #- '{results,0,_score}';
-- highlights are safe as HTML
SELECT tenant_search('kafka', 'docs', '{"id": 4}', options => '{"engine": "postgresql", "source": false, "highlight": {"fields": ["title", "body"], "fragment_size": 30}}') #> '{results,0,_highlight}';
SELECT tenant_search('kafka', 'docs', '{"id": 4}', options => '{"engine": "postgresql", "source": false, "highlight": {"fields": ["title"], "fragments": 0, "pre_tag": "<i>", "post_tag": "</i>"}}') #> '{results,0,_highlight}';
SELECT tenant_search('tale', 'docs', options => '{"engine": "postgresql", "source": false, "highlight": true}') #> '{results,0,_highlight}';
SELECT pg('kafka', '{"highlight": {"fields": ["nope"]}}');
-- facets
SELECT tenant_search(NULL, 'docs', options => '{"engine": "postgresql", "facets": ["kind", "tags", "labels", "price", "made"]}') -> 'facets';
SELECT tenant_search('kafka', 'docs', '{"kind": "b"}', options => '{"engine": "postgresql", "facets": {"kind": 2, "tags": 1}}') -> 'facets';
SELECT pg(NULL, '{"facets": ["nope"]}');
-- spelling: with the first letter right, a swap is one edit
SELECT pg('kafak'), pg('kafak', '{"fuzzy": true}'), pg('afka', '{"fuzzy": true}'), pg('postgers scle', '{"fuzzy": true}');
SELECT tenant_search('kafak postgers of at', 'docs', options => '{"engine": "postgresql", "suggest": true}') ->> 'did_you_mean';
SELECT tenant_search('kafka xylophone', 'docs', options => '{"engine": "postgresql", "suggest": true}') -> 'did_you_mean';
SELECT pg('k''afka \ :* '' é', '{"fuzzy": true, "suggest": true}'), pg(repeat('kafka ', 500), '{"fuzzy": true}'), pg(repeat('x', 5000), '{"fuzzy": true}');
-- for the first eight words only
SELECT pg(repeat('qqq ', 7) || 'kafak', '{"fuzzy": true}'), pg(repeat('qqq ', 8) || 'kafak', '{"fuzzy": true}');
SELECT tenant_search((SELECT string_agg('qqq' || i, ' ') FROM generate_series(1, n) i) || ' kafak', 'docs', options => '{"engine": "postgresql", "suggest": true}') -> 'did_you_mean' FROM unnest(ARRAY[7, 8]) n;
-- a score that is asked for
SELECT pg('kafka', '{"min_score": 0.0001}'), pg('kafka', '{"min_score": 1000}');
-- a tsvector that is kept by hand; none at all
SELECT pg('stream', '{}', '{}', 'kept'), pg('streem', '{"fuzzy": true, "suggest": true}', '{}', 'kept'), pg('kept', '{"fields": ["name"]}', '{}', 'kept');
SELECT pg('x', '{}', '{}', 'bare');
SELECT pg('x', '{"fields": ["name"]}', '{}', 'bare');
-- page after page
CREATE FUNCTION public.walk(query text, options jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE a jsonb; ids text := '';
BEGIN
    FOR i IN 1 .. 10 LOOP
        a := tenant_search(query, 'docs', page_size => 2, options => options || '{"engine": "postgresql"}');
        ids := ids || coalesce(jsonb_path_query_array(a, '$.results[*]._id')::text, '');
        EXIT WHEN a ->> 'next' IS NULL;
        options := options || jsonb_build_object('after', a -> 'next');
    END LOOP;
    RETURN ids;
END $$;
SELECT walk(NULL, '{"sort": "kind asc"}'), walk(NULL, '{"sort": ["made desc", "price asc"]}'), walk('kafka', '{}'), walk('kafka', '{"sort": ["made", "relevance"]}');
-- a cursor that would be too long is refused, as without it results would seem to end
INSERT INTO doc (id, title, kind) VALUES (8, 'Long', repeat('z', 300000)), (9, 'Long too', repeat('z', 300001));
SELECT pg(NULL, '{"sort": "kind desc"}', '{"id": {"gt": 7}}');
SELECT pg(NULL, '{"sort": "kind desc"}', '{"id": {"gt": 7}}', page_size => 1);
SELECT count(*) FROM tenant_search_rows(NULL, 'docs', '{"id": {"gt": 7}}', options => '{"engine": "postgresql", "sort": "kind desc"}');
DELETE FROM doc WHERE id > 7;
INSERT INTO doc (id, title, kind) VALUES (8, 'Long', repeat('z', 30000)), (9, 'Long too', repeat('z', 30001));
SELECT walk(NULL, '{"sort": "kind desc"}');
ROLLBACK;

-- many rows that match: only those of the rarest words are ranked, and the answer says so
INSERT INTO "tenant_pg-test".doc (id, title) SELECT n, 'common words' || CASE WHEN n % 1000 = 0 THEN ' and rare' ELSE '' END FROM generate_series(1001, 7000) n;
BEGIN;
SELECT tenant_use('pg-test');
SELECT pg('common rare', page_size => 4), tenant_search('common rare', 'docs', options => '{"engine": "postgresql"}') -> 'ranked';
SELECT pg('rare', page_size => 4), tenant_search('rare', 'docs', options => '{"engine": "postgresql"}') -> 'ranked';
SELECT tenant_search('common', 'docs', page_size => 1, options => '{"engine": "postgresql"}') - 'took_ms' - 'results' - 'next';
SELECT pg('common rare', '{"sort": "id desc"}', page_size => 2);
ROLLBACK;

-- names that the caller's search_path brings in are not used
CREATE SCHEMA engine_evil;
CREATE FUNCTION engine_evil.boom(float8, float8) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
CREATE FUNCTION engine_evil.boom(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
CREATE FUNCTION engine_evil.boom(integer, integer) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
CREATE OPERATOR engine_evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = engine_evil.boom);
CREATE OPERATOR engine_evil.< (LEFTARG = text, RIGHTARG = text, FUNCTION = engine_evil.boom);
CREATE OPERATOR engine_evil.> (LEFTARG = text, RIGHTARG = text, FUNCTION = engine_evil.boom);
CREATE OPERATOR engine_evil.<= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = engine_evil.boom);
CREATE OPERATOR engine_evil.> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = engine_evil.boom);
CREATE OPERATOR engine_evil.>= (LEFTARG = float8, RIGHTARG = float8, FUNCTION = engine_evil.boom);
CREATE OPERATOR engine_evil.+ (LEFTARG = float8, RIGHTARG = float8, FUNCTION = engine_evil.boom);
CREATE OPERATOR engine_evil.* (LEFTARG = float8, RIGHTARG = float8, FUNCTION = engine_evil.boom);
CREATE FUNCTION engine_evil.count(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
CREATE FUNCTION engine_evil.lower(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
BEGIN;
SELECT tenant_use('pg-test');
SET LOCAL search_path = engine_evil, public, pg_catalog;
SELECT public.pg('kafka', '{"fuzzy": true, "suggest": true, "min_score": 0.0001, "facets": ["kind", "tags", "labels"], "highlight": true, "sort": ["kind", "relevance"]}',
    '{"kind": ["a", "b"], "price": {"gt": 1, "not": 2}, "tags": {"exists": true}}');
SELECT public.tenant_suggest('kaf', 'docs', options => '{"fields": ["title", "tags", "labels"], "engine": "postgresql"}') OPERATOR(pg_catalog.-) 'took_ms';
ROLLBACK;
DROP SCHEMA engine_evil CASCADE;

-- pg_trgm, where it is installed, whatever its schema
CREATE SCHEMA engine_trigrams;
SELECT CASE WHEN count(*) > 0 THEN 'CREATE EXTENSION pg_trgm SCHEMA engine_trigrams' ELSE 'SELECT 1' END AS make FROM pg_available_extensions WHERE name = 'pg_trgm' \gset
\o /dev/null
:make;
\o
BEGIN;
SELECT tenant_use('pg-test');
SELECT pg('kafak', '{"fuzzy": true}', page_size => 3), pg('postgers scle', '{"fuzzy": true}', page_size => 3);
SELECT tenant_search('kafak postgers of at', 'docs', options => '{"engine": "postgresql", "suggest": true}') ->> 'did_you_mean';
ROLLBACK;
SET client_min_messages = error;
DROP SCHEMA engine_trigrams CASCADE;
RESET client_min_messages;

DROP FUNCTION public.pg(text, jsonb, jsonb, text, integer);
SELECT tenant_drop('pg-test', purge => true);
