-- Which placement is advised: by size, for a table that can have an index for each partition, and as lifecycle policies allow.
SELECT tenant_blueprint_add('advice', 1, $$
CREATE TABLE event (id bigint, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE event_01 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE event_02 PARTITION OF event FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE thing (id bigint PRIMARY KEY);
CREATE TABLE keyless (id bigint, at date) PARTITION BY RANGE (at);
CREATE TABLE keyless_01 PARTITION OF keyless FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE keyless_02 PARTITION OF keyless FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
$$);
SELECT tenant_sync_table('advice', t, t) FROM unnest('{event,thing}'::text[]) t;
SELECT tenant_sync_table('advice', 'keyless', 'keyless', key_columns => '{id}');
SELECT count(tenant_create(n, 'advice')) FROM unnest('{large,small}'::text[]) n;
INSERT INTO tenant_large.event SELECT n, d FROM generate_series(1, 1000) n, unnest('{2024-01-02,2024-02-02}'::date[]) d;
INSERT INTO tenant_large.thing SELECT generate_series(1, 3000);
INSERT INTO tenant_large.keyless SELECT n, d FROM generate_series(1, 1000) n, unnest('{2024-01-02,2024-02-02}'::date[]) d;
INSERT INTO tenant_small.thing VALUES (1);
SELECT tenant, index_type, placement, advice, reason FROM tenancy.placement_advice() WHERE tenant IN ('large', 'small') ORDER BY 1, 2;
CREATE VIEW advice AS SELECT tenant, index_type, placement, advice, reason
  FROM tenancy.placement_advice(small_bytes => 20000, large_bytes => 50000) WHERE tenant IN ('large', 'small') ORDER BY 1, 2;
SELECT * FROM advice;
-- As advised: it is kept.
SELECT tenant, index_type, tenancy.place(tenant, index_type, advice) FROM advice WHERE advice <> 'keep';
SELECT * FROM advice;
-- What has become large is shared no more, what has become small needs no index for each partition.
INSERT INTO tenant_small.thing SELECT generate_series(2, 3000);
TRUNCATE tenant_large.event;
SELECT * FROM advice WHERE advice <> 'keep';
-- Unless a policy needs it.
SELECT tenancy.place('small', 'event', 'monthly');
SELECT tenancy.lifecycle_attach('advice', 'event', 'case_studies_ilm');
SELECT * FROM advice WHERE index_type = 'event';
SELECT tenancy.lifecycle_detach('advice', 'event');
SELECT tenant_drop(n, purge => true) FROM unnest('{large,small}'::text[]) n;
DELETE FROM tenancy.search_index WHERE state = 'dropping' OR role = 'shared';
DROP VIEW advice;
