-- Waiting for the sinks, and how they are.

CREATE FUNCTION tenancy.sync_wait(timeout interval DEFAULT '10s') RETURNS boolean
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenancy_sync_wait';
COMMENT ON FUNCTION tenancy.sync_wait(interval) IS 'Waits until everything committed before the call is in all sinks; false if that takes longer than the timeout. A search finds it after the index''s refresh interval (1 s). A sink without a URL, and what tenancy.pause() stopped, is not waited for. Errors: TN007 if the workers cannot run';
REVOKE ALL ON FUNCTION tenancy.sync_wait(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.sync_wait(interval) TO tenancy_app, tenancy_operator, tenancy_admin;

CREATE FUNCTION tenancy.sync_status(
        OUT sink text, OUT state text, OUT received_lsn pg_lsn, OUT acked_lsn pg_lsn,
        OUT lag_bytes bigint, OUT lag_seconds double precision, OUT dirty bigint, OUT docs bigint,
        OUT deletes bigint, OUT retries bigint, OUT conflicts bigint, OUT dead bigint,
        OUT last_error text, OUT last_error_at timestamptz, OUT held bigint) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 3 AS 'MODULE_PATHNAME', 'tenancy_sync_status';
COMMENT ON FUNCTION tenancy.sync_status() IS 'What view tenancy.stat_sync shows';
REVOKE ALL ON FUNCTION tenancy.sync_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.sync_status() TO tenancy_operator, tenancy_admin, pg_monitor;
GRANT USAGE ON SCHEMA tenancy TO pg_monitor;

CREATE VIEW tenancy.stat_sync AS SELECT * FROM tenancy.sync_status();
COMMENT ON VIEW tenancy.stat_sync IS 'One row each for capture and the two sinks of this database; counters since the server started';
COMMENT ON COLUMN tenancy.stat_sync.sink IS 'capture, search or cache';
COMMENT ON COLUMN tenancy.stat_sync.state IS 'running, starting, stopped, failed, disabled (no URL), paused, unreachable, unauthorized, version_regressed, wal_level too low, not preloaded';
COMMENT ON COLUMN tenancy.stat_sync.received_lsn IS 'Everything committed up to here has come in';
COMMENT ON COLUMN tenancy.stat_sync.acked_lsn IS 'Everything committed up to here is in the sink, or noted in tenancy.backlog or tenancy.resync; of capture: WAL before it is let go';
COMMENT ON COLUMN tenancy.stat_sync.lag_bytes IS 'WAL written since acked_lsn';
COMMENT ON COLUMN tenancy.stat_sync.lag_seconds IS 'Age of the oldest commit that is not in the sink; 0: there is none';
COMMENT ON COLUMN tenancy.stat_sync.dirty IS 'Keys that are still to be sent';
COMMENT ON COLUMN tenancy.stat_sync.docs IS 'Rows sent: documents indexed, or rows whose cache keys were unlinked';
COMMENT ON COLUMN tenancy.stat_sync.deletes IS 'Rows that were gone: documents deleted, or tenants whose cached values were dropped';
COMMENT ON COLUMN tenancy.stat_sync.retries IS 'Operations that had to be sent again';
COMMENT ON COLUMN tenancy.stat_sync.conflicts IS 'Operations the search server refused since it had this version or a newer one';
COMMENT ON COLUMN tenancy.stat_sync.dead IS 'Dead letters';
COMMENT ON COLUMN tenancy.stat_sync.held IS 'Tables whose index takes nothing now (a write block, no shard, closed): tried again by themselves, the others go on';
REVOKE ALL ON tenancy.stat_sync FROM PUBLIC;
GRANT SELECT ON tenancy.stat_sync TO tenancy_operator, tenancy_admin, pg_monitor;
