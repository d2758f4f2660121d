-- Bodies of indices: generated from a table, said otherwise by users, and compared.
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN price AS numeric(12,2) CHECK (VALUE > 0);
CREATE DOMAIN prices AS price[];
CREATE TABLE every_type (
	c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_float4 float4, c_float8 float8, c_serial serial,
	c_num numeric, c_num_5_0 numeric(5), c_num_12_2 numeric(12,2), c_num_15_15 numeric(15,15), c_num_16_2 numeric(16,2), c_num_neg numeric(5,-2), c_num_small numeric(3,5),
	c_money money, c_oid oid, c_text text, c_varchar varchar, c_varchar_n varchar(20), c_char char(3), c_qchar "char", c_name name, c_bytea bytea,
	c_date date, c_time time, c_timetz timetz, c_timestamp timestamp, c_timestamptz timestamptz(3), c_interval interval,
	c_uuid uuid, c_xml xml, c_json json, c_jsonb jsonb, c_jsonpath jsonpath, c_bit bit(5), c_varbit varbit,
	c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
	c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle, c_tsvector tsvector, c_tsquery tsquery,
	c_int4range int4range, c_int8range int8range, c_numrange numrange, c_daterange daterange, c_tsrange tsrange, c_tstzrange tstzrange, c_multirange int4multirange,
	c_mood mood, c_pair pair, c_price price, c_prices prices, c_regclass regclass, c_lsn pg_lsn, c_xid8 xid8, c_oidvector oidvector,
	a_int int[], a_text text[][], a_num numeric(12,2)[], a_bool bool[], a_date date[], a_uuid uuid[], a_mood mood[], a_inet inet[], a_cidr cidr[], a_bytea bytea[], a_tsvector tsvector[],
	a_jsonb jsonb[], a_pair pair[], a_range int4range[], a_interval interval[], a_point point[],
	"we""ird Näme" int, "a.b" int, gone int);
ALTER TABLE every_type DROP gone;
SELECT tenancy.generate_mapping('every_type') - 'mappings' AS rest, tenancy.generate_mapping('every_type') -> 'mappings' ->> 'dynamic' AS dynamic;
SELECT a.attname, format_type(a.atttypid, a.atttypmod), tenancy.generate_mapping('every_type') #> ARRAY['mappings', 'properties', attname::text] AS field
  FROM pg_attribute a WHERE a.attrelid = 'every_type'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;
-- Names that no field can have, and one that would be inside another.
CREATE TABLE names ("_id" int, "_source" int, "." int, ".x" int, "x." int, "x..y" int, " " int, a int, "a.b" int, b int, "b.c.d" int, "b.c" int, ok int, "_ok" int);
SELECT jsonb_object_keys(tenancy.generate_mapping('names') #> '{mappings,properties}') ORDER BY 1;
CREATE TABLE nothing ();
SELECT tenancy.generate_mapping('nothing');
DO $$ BEGIN EXECUTE 'CREATE TABLE wide (' || (SELECT string_agg('c' || n || ' text', ', ') FROM generate_series(1, 600) n) || ')'; END $$;
SELECT tenancy.generate_mapping('wide') -> 'settings';
CREATE VIEW some_columns AS SELECT c_int4, c_text FROM every_type;
SELECT tenancy.generate_mapping('some_columns') #> '{mappings,properties}';
SELECT tenancy.generate_mapping('some_columns', '{"c_text": {"type": "keyword"}, "c_int4": null, "other": {"type": "long"}}') #> '{mappings,properties}';
SELECT tenancy.generate_mapping(NULL) IS NULL;
-- Of tenants' tables.
SELECT tenant_blueprint_add('m', 1, $$
CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(10,2), secret text, tags jsonb);
CREATE TABLE own (id int PRIMARY KEY, name text);
CREATE TABLE seen (id int PRIMARY KEY, name text);
CREATE VIEW seen_doc AS SELECT id, name, length(name) AS length FROM seen;
CREATE TABLE made (id int PRIMARY KEY, name text);
$$);
SELECT tenant_create('one', 'm') > 0 AS created;
SELECT tenant_sync_table('m', 'item', 'item');
SELECT tenant_sync_table('m', 'own', 'own', mapping => '{"settings": {"number_of_shards": 3, "index.refresh_interval": "5s"}, "mappings": {"properties": {"name": {"type": "keyword"}}}}');
SELECT tenant_sync_table('m', 'seen', 'seen', document => 'seen_doc');
SELECT tenant_sync_table('m', 'made', 'made', document => 'to_jsonb(made)');
SELECT tenant_sync_table('m', 'absent', 'absent');
CREATE VIEW bodies AS SELECT i.index_type, i.body, i.body = tenancy.index_body(t.id, i.index_type) AS as_it_should_be
  FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id WHERE t.name = 'one';
SELECT * FROM bodies ORDER BY 1;
-- Columns that are not indexed by their type.
SELECT tenancy.map_column('m', 'item', 'secret', NULL);
SELECT tenancy.map_column('m', 'item', 'name', '{"type": "text", "analyzer": "english"}');
SELECT tenancy.map_column('m', 'item', 'name', '{"type": "text", "analyzer": "german"}');
SELECT tenancy.map_column('m', 'made', 'name', '{"type": "keyword"}');
SELECT * FROM bodies WHERE index_type IN ('item', 'made') ORDER BY 1;
SELECT tenancy.unmap_column('m', 'made', 'name'), tenancy.unmap_column('m', 'made', 'name');
SELECT * FROM bodies WHERE index_type = 'made';
SELECT * FROM tenancy.column_mapping ORDER BY 1, 2, 3;
SELECT tenancy.map_column('m', 'item', 'nmae', '{"type": "text"}');
SELECT tenancy.map_column('m', 'item', 'name', '"text"');
SELECT tenancy.map_column('m', 'item', 'name', '{"analyzer": "english"}');
SELECT tenancy.map_column('m', 'own', 'name', '{"type": "text"}');
SELECT tenancy.map_column('m', 'item', '', '{"type": "text"}');
SELECT tenancy.map_column('m', 'item', NULL, '{"type": "text"}');
SELECT tenancy.map_column('x', 'item', 'name', '{"type": "text"}');
SELECT tenancy.map_column('m', 'later', 'name', '{"type": "text"}');
-- Settings of all indices of a type; those of the mapping count more.
SELECT tenancy.index_template('m', 'item', '{"number_of_shards": 2, "analysis": {"analyzer": {"german": {"type": "standard", "stopwords": ["der"]}}}}');
SELECT tenancy.index_template('m', 'own', '{"index": {"number_of_shards": 2, "number_of_replicas": 0, "refresh_interval": "1s"}}');
SELECT index_type, body -> 'settings' AS settings, as_it_should_be FROM bodies WHERE index_type IN ('item', 'own') ORDER BY 1;
SELECT tenancy.index_template('m', 'own', NULL);
SELECT index_type, body -> 'settings' AS settings FROM bodies WHERE index_type = 'own';
SELECT tenancy.index_template('m', 'item', '[]');
SELECT tenancy.index_template('m', 'item', '{"mappings": {}}');
SELECT tenancy.index_template('m', 'It em', '{}');
SELECT tenancy.index_template('x', 'item', '{}');
-- Who may.
CREATE ROLE mapping_admin ROLE CURRENT_USER;
GRANT tenancy_admin TO mapping_admin;
SET ROLE mapping_admin;
SELECT tenancy.map_column('m', 'item', 'name', NULL);
SELECT tenancy.unmap_column('m', 'item', 'name');
SELECT tenancy.index_template('m', 'item', '{}');
RESET ROLE;
SELECT p.proname, r.rolname FROM pg_proc p CROSS JOIN (VALUES ('tenancy_admin'), ('tenancy_operator'), ('tenancy_app'), ('pg_monitor')) r (rolname)
 WHERE p.pronamespace = 'tenancy'::regnamespace AND p.proname IN ('map_column', 'unmap_column', 'index_template', 'generate_mapping', 'index_body', 'merged_body', 'mapping_diff')
   AND has_function_privilege(r.rolname, p.oid, 'EXECUTE') ORDER BY 1, 2;
-- What an index needs to become another one.
CREATE TABLE body (name text PRIMARY KEY, body jsonb);
INSERT INTO body VALUES
	('closed', '{"settings": {"index": {"number_of_shards": 2}}, "mappings": {"dynamic": false, "properties": {"a": {"type": "keyword", "ignore_above": 10}, "o": {"properties": {"x": {"type": "long"}}}, "n": {"type": "nested", "properties": {"y": {"type": "date"}}}}}}'),
	('open', '{"mappings": {"properties": {"a": {"type": "keyword"}}}}'), ('empty', '{}');
CREATE FUNCTION diff(present text, change jsonb, path text[]) RETURNS TABLE (change text, resend bool, fields jsonb, root jsonb, settings jsonb, conflicts text[]) LANGUAGE sql AS
	$$ SELECT d.* FROM body, tenancy.mapping_diff(body, jsonb_set(body, path, change)) d WHERE name = present $$;
SELECT * FROM diff('closed', '2', '{settings,index,number_of_shards}');
SELECT * FROM diff('closed', '"2"', '{settings,index,number_of_shards}');
SELECT * FROM diff('closed', '{"type": "long"}', '{mappings,properties,new}');
SELECT * FROM diff('closed', '{"type": "long"}', '{mappings,properties,o,properties,new}');
SELECT * FROM diff('closed', '{"type": "long"}', '{mappings,properties,n,properties,new}');
SELECT * FROM diff('closed', '{"type": "nested", "properties": {"x": {"type": "long"}}}', '{mappings,properties,o}');
SELECT * FROM diff('closed', '"object"', '{mappings,properties,o,type}');
SELECT * FROM diff('closed', '20', '{mappings,properties,a,ignore_above}');
SELECT * FROM diff('closed', '"english"', '{mappings,properties,a,analyzer}');
SELECT * FROM diff('closed', '"english"', '{mappings,properties,a,search_analyzer}');
SELECT * FROM diff('closed', '{"raw": {"type": "text"}}', '{mappings,properties,a,fields}');
SELECT * FROM diff('closed', '{"type": "text"}', '{mappings,properties,a}');
SELECT * FROM diff('closed', '{"a": {"type": "keyword", "ignore_above": 10}}', '{mappings,properties}');
SELECT * FROM diff('closed', '{"search_fields": ["a"]}', '{mappings,_meta}');
SELECT * FROM diff('closed', 'true', '{mappings,dynamic}');
SELECT * FROM diff('closed', '{"required": true}', '{mappings,_routing}');
SELECT * FROM diff('closed', '3', '{settings,index,number_of_shards}');
SELECT * FROM diff('closed', '"5s"', '{settings,refresh_interval}');
SELECT * FROM diff('closed', '1', '{settings,index.number_of_replicas}');
SELECT * FROM diff('closed', '{"filter": {"f": {"type": "stop"}}}', '{settings,analysis}');
SELECT * FROM diff('open', '{"type": "long"}', '{mappings,properties,new}');
SELECT * FROM diff('open', '{"type": "object", "enabled": false}', '{mappings,properties,a}');
SELECT * FROM diff('empty', '{"properties": {"new": {"type": "long"}}}', '{mappings}');
SELECT d.* FROM tenancy.mapping_diff('{"settings": {"index.refresh_interval": "5s", "index": {"codec": "x"}}}', '{"settings": {"index.codec": "x"}}') d;
SELECT d.change, d.conflicts FROM tenancy.mapping_diff('{}', '[]') d;
SELECT change, resend, conflicts FROM tenancy.mapping_diff(tenancy.generate_mapping('some_columns'), tenancy.generate_mapping('every_type'));
SELECT tenant_drop('one', purge => true);
DROP ROLE mapping_admin;
