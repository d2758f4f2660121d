-- tenant_search without a search server: arguments, the PostgreSQL engine, privileges.
\set VERBOSITY terse
SET timezone = 'America/New_York';
SET datestyle = 'German';

CREATE TYPE public.search_level AS ENUM ('low', 'high');
SELECT tenant_blueprint_add('search_test', 1, $$
    CREATE TABLE doc (
        region text COLLATE "C", no integer, made timestamptz,
        title text, "odd ""name" text, code char(4), tags text[], sizes integer[],
        attributes jsonb, raw json, level public.search_level, price numeric(10,2), flag boolean,
        created_at timestamptz,
        words tsvector GENERATED ALWAYS AS (to_tsvector('english', coalesce(title, ''))) STORED,
        PRIMARY KEY (region, no, made)
    );
    CREATE TABLE plain (id bigint PRIMARY KEY, name text)
$$);
SELECT tenant_sync_table('search_test', 'doc', 'docs', mapping => '{"mappings": {"properties": {
    "title": {"type": "text"}, "region": {"type": "keyword"}, "tags": {"type": "keyword"},
    "price": {"type": "scaled_float", "scaling_factor": 100}, "attributes": {"type": "object"},
    "words": {"type": "keyword"}, "absent": {"type": "keyword"}}}}');
SELECT tenant_sync_table('search_test', 'plain', 'plains', mapping => '{"mappings": {"properties": {
    "id": {"type": "long"}, "name": {"type": "text"}}}}');
SELECT tenant_create('search-one', 'search_test') > 0, tenant_create('search_two', 'search_test') > 0;

INSERT INTO "tenant_search-one".doc VALUES
    ('eu:1', 1, '2024-05-01 12:00Z', 'Running Kafka in production', 'a', 'ab', '{red,blue}', '{1,2}',
        '["kafka", "linux"]', '{}', 'low', 10.50, true, '2024-05-01Z'),
    ('eu\', 2, '2024-05-02 12:00Z', 'Kafka, Kafka and Kafka', 'b', 'abcd', '{green}', '{3}',
        '["postgres"]', '{}', 'high', 99.99, false, NULL),
    ('us', 3, '2024-05-03 12:00Z', 'Postgres at scale', 'c', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        '2024-06-01Z');
INSERT INTO tenant_search_two.doc (region, no, made, title) VALUES ('xx', 1, '2024-01-01Z', 'Kafka of another tenant');
INSERT INTO "tenant_search-one".plain VALUES (1, 'one'), (2, 'two');

CREATE FUNCTION public.ids(answer jsonb) RETURNS text LANGUAGE sql RETURN
    (answer ->> 'total') || ' ' || jsonb_path_query_array(answer, '$.results[*]._id')::text;
CREATE FUNCTION public.by(filters jsonb, options jsonb DEFAULT '{"engine": "postgresql"}') RETURNS text
    LANGUAGE sql VOLATILE RETURN public.ids(tenant_search(NULL, 'docs', filters, options => options));

-- no tenant
SELECT tenant_search('kafka', 'docs');

BEGIN;
SELECT tenant_use('search-one');
\set ON_ERROR_ROLLBACK on
-- the whole answer, beside the time
SELECT jsonb_pretty(tenant_search('postgres', 'docs') - 'took_ms');
SELECT jsonb_typeof(tenant_search('postgres', 'docs') -> 'took_ms');
-- rank, stems, no match, stop words
SELECT public.ids(tenant_search('kafka', 'docs'));
SELECT public.ids(tenant_search('run', 'docs'));
SELECT public.ids(tenant_search('nothing like it', 'docs'));
SELECT public.ids(tenant_search('the of and', 'docs'));
SELECT public.ids(tenant_search('"unbalanced & | ! ( :* ''', 'docs'));
-- every document: no words, or nulls for everything
SELECT public.ids(tenant_search(E' \t', 'docs')), public.ids(tenant_search(NULL, 'docs', NULL, NULL, NULL, NULL));
SELECT public.ids(tenant_search(NULL, NULL));
-- pages
SELECT public.ids(tenant_search(NULL, 'docs', page => 1, page_size => 2)),
    public.ids(tenant_search(NULL, 'docs', page => 2, page_size => 2)),
    public.ids(tenant_search(NULL, 'docs', page => 9, page_size => 2));
SELECT tenant_search(NULL, 'docs', page => 0);
SELECT tenant_search(NULL, 'docs', page_size => 0);
SELECT tenant_search(NULL, 'docs', page_size => 1001);
SELECT tenant_search(NULL, 'docs', page => 11, page_size => 1000);
SELECT tenant_search(NULL, 'docs', page => 2147483647, page_size => 1000);

-- options
SELECT public.ids(tenant_search(NULL, 'docs', options => '{"engine": "postgresql", "sort": "newest"}'));
SELECT tenant_search(NULL, 'docs', options => '{"sort": "newest"}');
SELECT tenant_search(NULL, 'plains', options => '{"sort": "newest", "engine": "postgresql"}');
SELECT tenant_search('x', 'docs', options => '{"engine": "server"}');
SELECT tenant_search('x', 'docs', options => '{"engine": "mysql"}');
SELECT tenant_search('x', 'docs', options => '{"engine": 1}');
SELECT tenant_search('x', 'docs', options => '{"sort": "created_at; DROP TABLE doc"}');
SELECT tenant_search('x', 'docs', options => '{"fuzy": true}');
SELECT tenant_search('x', 'docs', options => '[]');

-- filters on columns
SELECT public.by('{"region": "us"}'), public.by('{"no": 2}'), public.by('{"no": "2"}'), public.by('{"flag": true}');
SELECT public.by('{"no": [1, 3]}'), public.by('{"no": []}'), public.by('{"region": ["us", "xx"], "no": 1}');
SELECT public.by('{"no": {"gt": 1, "lte": 3}}'), public.by('{"price": {"gte": 10.5, "lt": "99.99"}}');
SELECT public.by('{"made": {"gte": "2024-05-02T12:00:00"}}'), public.by('{"level": "high"}'), public.by('{"level": {"lt": "high"}}');
SELECT public.by('{"code": "abcd"}'), public.by('{"code": "ab"}'), public.by('{"odd \"name": "b"}');
SELECT public.by('{"tags": "red"}'), public.by('{"tags": ["green", "red"]}'), public.by('{"sizes": 3}'), public.by('{"sizes": [9]}');
SELECT public.by('{"attributes": "kafka"}'), public.by('{"attributes": ["postgres", "linux"]}'), public.by('{"attributes": []}');
SELECT public.by('{"region": "us'' OR true --"}'), public.by('{"tags": ["red\"}", "$1"]}');
SELECT public.by('{"no": "1 OR true"}');
SELECT public.by('{"nope": 1}');
SELECT public.by('{"no = 1 OR true --": 1}');
SELECT public.by('{"ctid": "(0,1)"}');
SELECT public.by('{"raw": 1}');
SELECT public.by('{"tags": {"gt": "a"}}');
SELECT public.by('{"attributes": {"gt": "a"}}');
-- filters of a wrong form
SELECT public.by('[]');
SELECT public.by('{"no": [null]}');
SELECT public.by('{"no": [[1]]}');
SELECT public.by('{"no": {}}');
SELECT public.by('{"no": {"eq": 1}}');
SELECT public.by('{"no": {"gt": [1]}}');
SELECT public.by(jsonb_build_object('no', (SELECT jsonb_agg(i) FROM generate_series(1, 1001) i)));
-- filters that the mapping allows hold for every engine
SELECT public.by('{"region": "us", "price": {"gt": 1}}', '{}');
SELECT public.by('{"title": "x"}', '{}');
SELECT public.by('{"attributes": "kafka"}', '{}');
SELECT public.by('{"no": 1}', '{}');
SELECT public.by('{"absent": 1}', '{}');

-- no full text column: every document, but no words
SELECT public.ids(tenant_search(NULL, 'plains'));
\set VERBOSITY default
SELECT tenant_search('one', 'plains');
SELECT tenant_search('one', 'plains', options => '{"engine": "postgresql"}');
\set VERBOSITY terse
-- not an index type
SELECT tenant_search('x', 'case_studies');
SELECT tenant_search('x', 'docs''; DROP TABLE doc');
-- the caller's own settings are as before
SHOW timezone;
SHOW datestyle;
ROLLBACK;

-- the other tenant
BEGIN;
SELECT tenant_use('search_two');
SELECT public.ids(tenant_search('kafka', 'docs'));
-- own changes are seen
INSERT INTO doc (region, no, made, title) VALUES ('yy', 2, '2024-01-01Z', 'Kafka too');
SELECT public.ids(tenant_search('kafka', 'docs'));
-- a table that has gone
DROP TABLE plain;
SELECT tenant_search(NULL, 'plains');
ROLLBACK;

-- names that the caller's search_path brings in are not used
CREATE SCHEMA search_evil;
CREATE FUNCTION search_evil.evil(tsvector, tsquery) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
CREATE OPERATOR search_evil.@@ (LEFTARG = tsvector, RIGHTARG = tsquery, FUNCTION = search_evil.evil);
CREATE TABLE search_evil.doc ();
BEGIN;
SELECT tenant_use('search_two');
SET LOCAL search_path = search_evil, public, pg_catalog;
SELECT public.ids(tenant_search('kafka', 'docs'));
ROLLBACK;

-- privileges and row-level security are the caller's
CREATE ROLE regress_tenancy_reader IN ROLE tenancy_app;
CREATE ROLE regress_tenancy_nobody;
REVOKE ALL ON ALL TABLES IN SCHEMA tenant_search_two FROM tenancy_app;
GRANT USAGE ON SCHEMA tenant_search_two TO regress_tenancy_reader;
BEGIN;
SELECT tenant_use('search_two');
SET LOCAL ROLE regress_tenancy_reader;
SELECT public.ids(tenant_search('kafka', 'docs'));
RESET ROLE;
GRANT SELECT ON tenant_search_two.doc TO regress_tenancy_reader;
SET LOCAL ROLE regress_tenancy_reader;
SELECT public.ids(tenant_search('kafka', 'docs'));
RESET ROLE;
ALTER TABLE tenant_search_two.doc ENABLE ROW LEVEL SECURITY;
SET LOCAL ROLE regress_tenancy_reader;
SELECT public.ids(tenant_search('kafka', 'docs'));
SET LOCAL ROLE regress_tenancy_nobody;
SELECT tenant_search('kafka', 'docs');
ROLLBACK;

DROP SCHEMA search_evil CASCADE;
DROP FUNCTION public.by(jsonb, jsonb);
DROP FUNCTION public.ids(jsonb);
SELECT tenant_drop('search-one', purge => true), tenant_drop('search_two', purge => true);
DROP TYPE public.search_level CASCADE;
DROP ROLE regress_tenancy_reader;
DROP ROLE regress_tenancy_nobody;
