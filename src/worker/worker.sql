-- The launcher looks at this database when the extension's creation has committed.

CREATE FUNCTION tenancy.attach() RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tenancy_attach';
COMMENT ON FUNCTION tenancy.attach() IS 'Makes the launcher look for databases with the extension after this transaction; CREATE EXTENSION calls it';
REVOKE ALL ON FUNCTION tenancy.attach() FROM PUBLIC;

SELECT tenancy.attach();
