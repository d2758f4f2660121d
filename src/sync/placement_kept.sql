-- Where indices were placed, for the day when they are made anew from a dump.

CREATE TABLE tenancy.placement (
    tenant_id bigint NOT NULL REFERENCES tenancy.tenant ON DELETE CASCADE,
    index_type text NOT NULL,
    placement text NOT NULL CHECK (placement IN ('dedicated', 'shared', 'monthly')),
    since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE tenancy.placement IS 'Where the index of a tenant and an index type was placed last; the oldest row counts: while a dump is restored the search worker may have made an index already, as tenancy.default_placement says';
COMMENT ON COLUMN tenancy.placement.since IS 'When the first index of that tenant and type was made';
CREATE INDEX placement_tenant ON tenancy.placement (tenant_id, index_type);
SELECT pg_catalog.pg_extension_config_dump('tenancy.placement', '');

CREATE FUNCTION tenancy.kept_placement(of_tenant bigint, of_type text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT p.placement FROM tenancy.placement p
         WHERE p.tenant_id OPERATOR(pg_catalog.=) of_tenant AND p.index_type OPERATOR(pg_catalog.=) of_type
         ORDER BY p.since LIMIT 1;
    END;
COMMENT ON FUNCTION tenancy.kept_placement(bigint, text) IS 'Where the index of a tenant and an index type was placed last, NULL: there was none. Used by the extension itself';

CREATE FUNCTION tenancy.place_new(of_tenant bigint, by_default text) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM tenancy.place_monthly(i.index_name) FROM tenancy.search_index i
      WHERE i.tenant_id = of_tenant AND i.state = 'pending' AND i.role = 'serving'
        AND (tenancy.kept_placement(of_tenant, i.index_type) = 'monthly' OR tenancy.needs_monthly(of_tenant, i.index_type));
    PERFORM tenancy.share_index(i.index_name)
       FROM (SELECT * FROM tenancy.search_index WHERE tenant_id = of_tenant ORDER BY index_type) i
      WHERE i.state = 'pending' AND i.shared IS NULL AND NOT i.monthly AND i.role = 'serving'
        AND NOT EXISTS (SELECT FROM tenancy.lifecycle_attachment a JOIN tenancy.tenant t USING (blueprint)
                         WHERE t.id = of_tenant AND a.index_type = i.index_type)
        AND coalesce(tenancy.kept_placement(of_tenant, i.index_type), by_default) = 'shared';
    INSERT INTO tenancy.placement (tenant_id, index_type, placement)
    SELECT of_tenant, i.index_type, tenancy.placement_of(i)
      FROM tenancy.search_index i
     WHERE i.tenant_id = of_tenant AND i.role = 'serving' AND i.state <> 'dropping'
       AND tenancy.kept_placement(of_tenant, i.index_type) IS NULL;
END
$$;
COMMENT ON FUNCTION tenancy.place_new(bigint, text) IS 'Places the indices of a tenant that are still to be made where they were before, else as tenancy.default_placement says. Used by the extension itself';

CREATE FUNCTION tenancy.heed_placement() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM tenancy.place(t.name, i.index_type, NEW.placement)
       FROM tenancy.search_index i JOIN tenancy.tenant t ON t.id = i.tenant_id AND t.status <> 'dropped'
      WHERE i.tenant_id = NEW.tenant_id AND i.index_type = NEW.index_type AND i.role = 'serving' AND i.state <> 'dropping'
        AND tenancy.placement_of(i) <> NEW.placement
        AND (NEW.placement <> 'monthly' OR tenancy.monthly_refusal(i.tenant_id, i.index_type) IS NULL)
        AND tenancy.kept_placement(NEW.tenant_id, NEW.index_type) = NEW.placement;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenancy.heed_placement() IS 'Moves an index that was made before the dump told where it had been';
CREATE TRIGGER heed_placement AFTER INSERT ON tenancy.placement
    FOR EACH ROW EXECUTE FUNCTION tenancy.heed_placement();

REVOKE ALL ON tenancy.placement FROM PUBLIC;
REVOKE ALL ON FUNCTION tenancy.kept_placement(bigint, text), tenancy.place_new(bigint, text), tenancy.heed_placement() FROM PUBLIC;
GRANT SELECT ON tenancy.placement TO tenancy_operator, tenancy_admin;
