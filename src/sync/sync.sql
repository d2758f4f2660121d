-- Marking rows dirty by hand.

CREATE FUNCTION tenancy.mark_dirty(relation regclass, key text[]) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenancy_mark_dirty';
COMMENT ON FUNCTION tenancy.mark_dirty(regclass, text[]) IS 'Makes every sink look at one row again when this transaction commits; key: the key columns'' values in their order. A key that no row has removes its document. Errors: 22023 for an empty key or a NULL in it';
REVOKE ALL ON FUNCTION tenancy.mark_dirty(regclass, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.mark_dirty(regclass, text[]) TO tenancy_operator, tenancy_admin;

CREATE FUNCTION tenancy.dead_letter_retry(letter bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    BEGIN ATOMIC
        SELECT pg_catalog.count(tenancy.mark_dirty(d.relation, d.key))
          FROM tenancy.dead_letter d
         WHERE d.id OPERATOR(pg_catalog.=) letter OR letter IS NULL;
    END;
COMMENT ON FUNCTION tenancy.dead_letter_retry(bigint) IS 'Sends a dead letter''s row again, or those of all (NULL); returns how many. A letter goes when its row got in';
REVOKE ALL ON FUNCTION tenancy.dead_letter_retry(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.dead_letter_retry(bigint) TO tenancy_operator, tenancy_admin;

GRANT SELECT ON tenancy.backlog, tenancy.dead_letter, tenancy.search_index, tenancy.resync, tenancy.sync_table,
    tenancy.sync_dependency,    tenancy.sink, tenancy.instance TO tenancy_operator, tenancy_admin;
