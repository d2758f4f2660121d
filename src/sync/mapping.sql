-- Bodies of indices.

CREATE TABLE tenancy.column_mapping (
    blueprint text NOT NULL REFERENCES tenancy.blueprint ON DELETE CASCADE,
    table_name name NOT NULL,
    column_name name NOT NULL,
    mapping jsonb,
    PRIMARY KEY (blueprint, table_name, column_name)
);
COMMENT ON TABLE tenancy.column_mapping IS 'How columns are indexed that are not to be by their type; set by tenancy.map_column()';
COMMENT ON COLUMN tenancy.column_mapping.mapping IS 'Mapping of the field; NULL: the column is not indexed';

CREATE TABLE tenancy.index_template (
    blueprint text NOT NULL REFERENCES tenancy.blueprint ON DELETE CASCADE,
    index_type text NOT NULL,
    settings jsonb NOT NULL,
    PRIMARY KEY (blueprint, index_type)
);
COMMENT ON TABLE tenancy.index_template IS 'Settings of all indices of a type; set by tenancy.index_template()';
COMMENT ON COLUMN tenancy.index_template.settings IS 'As in the create-index request; those of a table''s own mapping count more';

SELECT pg_catalog.pg_extension_config_dump('tenancy.column_mapping', '');
SELECT pg_catalog.pg_extension_config_dump('tenancy.index_template', '');

CREATE FUNCTION tenancy.mapping_diff(
    present jsonb,
    wanted jsonb,
    OUT change text,
    OUT resend boolean,
    OUT fields jsonb,
    OUT root jsonb,
    OUT settings jsonb,
    OUT conflicts text[]
)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'tenancy_mapping_diff';
COMMENT ON FUNCTION tenancy.mapping_diff(jsonb, jsonb) IS
    'What an index with one body (settings and mappings) needs to get another one. change: none; put: fields, root (other members of mappings) and settings can be put as the index is; reindex: only another index can have it, conflicts says why. resend: fields find a document only when it is sent again';
REVOKE ALL ON FUNCTION tenancy.mapping_diff(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.mapping_diff(jsonb, jsonb) TO tenancy_operator, tenancy_admin;

CREATE FUNCTION tenancy.generate_mapping(relation regclass, columns jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'tenancy_generate_mapping';
COMMENT ON FUNCTION tenancy.generate_mapping(regclass, jsonb) IS
    'Body that an index of the table gets where tenant_sync_table() was given no mapping: a field for every column, by its type. columns: object of column → mapping of its field, null: none; see tenancy.map_column()';

CREATE FUNCTION tenancy.index_body(tenant bigint, index_type text) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'tenancy_index_body';
COMMENT ON FUNCTION tenancy.index_body(bigint, text) IS
    'Body that a tenant''s index should have: the mapping that was given or is generated, with the settings of the index type''s template; NULL: no table has the index type. Used by the extension itself';

CREATE FUNCTION tenancy.merged_body(body jsonb, fields jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT CASE WHEN fields OPERATOR(pg_catalog.=) '{}' THEN body ELSE body OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('mappings',
            coalesce(body OPERATOR(pg_catalog.->) 'mappings', '{}') OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('properties',
                fields OPERATOR(pg_catalog.||) coalesce(body OPERATOR(pg_catalog.#>) '{mappings,properties}', '{}'))) END;
    END;
COMMENT ON FUNCTION tenancy.merged_body(jsonb, jsonb) IS 'Body of an index with fields that were added to it later. Used by the extension itself';

CREATE FUNCTION tenancy.map_column(blueprint text, table_name text, column_name text, mapping jsonb) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_map_column';
COMMENT ON FUNCTION tenancy.map_column(text, text, text, jsonb) IS
    'Says how a column of a table without a mapping of its own is indexed, instead of by its type; NULL: not at all. Every row is sent again. Errors: TN006 unknown blueprint, TN010 the table has a mapping of its own or this is none, 42703 no tenant has the column, 42501 not the blueprint''s owner';

CREATE FUNCTION tenancy.unmap_column(blueprint text, table_name text, column_name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_unmap_column';
COMMENT ON FUNCTION tenancy.unmap_column(text, text, text) IS
    'Takes back what tenancy.map_column() said: the column is indexed by its type again; false if nothing was said. Errors: TN006 unknown blueprint, 42501 not the blueprint''s owner';

CREATE FUNCTION tenancy.index_template(blueprint text, index_type text, settings jsonb) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'tenancy_index_template';
COMMENT ON FUNCTION tenancy.index_template(text, text, jsonb) IS
    'Settings of every index of a type: number_of_shards, number_of_replicas, refresh_interval, analysis and so on; those in a table''s own mapping count more. NULL: none any more. Errors: TN006 unknown blueprint, TN003 index type, TN010 these are no settings, 42501 not the blueprint''s owner';

REVOKE ALL ON FUNCTION
    tenancy.generate_mapping(regclass, jsonb),
    tenancy.index_body(bigint, text),
    tenancy.merged_body(jsonb, jsonb),
    tenancy.map_column(text, text, text, jsonb),
    tenancy.unmap_column(text, text, text),
    tenancy.index_template(text, text, jsonb)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.generate_mapping(regclass, jsonb) TO tenancy_operator, tenancy_admin;
GRANT EXECUTE ON FUNCTION
    tenancy.map_column(text, text, text, jsonb),
    tenancy.unmap_column(text, text, text),
    tenancy.index_template(text, text, jsonb)
TO tenancy_admin;
