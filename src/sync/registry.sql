-- What is synced, and what the sync workers must not forget.

CREATE TABLE tenancy.instance (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id text NOT NULL DEFAULT pg_catalog.substr(pg_catalog.replace(pg_catalog.gen_random_uuid()::text, '-', ''), 1, 8),
    epoch integer NOT NULL DEFAULT 1 CHECK (epoch BETWEEN 1 AND 2047),
    system_identifier bigint,
    timeline integer,
    database_oid oid,
    slot text,
    standby_slots text
);
COMMENT ON TABLE tenancy.instance IS 'At most one row, made at first need: identity of this database towards its sinks';
COMMENT ON COLUMN tenancy.instance.id IS 'Random; part of every index name, so that two databases never share an index';
COMMENT ON COLUMN tenancy.instance.database_oid IS 'pg_database.oid; another one with the same system identifier is a copy, which gets an id of its own';
COMMENT ON COLUMN tenancy.instance.slot IS 'Replication slot that was made after which everything was marked dirty; NULL: everything still has to be';
COMMENT ON COLUMN tenancy.instance.standby_slots IS 'Physical slots of the standbys that have every change before a sink gets it; NULL: none is waited for. One of these goes on after its promotion where the primary was';
COMMENT ON COLUMN tenancy.instance.epoch IS 'Upper bits of every document version; rises when the WAL is not the one it was';

CREATE FUNCTION tenancy.replace_instance() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- one at a time: what the other one did must be seen
    PERFORM pg_advisory_xact_lock(hashtextextended('tenancy.instance', 0));
    IF NEW.slot IS NOT NULL THEN
        DELETE FROM tenancy.instance;
    ELSIF EXISTS (SELECT FROM tenancy.instance) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenancy.replace_instance() IS 'Lets the row of a dump, which names a slot, take the place of the one that the capture worker made meanwhile; else the first row stays';
REVOKE ALL ON FUNCTION tenancy.replace_instance() FROM PUBLIC;
CREATE TRIGGER replace_instance BEFORE INSERT ON tenancy.instance
    FOR EACH ROW EXECUTE FUNCTION tenancy.replace_instance();

CREATE TABLE tenancy.sync_table (
    blueprint text NOT NULL REFERENCES tenancy.blueprint ON DELETE CASCADE,
    table_name name NOT NULL,
    index_type text,
    key_columns text[],
    mapping jsonb,
    cache_keys text[] NOT NULL DEFAULT '{}',
    cache_tags text[] NOT NULL DEFAULT '{}',
    document text,
    depends_on jsonb,
    benchmark boolean NOT NULL DEFAULT false,
    PRIMARY KEY (blueprint, table_name),
    UNIQUE (blueprint, index_type)
) WITH (user_catalog_table = true);
COMMENT ON TABLE tenancy.sync_table IS 'Which tables of a blueprint''s tenants are kept in step with the sinks, and how; set by tenant_sync_table()';
COMMENT ON COLUMN tenancy.sync_table.index_type IS 'First part of the index alias; NULL: not indexed';
COMMENT ON COLUMN tenancy.sync_table.key_columns IS 'Columns that identify a row; NULL: the primary key';
COMMENT ON COLUMN tenancy.sync_table.mapping IS 'Body of the create-index request: settings and mappings';
COMMENT ON COLUMN tenancy.sync_table.cache_keys IS 'Templates of Redis keys unlinked when a row changes, {column} being a key column';
COMMENT ON COLUMN tenancy.sync_table.cache_tags IS 'Templates of cache tags invalidated when a row changes';
COMMENT ON COLUMN tenancy.sync_table.document IS 'View or expression that makes the documents; NULL: the row itself';
COMMENT ON COLUMN tenancy.sync_table.benchmark IS 'The benchmark statistics are of it; set by tenant_benchmark_table()';
COMMENT ON COLUMN tenancy.sync_table.depends_on IS 'Other tables that the documents have rows of, as it was given; tenancy.sync_dependency is what counts';

CREATE TABLE tenancy.sync_dependency (
    blueprint text NOT NULL,
    joined_table name NOT NULL,
    table_name name NOT NULL,
    columns text[] NOT NULL,
    parent_columns text[],
    parents text,
    PRIMARY KEY (blueprint, joined_table, table_name),
    FOREIGN KEY (blueprint, table_name) REFERENCES tenancy.sync_table ON DELETE CASCADE,
    CHECK ((parent_columns IS NULL) <> (parents IS NULL))
) WITH (user_catalog_table = true);
-- logical decoding reads it, and must not read its TOAST table
ALTER TABLE tenancy.sync_dependency ALTER COLUMN columns SET STORAGE PLAIN;
COMMENT ON TABLE tenancy.sync_dependency IS 'Tables whose rows are parts of a synced table''s documents; written by tenant_sync_table() from depends_on';
COMMENT ON COLUMN tenancy.sync_dependency.columns IS 'Columns of the joined table whose values tell the rows it is joined with';
COMMENT ON COLUMN tenancy.sync_dependency.parent_columns IS 'Columns of the synced table that have these values';
COMMENT ON COLUMN tenancy.sync_dependency.parents IS 'Query for the keys of the rows joined with a row that has the values $1, $2 and so on';

CREATE TABLE tenancy.search_index (
    index_name text PRIMARY KEY,
    tenant_id bigint NOT NULL,
    index_type text NOT NULL,
    alias text NOT NULL,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'ready', 'altered', 'missing', 'emptying', 'dropping')),
    body jsonb NOT NULL DEFAULT '{}',
    fields jsonb NOT NULL DEFAULT '{}',
    to_put jsonb NOT NULL DEFAULT '{}',
    to_set jsonb NOT NULL DEFAULT '{}',
    old_aliases text[] NOT NULL DEFAULT '{}',
    role text NOT NULL DEFAULT 'serving' CHECK (role IN ('serving', 'filling', 'retired', 'shared', 'month')),
    shared text,
    monthly boolean NOT NULL DEFAULT false,
    month_of text,
    partition oid,
    bounds text,
    owner oid,
    replaces text,
    revision integer NOT NULL DEFAULT 0,
    relation oid,
    shape jsonb,
    filled boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    note text,
    age_from timestamptz NOT NULL DEFAULT pg_catalog.now(),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    lifecycle jsonb NOT NULL DEFAULT '{}',
    lifted_at timestamptz,
    lifecycle_tried_at timestamptz,
    lifecycle_error text,
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE tenancy.search_index IS 'Every index the search sink makes, keeps or removes; a row goes when the index is gone';
COMMENT ON COLUMN tenancy.search_index.state IS 'pending: to be made; ready; altered: its mapping or alias is to be changed first; missing: was there and is gone, to be made and filled again; emptying: its table is gone, to be made again without documents; dropping: to be removed';
COMMENT ON COLUMN tenancy.search_index.role IS 'serving: the alias stands for it; filling: it is to take the place of that one; retired: it has been replaced, and is kept in step for tenancy.reindex_grace. All of them get every change. shared: parts of it are the indices of many tenants; month: it has the documents of one partition; the tenant_id of these two is 0';
COMMENT ON COLUMN tenancy.search_index.shared IS 'Index of which it is a part: the server has none of its own name. NULL: it shares none';
COMMENT ON COLUMN tenancy.search_index.monthly IS 'Each partition of its table has an index, see month_of; it has none of their documents itself';
COMMENT ON COLUMN tenancy.search_index.month_of IS 'Index among whose months it is, and whose body, fields and role are its too';
COMMENT ON COLUMN tenancy.search_index.partition IS 'Partition whose rows such a month has';
COMMENT ON COLUMN tenancy.search_index.bounds IS 'Bounds of that partition, in UTC: with others it is another month. Of the default partition those of all others, which it does not have';
COMMENT ON COLUMN tenancy.search_index.owner IS 'Of a shared one: owner of the blueprints whose tenants share it';
COMMENT ON COLUMN tenancy.search_index.replaces IS 'Index that it is to take the alias from now';
COMMENT ON COLUMN tenancy.search_index.filled IS 'It has had every row: tenant_search uses it';
COMMENT ON COLUMN tenancy.search_index.relation IS 'Table whose rows it has; NULL: there is none';
COMMENT ON COLUMN tenancy.search_index.shape IS 'What that table was like when it was last compared: columns, key, partitions; another shape has the mapping changed, or rows sent again';
COMMENT ON COLUMN tenancy.search_index.body IS 'Body of the create-index request, but for fields';
COMMENT ON COLUMN tenancy.search_index.fields IS 'Mapping of columns that were added to the table since';
COMMENT ON COLUMN tenancy.search_index.to_put IS 'Those of fields that the index does not have yet';
COMMENT ON COLUMN tenancy.search_index.to_set IS 'What else of body it does not have yet: settings, and root, members of the mapping besides its fields';
COMMENT ON COLUMN tenancy.search_index.note IS 'Field types of the body that this server has not, or calls otherwise, and what it got instead; NULL: the body as it is';
COMMENT ON COLUMN tenancy.search_index.age_from IS 'From when its age counts';
COMMENT ON COLUMN tenancy.search_index.created_at IS 'When this row was made; where age_from is another time the server counts otherwise';
COMMENT ON COLUMN tenancy.search_index.lifecycle IS 'What was done of its lifecycle policy: phase, and settings that it has since; where the server carries it out, by (its API), policy there and the settings that are its';
COMMENT ON COLUMN tenancy.search_index.lifted_at IS 'When its readonly was lifted for a late change; NULL: it is not lifted';
COMMENT ON COLUMN tenancy.search_index.lifecycle_error IS 'Why that was so, or what of the phase could not be done';
COMMENT ON COLUMN tenancy.search_index.lifecycle_tried_at IS 'When its phase could not be done, see lifecycle_error; NULL: it could';
COMMENT ON COLUMN tenancy.search_index.old_aliases IS 'Aliases that are to be removed from it: the tenant was renamed';
COMMENT ON COLUMN tenancy.search_index.revision IS 'Raised when more is to be done: what was begun before does not count';
CREATE INDEX search_index_work ON tenancy.search_index (state) WHERE state <> 'ready';
CREATE INDEX search_index_tenant ON tenancy.search_index (tenant_id);
CREATE INDEX search_index_relation ON tenancy.search_index (relation);
CREATE INDEX search_index_shared ON tenancy.search_index (shared) WHERE shared IS NOT NULL;
CREATE INDEX search_index_month ON tenancy.search_index (month_of) WHERE month_of IS NOT NULL;
CREATE UNIQUE INDEX search_index_partition ON tenancy.search_index (month_of, partition) WHERE state <> 'dropping';

CREATE FUNCTION tenancy.placement_of(i tenancy.search_index) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT CASE WHEN (i).monthly THEN 'monthly' WHEN (i).shared IS NOT NULL THEN 'shared' ELSE 'dedicated' END;
    END;
COMMENT ON FUNCTION tenancy.placement_of(tenancy.search_index) IS 'Placement that an index of a tenant has. Used by the extension itself';

REVOKE ALL ON FUNCTION tenancy.placement_of(tenancy.search_index) FROM PUBLIC;

CREATE TABLE tenancy.sink (
    name text PRIMARY KEY CHECK (name IN ('search', 'cache', 'statistics')),
    enabled boolean NOT NULL DEFAULT false,
    identity text
);
COMMENT ON TABLE tenancy.sink IS 'What each sink was when its worker last looked; a change of it starts a resync';
COMMENT ON COLUMN tenancy.sink.identity IS 'cluster_uuid of the search server';
INSERT INTO tenancy.sink (name) VALUES ('search'), ('cache'), ('statistics');

CREATE TABLE tenancy.resync (
    sink text NOT NULL REFERENCES tenancy.sink,
    tenant_id bigint NOT NULL,
    table_name name NOT NULL,
    phase text NOT NULL DEFAULT 'rows' CHECK (phase IN ('rows', 'ghosts', 'blocked')),
    last_key text[],
    rows_done bigint NOT NULL DEFAULT 0,
    last_error text,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    started_at timestamptz,
    postponed_at timestamptz,
    again text CHECK (again IN ('rows', 'ghosts')),
    fresh boolean NOT NULL DEFAULT false,
    PRIMARY KEY (sink, tenant_id, table_name)
);
COMMENT ON TABLE tenancy.resync IS 'Tables whose every row a sink still has to mark dirty; a row goes when its table is done';
COMMENT ON COLUMN tenancy.resync.phase IS 'rows: every row is being marked; ghosts: then every document, so that those without a row go; blocked: cannot be synced until its shape changes, see last_error';
COMMENT ON COLUMN tenancy.resync.rows_done IS 'Rows the sink has got since it was asked for';
COMMENT ON COLUMN tenancy.resync.started_at IS 'When the first row was looked at; NULL: not yet';
COMMENT ON COLUMN tenancy.resync.again IS 'Phase to start anew with when this one is done, since more became dirty meanwhile; NULL: none';
COMMENT ON COLUMN tenancy.resync.fresh IS 'The index was made after this was asked for, and every change has been seen since: no document can lack its row';
COMMENT ON COLUMN tenancy.resync.postponed_at IS 'When others were let go first, see last_error';
COMMENT ON COLUMN tenancy.resync.last_key IS 'Rows up to this position (OID of the leaf table, key columns) are done; NULL: none';

CREATE TABLE tenancy.backlog (
    sink text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind smallint NOT NULL,
    relid oid NOT NULL,
    key bytea NOT NULL,
    PRIMARY KEY (sink, relid, id)
);
COMMENT ON TABLE tenancy.backlog IS 'Dirty keys that did not fit into tenancy.dirty_mem, or would hold back WAL while their sink is away, slow or paused, or their index takes nothing; read back in the order of id, relation by relation in turn';
COMMENT ON COLUMN tenancy.backlog.kind IS '0: a row, 1: a whole table, 2: the cache of a tenant, 3: rows that a row of a joined table is part of';
COMMENT ON COLUMN tenancy.backlog.key IS 'Values of the key columns as text, each ended by a zero byte';

CREATE TABLE tenancy.dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sink text NOT NULL,
    tenant_id bigint NOT NULL,
    relation regclass NOT NULL,
    key text[] NOT NULL,
    key_hash bigint NOT NULL,
    status integer NOT NULL,
    reason text NOT NULL,
    version bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE (sink, relation, key_hash)
);
COMMENT ON TABLE tenancy.dead_letter IS 'Rows that a sink refused; the rest went on without them';
COMMENT ON COLUMN tenancy.dead_letter.key_hash IS 'Hash of key, which may be too long for an index';
COMMENT ON COLUMN tenancy.dead_letter.status IS 'HTTP status of the refusal; 0: the row could not be read';
COMMENT ON COLUMN tenancy.dead_letter.reason IS 'What the server said';

SELECT pg_catalog.pg_extension_config_dump('tenancy.instance', '');
SELECT pg_catalog.pg_extension_config_dump('tenancy.sync_table', 'WHERE blueprint <> ''case_studies''');
SELECT pg_catalog.pg_extension_config_dump('tenancy.sync_dependency', 'WHERE blueprint <> ''case_studies''');

CREATE FUNCTION tenancy.request_resync(only_sink text, only_tenant bigint, only_blueprint text, only_table text) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    BEGIN ATOMIC
        WITH requested AS (
            INSERT INTO tenancy.resync (sink, tenant_id, table_name)
            SELECT k.name, t.id, s.table_name
              FROM tenancy.tenant t
              JOIN tenancy.sync_table s ON s.blueprint OPERATOR(pg_catalog.=) t.blueprint
              JOIN tenancy.sink k
                ON CASE WHEN k.name OPERATOR(pg_catalog.=) 'search' THEN s.index_type IS NOT NULL
                        WHEN k.name OPERATOR(pg_catalog.=) 'statistics' THEN k.enabled AND s.benchmark
                        ELSE pg_catalog.cardinality(s.cache_keys) OPERATOR(pg_catalog.+)
                             pg_catalog.cardinality(s.cache_tags) OPERATOR(pg_catalog.>) 0 END
             WHERE t.status OPERATOR(pg_catalog.<>) 'dropped'
               AND (only_sink IS NULL OR k.name OPERATOR(pg_catalog.=) only_sink)
               AND (only_tenant IS NULL OR t.id OPERATOR(pg_catalog.=) only_tenant)
               AND (only_blueprint IS NULL OR s.blueprint OPERATOR(pg_catalog.=) only_blueprint)
               AND (only_table IS NULL OR s.table_name OPERATOR(pg_catalog.=) only_table::name)
            ON CONFLICT (sink, tenant_id, table_name) DO UPDATE
               SET phase = 'rows', last_key = NULL, rows_done = 0, last_error = NULL, again = NULL,
                   requested_at = pg_catalog.clock_timestamp(), started_at = NULL, postponed_at = NULL,
                   fresh = false
            RETURNING 1)
        SELECT pg_catalog.count(*) FROM requested;
    END;
COMMENT ON FUNCTION tenancy.request_resync(text, bigint, text, text) IS 'Asks for a resync of the synced tables that match every argument that is not null; returns how many. Used by the extension itself; see tenancy.resync()';
REVOKE ALL ON FUNCTION tenancy.request_resync(text, bigint, text, text) FROM PUBLIC;

CREATE FUNCTION tenancy.resync(tenant text DEFAULT NULL, relation text DEFAULT NULL) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT pg_catalog.sum(tenancy.request_resync(NULL, t.id, NULL, relation))::bigint
          FROM tenancy.tenant t
         WHERE t.status OPERATOR(pg_catalog.<>) 'dropped'
           AND (tenant IS NULL OR t.name OPERATOR(pg_catalog.=) tenant);
    END;
COMMENT ON FUNCTION tenancy.resync(text, text) IS 'Makes the sinks look at every row, and at every document, of a tenant''s table again; NULL: of all tenants, of all synced tables. Writers are not blocked; table tenancy.resync shows what is left. Returns the number of tables and sinks, NULL if there is no such tenant';
REVOKE ALL ON FUNCTION tenancy.resync(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.resync(text, text) TO tenancy_operator, tenancy_admin;
