-- The tenants' values in Redis.

CREATE FUNCTION @extschema@.tenant_cache_get(key text, tenant text DEFAULT NULL) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_get';
COMMENT ON FUNCTION @extschema@.tenant_cache_get(text, text) IS
    'Value of a key of the current or the named tenant; null if there is none or Redis does not answer. Errors: TN005 no tenant in use, TN001 unknown tenant, 42501 another tenant''s name without tenancy_operator or tenancy_admin, 22023 key';

CREATE FUNCTION @extschema@.tenant_cache_set(
    key text,
    value jsonb,
    ttl integer DEFAULT 3600,
    tags text[] DEFAULT '{}'
) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_set';
COMMENT ON FUNCTION @extschema@.tenant_cache_set(text, jsonb, integer, text[]) IS
    'Stores a value for ttl seconds at once, whatever becomes of the transaction; false if Redis did not take it, if what it was made of may have changed since tenant_use() or since the transaction in which tenant_cache_get() of this session missed it, if a value was found in the cache since then, as it may be made of that, or if the transaction has written. The value must have been read from the tables in this transaction after tenant_use(), or in the same session after that tenant_cache_get(); through a pooler in transaction mode only the former. Errors: TN005 no tenant in use, 22023 key, tags or ttl, 54000 value over 16 MB';

CREATE FUNCTION @extschema@.tenant_cache_delete(key text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_delete';
COMMENT ON FUNCTION @extschema@.tenant_cache_delete(text) IS
    'Removes a key at once, whatever becomes of the transaction; what a session has read before a change that has ended by now is not stored after it, nor is what the holder of the key''s lease has read; true if it was there. Errors: TN005 no tenant in use, 22023 key';

CREATE FUNCTION @extschema@.tenant_cache_fetch(
    key text,
    query text,
    ttl integer DEFAULT 3600,
    tags text[] DEFAULT '{}'
) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_fetch';
COMMENT ON FUNCTION @extschema@.tenant_cache_fetch(text, text, integer, text[]) IS
    'Value of a key; if there is none, that of the query (one row of one jsonb or json column), run with the caller''s rights, which is then stored for ttl seconds, 10 % more or less, unless what it was made of has changed meanwhile, or the query has found other values in the cache. No row, or null, is null and is remembered for 10 seconds. One session at a time makes a value; others wait tenancy.cache_wait for it and then run the query too. Errors: TN005 no tenant in use, 22023 key, query, tags or ttl, 42804 the query''s column, 21000 more than one row, 54000 value over 16 MB, and those of the query';

CREATE FUNCTION @extschema@.tenant_cache_invalidate(pattern text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_invalidate';
COMMENT ON FUNCTION @extschema@.tenant_cache_invalidate(text) IS
    'Removes at once the values of the tenant in use, of those that tenant_cache_set and tenant_cache_fetch stored, whose keys fit a pattern of Redis (* at most 8 times, ?, [a-z], \ before a special character); returns how many, null if Redis did not answer. A value that was read before a change that has ended by now, of any key of the tenant, is not stored after it; while a transaction that has written is running, none that was read in the time is, for tenancy.cache_guard_time at the most. Errors: TN005 no tenant in use, 22023 pattern';

CREATE FUNCTION @extschema@.tenant_cache_invalidate_tag(tag text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_invalidate_tag';
COMMENT ON FUNCTION @extschema@.tenant_cache_invalidate_tag(text) IS
    'Removes at once the values with a tag of the tenant in use; returns how many keys had it, null if Redis did not answer. A value with the tag that was read before a change that has ended by now is not stored after it. Errors: TN005 no tenant in use, 22023 tag';

CREATE FUNCTION @extschema@.tenant_cache_stats(
    tenant text DEFAULT NULL,
    OUT total_keys bigint, OUT total_size_bytes bigint, OUT total_size_mb numeric,
    OUT hits bigint, OUT misses bigint, OUT hit_rate double precision,
    OUT fills bigint, OUT rejected bigint, OUT counted_since timestamptz
) RETURNS record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenant_cache_stats';
COMMENT ON FUNCTION @extschema@.tenant_cache_stats(text) IS
    'What the current or the named tenant has in Redis (total_*: keys stored by the functions and by clients that use the fill script, and not expired; bytes of names and values, each rounded up to 16) and how it was used through this server since counted_since: reads that found a value (hits) or not (misses, also while Redis is away), hits among them (hit_rate, 0 to 1), values stored (fills) and refused as they may be too old (rejected). total_* is null if Redis does not answer, the rest without preload. Looks at counters, never at keys. Errors: TN005 no tenant in use, TN001 unknown tenant, 42501 another tenant''s name without tenancy_operator or tenancy_admin';

CREATE FUNCTION @extschema@.tenant_cache_fill_script() RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'tenant_cache_fill_script';
COMMENT ON FUNCTION @extschema@.tenant_cache_fill_script() IS
    'Lua script by which any client of Redis stores a value that it has read from the tables, unless it is too old; docs/guarded-fill.md says what it is called with. It changes with the version of the extension';

REVOKE ALL ON FUNCTION
    @extschema@.tenant_cache_get(text, text),
    @extschema@.tenant_cache_set(text, jsonb, integer, text[]),
    @extschema@.tenant_cache_delete(text),
    @extschema@.tenant_cache_fetch(text, text, integer, text[]),
    @extschema@.tenant_cache_invalidate(text),
    @extschema@.tenant_cache_invalidate_tag(text),
    @extschema@.tenant_cache_stats(text),
    @extschema@.tenant_cache_fill_script()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    @extschema@.tenant_cache_get(text, text),
    @extschema@.tenant_cache_set(text, jsonb, integer, text[]),
    @extschema@.tenant_cache_delete(text),
    @extschema@.tenant_cache_fetch(text, text, integer, text[]),
    @extschema@.tenant_cache_invalidate(text),
    @extschema@.tenant_cache_invalidate_tag(text),
    @extschema@.tenant_cache_stats(text),
    @extschema@.tenant_cache_fill_script()
TO tenancy_app, tenancy_admin;
GRANT EXECUTE ON FUNCTION @extschema@.tenant_cache_get(text, text), @extschema@.tenant_cache_stats(text) TO tenancy_operator;
