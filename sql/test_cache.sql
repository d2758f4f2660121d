-- tenant_cache_* without Redis: never an error because of that, always one for a wrong argument.
\set VERBOSITY terse
SELECT tenant_blueprint_add('cache_test', 1, 'CREATE TABLE t (id bigint PRIMARY KEY)');
SELECT tenant_create('cache_one', 'cache_test') > 0, tenant_create('cache_two', 'cache_test') > 0;

-- no tenant
SELECT tenant_cache_get('a');
SELECT tenant_cache_set('a', '1');
SELECT tenant_cache_delete('a');

BEGIN;
SELECT tenant_use('cache_one');
\set ON_ERROR_ROLLBACK on
SELECT tenant_cache_get('a'), tenant_cache_set('a', '{"b": [1, null]}', 60, '{x,y}'), tenant_cache_delete('a');
SELECT tenant_cache_set('a', 'null'), tenant_cache_set('key " $1 %s', '1', tags => NULL), tenant_cache_get('a', 'cache_one');
-- keys
SELECT tenant_cache_get(NULL);
SELECT tenant_cache_get('');
SELECT tenant_cache_set('#tag:', '1');
SELECT tenant_cache_delete(E'a\r\nFLUSHALL');
SELECT tenant_cache_delete(E'a\x7f');
SELECT tenant_cache_get(repeat('x', 512)), tenant_cache_get(repeat('x', 513));

-- values
SELECT tenant_cache_set('a', NULL);
SELECT tenant_cache_set('a', to_jsonb(repeat('x', 16 * 1024 * 1024)));
SELECT tenant_cache_set('a', to_jsonb(repeat('x', 16 * 1024 * 1024 - 2)));
-- ttl
SELECT tenant_cache_set('a', '1', 0);
SELECT tenant_cache_set('a', '1', -1);
SELECT tenant_cache_set('a', '1', 2592001);
SELECT tenant_cache_set('a', '1', NULL);
SELECT tenant_cache_set('a', '1', 1), tenant_cache_set('a', '1', 2592000);
-- tags
SELECT tenant_cache_set('a', '1', tags => '{a,NULL}');
SELECT tenant_cache_set('a', '1', tags => ARRAY[E'a\n']);
SELECT tenant_cache_set('a', '1', tags => ARRAY[repeat('x', 513)]);
SELECT tenant_cache_set('a', '1', tags => array_fill('t'::text, ARRAY[101]));
SELECT tenant_cache_set('a', '1', tags => array_fill('t'::text, ARRAY[100])), tenant_cache_set('a', '1', tags => '{"", ":", "{}"}');
-- another tenant
SELECT tenant_cache_get('a', 'cache_two');
SELECT tenant_cache_get('a', 'nix');
SELECT tenant_cache_get('a', 'cache_two:a');
-- fetch: without Redis it is the query, with all that is checked
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(1)'), tenant_cache_fetch('a', 'SELECT ''{"b": 1, "a": 2}''::json', 60, '{x}');
SELECT tenant_cache_fetch('a', 'SELECT NULL::jsonb') IS NULL, tenant_cache_fetch('a', 'SELECT to_jsonb(id) FROM t') IS NULL;
INSERT INTO t VALUES (7);
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(id) FROM t');
SELECT tenant_cache_fetch('a', 'TABLE t');
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(1), 2');
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(g) FROM generate_series(1, 3) g');
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(1); SELECT to_jsonb(2)');
SELECT tenant_cache_fetch('a', 'DELETE FROM t');
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(1/0)');
SELECT tenant_cache_fetch('a', NULL);
SELECT tenant_cache_fetch(NULL, 'SELECT to_jsonb(1)');
SELECT tenant_cache_fetch('#a', 'SELECT to_jsonb(1)');
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(1)', 0);
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(1)', tags => '{NULL}');
-- what there is: nothing is known of Redis
SELECT total_keys, total_size_bytes, total_size_mb, hits + misses > 0 OR hits IS NULL AS counted, fills + rejected >= 0 OR fills IS NULL AS stored FROM tenant_cache_stats();
SELECT total_keys FROM tenant_cache_stats('cache_one');
SELECT total_keys FROM tenant_cache_stats('cache_two');
SELECT total_keys FROM tenant_cache_stats('nix');
-- by pattern, by tag
SELECT tenant_cache_invalidate('a*'), tenant_cache_invalidate_tag('x'), tenant_cache_invalidate_tag('') ;
SELECT tenant_cache_invalidate(NULL);
SELECT tenant_cache_invalidate('');
SELECT tenant_cache_invalidate('#tag:*');
SELECT tenant_cache_invalidate_tag(NULL);
SELECT tenant_cache_invalidate_tag(E'a\n');
SELECT tenant_cache_fill_script() LIKE '%redis.call(%';
ROLLBACK;

-- who may name another tenant
CREATE ROLE regress_tenancy_app IN ROLE tenancy_app;
CREATE ROLE regress_tenancy_op IN ROLE tenancy_operator;
CREATE ROLE regress_tenancy_lazy NOINHERIT IN ROLE tenancy_app, tenancy_operator;
GRANT EXECUTE ON FUNCTION tenant_cache_get TO regress_tenancy_lazy;
CREATE ROLE regress_tenancy_none;
BEGIN;
SELECT tenant_use('cache_one');
SET LOCAL ROLE regress_tenancy_app;
SELECT tenant_cache_get('a'), tenant_cache_get('a', 'cache_one'), tenant_cache_set('a', '1'), tenant_cache_delete('a');
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(1)'), tenant_cache_invalidate('a'), tenant_cache_invalidate_tag('a');
SELECT tenant_cache_get('a', 'cache_two');
SELECT tenant_cache_get('a', 'nix');
SET LOCAL ROLE regress_tenancy_op;
SELECT tenant_cache_get('a', 'cache_two');
SELECT tenant_cache_get('a', 'nix');
SELECT tenant_cache_set('a', '1');
SELECT tenant_cache_fetch('a', 'SELECT to_jsonb(1)');
SELECT tenant_cache_invalidate('a');
SET LOCAL ROLE regress_tenancy_lazy;
SELECT tenant_cache_get('a', 'cache_two');
SET LOCAL ROLE regress_tenancy_none;
SELECT tenant_cache_get('a');
ROLLBACK;

-- warming
SELECT tenancy.cache_warm_tenant('cache_one');
SELECT tenancy.cache_warm_tenant('nix');
SELECT tenancy.cache_warm_tenant(NULL);
CALL tenancy.cache_warm('cache_one');
CALL tenancy.cache_warm('nix');
CALL tenancy.cache_warm(rate => 0);
SELECT count(*) FROM tenancy.hot_searches('cache_one');
SELECT count(*) FROM tenancy.hot_searches('nix');
INSERT INTO tenancy.cache_warm_rule (name, kind, top, ttl) VALUES ('x', 'values', 1, 1);
INSERT INTO tenancy.cache_warm_rule (name, kind, top, ttl) VALUES ('x', 'else', 1, 1);
INSERT INTO tenancy.cache_warm_rule (name, kind, top, ttl) VALUES ('x', 'searches', 0, 1);
SELECT name, kind, blueprint, top, ttl, tags, tables, enabled, shipped FROM tenancy.cache_warm_rule ORDER BY name;
SELECT window_seconds, stale FROM tenancy.stat_cache WHERE stale > 0;

SELECT tenant_drop('cache_one', purge => true), tenant_drop('cache_two', purge => true);
DROP ROLE regress_tenancy_app, regress_tenancy_op, regress_tenancy_none;
REVOKE ALL ON FUNCTION tenant_cache_get FROM regress_tenancy_lazy;
DROP ROLE regress_tenancy_lazy;
