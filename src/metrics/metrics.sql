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
        OUT last_error text, OUT last_error_at timestamptz, OUT held bigint, OUT verified_at timestamptz,
        OUT verified bigint, OUT missing bigint, OUT stale bigint, OUT ghosts bigint) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 3 AS 'MODULE_PATHNAME', 'tenancy_sync_status';
COMMENT ON FUNCTION tenancy.sync_status() IS 'What view tenancy.stat_sync shows';
REVOKE ALL ON FUNCTION tenancy.sync_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.sync_status() TO tenancy_operator, tenancy_admin, pg_monitor;
GRANT USAGE ON SCHEMA tenancy TO pg_monitor;

CREATE VIEW tenancy.stat_sync AS SELECT * FROM tenancy.sync_status();
COMMENT ON VIEW tenancy.stat_sync IS 'One row each for capture and the sinks of this database; counters since the server started';
COMMENT ON COLUMN tenancy.stat_sync.sink IS 'capture, search or cache; statistics if tenancy.benchmarks is on';
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
COMMENT ON COLUMN tenancy.stat_sync.verified_at IS 'When the last sampling verify ended (tenancy.verify_interval); NULL: none yet, or not of the search sink';
COMMENT ON COLUMN tenancy.stat_sync.verified IS 'Rows that it compared';
COMMENT ON COLUMN tenancy.stat_sync.missing IS 'Rows among them without a document';
COMMENT ON COLUMN tenancy.stat_sync.stale IS 'Rows among them whose document is another one';
COMMENT ON COLUMN tenancy.stat_sync.ghosts IS 'Documents among them without a row';
REVOKE ALL ON tenancy.stat_sync FROM PUBLIC;
GRANT SELECT ON tenancy.stat_sync TO tenancy_operator, tenancy_admin, pg_monitor;

CREATE FUNCTION tenancy.sync_lanes(
        OUT sink text, OUT lane integer, OUT state text, OUT limit_actions integer, OUT limit_bytes bigint,
        OUT in_flight integer, OUT last_ms bigint, OUT lanes_allowed integer) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 3 AS 'MODULE_PATHNAME', 'tenancy_sync_lanes';
COMMENT ON FUNCTION tenancy.sync_lanes() IS 'What view tenancy.stat_sync_lanes shows';
REVOKE ALL ON FUNCTION tenancy.sync_lanes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.sync_lanes() TO tenancy_operator, tenancy_admin, pg_monitor;

CREATE VIEW tenancy.stat_sync_lanes AS SELECT * FROM tenancy.sync_lanes();
COMMENT ON VIEW tenancy.stat_sync_lanes IS 'One row for each lane of the two sinks of this database: what a lane may send, as it was adapted to the server, and what it is doing';
COMMENT ON COLUMN tenancy.stat_sync_lanes.sink IS 'search or cache';
COMMENT ON COLUMN tenancy.stat_sync_lanes.lane IS 'Number of the lane; a key always belongs to the same one';
COMMENT ON COLUMN tenancy.stat_sync_lanes.state IS 'idle, in flight, backing off (after a failure, or as long as Retry-After says), held back (as many requests are in flight as the server takes well)';
COMMENT ON COLUMN tenancy.stat_sync_lanes.limit_actions IS 'Operations that the next request may have';
COMMENT ON COLUMN tenancy.stat_sync_lanes.limit_bytes IS 'Bytes at which the next request is closed';
COMMENT ON COLUMN tenancy.stat_sync_lanes.in_flight IS 'Operations of the request that is under way, 0: there is none';
COMMENT ON COLUMN tenancy.stat_sync_lanes.last_ms IS 'Milliseconds that the last request took';
COMMENT ON COLUMN tenancy.stat_sync_lanes.lanes_allowed IS 'Requests of this sink that may be in flight at the same time';
REVOKE ALL ON tenancy.stat_sync_lanes FROM PUBLIC;
GRANT SELECT ON tenancy.stat_sync_lanes TO tenancy_operator, tenancy_admin, pg_monitor;

CREATE VIEW tenancy.stat_progress_resync AS
    SELECT r.sink, t.name AS tenant, r.table_name, r.phase, r.rows_done, e.rows AS rows_total,
           CASE WHEN r.phase OPERATOR(pg_catalog.=) 'ghosts' THEN 100
                WHEN e.rows OPERATOR(pg_catalog.>) 0
                THEN pg_catalog.round(least(99.9, 100.0 OPERATOR(pg_catalog.*) r.rows_done OPERATOR(pg_catalog./) e.rows), 1)
           END AS percent,
           r.requested_at, r.started_at, r.last_error
      FROM tenancy.resync r
      JOIN tenancy.tenant t ON t.id OPERATOR(pg_catalog.=) r.tenant_id
      LEFT JOIN LATERAL (
        WITH RECURSIVE tree (relid, relkind, reltuples) AS (
            SELECT c.oid, c.relkind, c.reltuples
              FROM pg_catalog.pg_class c
              JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE n.nspname OPERATOR(pg_catalog.=) t.schema_name AND c.relname OPERATOR(pg_catalog.=) r.table_name
            UNION ALL
            SELECT c.oid, c.relkind, c.reltuples
              FROM tree
              JOIN pg_catalog.pg_inherits h ON h.inhparent OPERATOR(pg_catalog.=) tree.relid
              JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) h.inhrelid
             WHERE tree.relkind OPERATOR(pg_catalog.=) 'p')
        SELECT CASE WHEN pg_catalog.bool_and(tree.reltuples OPERATOR(pg_catalog.>=) 0)
                    THEN pg_catalog.sum(tree.reltuples)::bigint END AS rows
          FROM tree WHERE tree.relkind OPERATOR(pg_catalog.=) 'r') e ON true;
COMMENT ON VIEW tenancy.stat_progress_resync IS 'Tables that a sink is still to look at as a whole: first copies and resyncs, in the order asked for';
COMMENT ON COLUMN tenancy.stat_progress_resync.phase IS 'rows: its rows are sent; ghosts: documents without a row are looked for; blocked: cannot be synced as it is, see last_error';
COMMENT ON COLUMN tenancy.stat_progress_resync.rows_done IS 'Rows that the sink has got since requested_at; a restart does not set it back';
COMMENT ON COLUMN tenancy.stat_progress_resync.rows_total IS 'Estimate of ANALYZE; NULL: there is none yet';
COMMENT ON COLUMN tenancy.stat_progress_resync.percent IS 'Of the rows, up to 99.9; 100 in phase ghosts';
COMMENT ON COLUMN tenancy.stat_progress_resync.started_at IS 'NULL: it waits for others, for transactions that were open when it was asked for, or for its index';
COMMENT ON COLUMN tenancy.stat_progress_resync.last_error IS 'Why it is blocked, or why others were let go first';
REVOKE ALL ON tenancy.stat_progress_resync FROM PUBLIC;
GRANT SELECT ON tenancy.stat_progress_resync TO tenancy_operator, tenancy_admin, pg_monitor;

CREATE FUNCTION tenancy.cache_inspected(
        OUT window_seconds integer, OUT checked bigint, OUT absent bigint, OUT stale bigint, OUT not_judged bigint,
        OUT nines double precision) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 3 AS 'MODULE_PATHNAME', 'tenancy_cache_inspected';
COMMENT ON FUNCTION tenancy.cache_inspected() IS 'What view tenancy.stat_cache shows';
REVOKE ALL ON FUNCTION tenancy.cache_inspected() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.cache_inspected() TO tenancy_operator, tenancy_admin, pg_monitor;

CREATE VIEW tenancy.stat_cache AS SELECT * FROM tenancy.cache_inspected();
COMMENT ON VIEW tenancy.stat_cache IS 'What became of keys of synced tables that were unlinked because of a change: up to eight a second are read again 1, 10 and 60 seconds later and compared with the row; counters since the server started';
COMMENT ON COLUMN tenancy.stat_cache.window_seconds IS 'Seconds after the key was unlinked';
COMMENT ON COLUMN tenancy.stat_cache.checked IS 'Keys that were read and found right, absent or stale';
COMMENT ON COLUMN tenancy.stat_cache.absent IS 'Keys among them without a value';
COMMENT ON COLUMN tenancy.stat_cache.stale IS 'Values among them that were not those of the row, although the cache sink had dealt with all its changes; each is in the server''s log';
COMMENT ON COLUMN tenancy.stat_cache.not_judged IS 'Values that cannot be judged by the row (no JSON object with members that are named like columns), keys that Redis did not tell, rows that changed all the time';
COMMENT ON COLUMN tenancy.stat_cache.nines IS 'How sure a value is right: decimal logarithm of checked / stale; without a stale one of checked, as no more is known';
REVOKE ALL ON tenancy.stat_cache FROM PUBLIC;
GRANT SELECT ON tenancy.stat_cache TO tenancy_operator, tenancy_admin, pg_monitor;
