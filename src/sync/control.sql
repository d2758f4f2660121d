-- Pausing a sink, or a tenant in it.

CREATE TABLE tenancy.sync_pause (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sink text NOT NULL REFERENCES tenancy.sink,
    tenant_id bigint REFERENCES tenancy.tenant ON DELETE CASCADE,
    resuming boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 0,
    paused_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    paused_by text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (sink, tenant_id)
);
COMMENT ON TABLE tenancy.sync_pause IS 'Sinks and tenants that tenancy.pause() stopped; it survives a restart and is not part of a dump: a restored database starts with nothing paused. See view tenancy.sync_paused';
COMMENT ON COLUMN tenancy.sync_pause.tenant_id IS 'NULL: the whole sink';
COMMENT ON COLUMN tenancy.sync_pause.resuming IS 'tenancy.resume() was called; the row goes when the sink has everything committed before';
COMMENT ON COLUMN tenancy.sync_pause.version IS 'Raised by each change of the row';

CREATE FUNCTION tenancy.pause(sink text, tenant text DEFAULT NULL) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenancy_pause';
COMMENT ON FUNCTION tenancy.pause(text, text) IS 'Stops sending a tenant''s changes, or all (NULL), to sink search, cache or statistics when this transaction commits; what changes meanwhile is kept in tenancy.backlog and holds no WAL. Cached values of what is paused are not read. False if it was paused already. Errors: 22004 sink is null, 22023 unknown sink, TN001 unknown tenant';
REVOKE ALL ON FUNCTION tenancy.pause(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.pause(text, text) TO tenancy_operator, tenancy_admin;

CREATE FUNCTION tenancy.resume(sink text, tenant text DEFAULT NULL) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenancy_resume';
COMMENT ON FUNCTION tenancy.resume(text, text) IS 'Ends what tenancy.pause() with the same arguments began; what was kept back is sent. False if it was not paused. Errors: as tenancy.pause()';
REVOKE ALL ON FUNCTION tenancy.resume(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.resume(text, text) TO tenancy_operator, tenancy_admin;

CREATE VIEW tenancy.sync_paused AS
    SELECT p.sink, t.name AS tenant, CASE WHEN p.resuming THEN 'resuming' ELSE 'paused' END AS state,
           p.paused_at, p.paused_by
      FROM tenancy.sync_pause p LEFT JOIN tenancy.tenant t ON t.id = p.tenant_id
     WHERE p.tenant_id IS NULL OR t.status <> 'dropped';
COMMENT ON VIEW tenancy.sync_paused IS 'What tenancy.pause() stopped';
COMMENT ON COLUMN tenancy.sync_paused.tenant IS 'NULL: the whole sink';
COMMENT ON COLUMN tenancy.sync_paused.state IS 'paused; resuming: changes made during the pause are being sent, and cached values are not read yet';
REVOKE ALL ON tenancy.sync_pause, tenancy.sync_paused FROM PUBLIC;
GRANT SELECT ON tenancy.sync_paused TO tenancy_operator, tenancy_admin, pg_monitor;
