-- Marking rows dirty by hand.

CREATE FUNCTION tenancy.mark_dirty(relation regclass, key text[]) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenancy_mark_dirty';
COMMENT ON FUNCTION tenancy.mark_dirty(regclass, text[]) IS 'Makes every sink look at one row again when this transaction commits; key: the key columns'' values in their order. A key that no row has removes its document. Errors: 22023 for an empty key or a NULL in it, 54000 for one of more than 8187 bytes';
REVOKE ALL ON FUNCTION tenancy.mark_dirty(regclass, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.mark_dirty(regclass, text[]) TO tenancy_operator, tenancy_admin;

CREATE FUNCTION tenancy.raise_epoch() RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    raised integer;
BEGIN
    SELECT 1 + greatest(epoch, (SELECT max(div(substring(reason FROM 'current version \[(\d{1,19})\]')::numeric, 4503599627370496))
                                  FROM tenancy.dead_letter WHERE sink = 'search' AND status = 409))
      INTO raised FROM tenancy.instance;
    IF raised > 2047 THEN
        RAISE EXCEPTION 'the epoch cannot be raised above 2047' USING ERRCODE = 'numeric_value_out_of_range',
            HINT = 'Delete the documents that tenancy.dead_letter names with status 409, and retry these letters.';
    END IF;
    UPDATE tenancy.instance SET epoch = raised, slot = NULL;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION tenancy.raise_epoch() IS 'Has every row sent again with versions above those of all dead letters of status 409, and documents without a row removed: for a data directory that went back in time unnoticed (see state version_regressed). Returns the new epoch, NULL if nothing was ever synced. Errors: 22003 above 2047';
REVOKE ALL ON FUNCTION tenancy.raise_epoch() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.raise_epoch() TO tenancy_operator, tenancy_admin;

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
