-- Monthly placement: which partitions have an index, and where it cannot be.
\set VERBOSITY default
SET timezone = 'America/New_York';
SELECT tenant_blueprint_add('months', 1, $$
CREATE TABLE event (id bigint, at timestamptz, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE event_before PARTITION OF event FOR VALUES FROM (MINVALUE) TO ('2024-01-01 00:00+00');
CREATE TABLE event_01 PARTITION OF event FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2024-02-01 00:00+00');
CREATE TABLE event_after PARTITION OF event FOR VALUES FROM ('2024-02-01 00:00+00') TO (MAXVALUE);
CREATE TABLE day (day date PRIMARY KEY) PARTITION BY RANGE (day);
CREATE TABLE day_01 PARTITION OF day FOR VALUES FROM ('2024-01-01') TO ('2024-01-16');
CREATE TABLE day_02 PARTITION OF day FOR VALUES FROM ('2024-01-16') TO ('2024-02-01') PARTITION BY HASH (day);
CREATE TABLE day_rest PARTITION OF day DEFAULT;
CREATE TABLE plain (id bigint PRIMARY KEY, at date);
CREATE TABLE listed (id bigint PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE pair (a date, b date, PRIMARY KEY (a, b)) PARTITION BY RANGE (a, b);
CREATE TABLE numbered (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE keyless (id bigint, at date) PARTITION BY RANGE (at);
$$);
SELECT tenant_sync_table('months', t, t) FROM unnest('{event,day,plain,listed,pair,numbered}'::text[]) t;
SELECT tenant_sync_table('months', 'keyless', 'keyless', key_columns => '{id}');
SELECT tenant_create('em', 'months') > 0;
-- The same whatever the time zone, and while nothing is made yet.
SELECT tenancy.place('em', t, 'monthly') FROM unnest('{event,day}'::text[]) t;
SELECT tenancy.place('em', 'event', 'monthly');
CREATE VIEW month AS
    SELECT regexp_replace(m.index_name, '^(\w+)[^-]*', '\1') AS name, m.role, m.bounds, m.state, m.age_from AT TIME ZONE 'UTC' AS age_from
      FROM tenancy.search_index m ORDER BY m.index_name COLLATE "C";
SELECT * FROM month WHERE role = 'month';
SELECT tenant, index_type, placement, advice, reason FROM tenancy.placement_advice() ORDER BY 2;
SELECT count(*) FROM tenancy.lifecycle_index WHERE index_type = 'event' AND placement = 'monthly';
-- Partitions that change.
UPDATE tenancy.search_index SET state = 'ready' WHERE state = 'pending';
ALTER TABLE tenant_em.event DETACH PARTITION tenant_em.event_01;
ALTER TABLE tenant_em.event DETACH PARTITION tenant_em.event_after;
ALTER TABLE tenant_em.event ATTACH PARTITION tenant_em.event_after FOR VALUES FROM ('2024-01-15 00:00+00') TO (MAXVALUE);
SELECT index_type, tenancy.follow_partitions(index_name) FROM tenancy.search_index WHERE monthly AND role = 'serving' AND state = 'ready' ORDER BY 1;
SELECT index_type, tenancy.follow_partitions(index_name) FROM tenancy.search_index WHERE monthly AND role = 'serving' AND state = 'ready' ORDER BY 1;
SELECT name, bounds, state FROM month WHERE role = 'month' AND name LIKE 'event%';
-- What cannot be.
\set SHOW_CONTEXT never
SELECT tenancy.place('em', 'plain', 'monthly');
SELECT tenancy.place('em', 'listed', 'monthly');
SELECT tenancy.place('em', 'pair', 'monthly');
SELECT tenancy.place('em', 'numbered', 'monthly');
SELECT tenancy.place('em', 'keyless', 'monthly');
\echo :LAST_ERROR_SQLSTATE
-- A table that is partitioned so no more is to have one index again.
SELECT tenant_sync_table('months', 'event', 'event', key_columns => '{id}');
SELECT index_type, phase, placement, reason FROM tenancy.index_move;
SELECT name, bounds, state FROM month WHERE role = 'month' AND name LIKE 'event%';
-- Lifecycle policies that need it.
SELECT tenancy.lifecycle_attach('months', 'day', 'case_studies_ilm');
SELECT tenancy.place('em', 'day', 'dedicated');
-- A server that can be told from when the age counts does all that have one; else the worker does.
UPDATE tenancy.search_index SET state = 'ready', filled = true WHERE index_type = 'day';
SELECT regexp_replace(index_name, '^(\w+)[^-]*', '\1') AS name, lifecycle ->> 'by' AS by, lifecycle #> '{settings,index.blocks.write}' AS readonly,
       regexp_replace(new_policy, '-[0-9a-f]{8}-', '-ID-') AS policy, to_timestamp(origin / 1000.0) AT TIME ZONE 'UTC' AS origin, put, remark
  FROM tenancy.lifecycle_work('0', 'ilm', true, '{hot}');
SELECT regexp_replace(index_name, '^(\w+)[^-]*', '\1') AS name, lifecycle ->> 'by' AS by, new_policy, origin
  FROM tenancy.lifecycle_work('0', 'ilm', false, '{hot,warm}');
SELECT regexp_replace(name, '-[0-9a-f]{8}-', '-ID-') AS name, body FROM tenancy.lifecycle_server_policies('ilm', '{warm}');
SELECT body FROM tenancy.lifecycle_server_policies('ism', '{warm}');
-- After a late change the block is the worker's.
SELECT h, tenancy.lifecycle_wanted('{"warm": {"after": "1d", "readonly": true}}', 'warm', 'p', h, 'ilm', '{}', NULL) #> '{settings,index.blocks.write}' AS readonly,
       tenancy.lifecycle_wanted('{"warm": {"after": "1d", "readonly": true}}', 'hot', 'p', h, 'ilm', '{}', NULL) #> '{settings,index.blocks.write}' AS when_hot
  FROM unnest('{"{\"by\": \"ilm\", \"settings\": {\"index.blocks.write\": \"server\"}}","{\"by\": \"ilm\", \"settings\": {\"index.blocks.write\": false}}","{\"by\": \"ilm\", \"settings\": {\"index.blocks.write\": true}}"}'::jsonb[]) h;
DELETE FROM tenancy.server_policy;
SELECT tenant_create('en', 'months') > 0;
SELECT index_type, placement, policy, applied FROM tenancy.lifecycle_index WHERE tenant = 'en' ORDER BY 1, index_name;
-- Months go with their index, and share its alias.
SELECT tenant_rename('en', 'eo');
SELECT DISTINCT alias, old_aliases FROM tenancy.search_index WHERE alias LIKE '%\_eo' AND index_type = 'day';
SELECT tenancy.lifecycle_detach('months', 'day');
-- Indices that are made anew, as after a restore, are placed as they were.
DELETE FROM tenancy.search_index WHERE tenant_id = (SELECT id FROM tenancy.tenant WHERE name = 'eo');
SELECT tenancy.provision(id) FROM tenancy.tenant WHERE name = 'eo';
SELECT placement, count(*) FROM tenancy.lifecycle_index WHERE tenant = 'eo' AND index_type IN ('day', 'event') GROUP BY 1 ORDER BY 1;
SELECT tenant_drop(t, purge => true) FROM unnest('{em,eo}'::text[]) t;
DELETE FROM tenancy.index_move;
SELECT role, state, count(*) FROM tenancy.search_index WHERE state <> 'dropping' GROUP BY 1, 2;
DROP VIEW month;
