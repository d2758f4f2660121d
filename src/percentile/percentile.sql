-- Exact percentiles. Plain aggregates, not ordered-set ones: those cannot be parallel, and keep the whole query from it.
-- Which function belongs to which type is said in the tables at the end.

-- A row: value and fraction (any of float8 and float8[]), or the value alone for the median.
CREATE FUNCTION tenancy.percentile_add_float8(internal, float8, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_float8';
CREATE FUNCTION tenancy.percentile_add_float8(internal, float8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_float8';
CREATE FUNCTION tenancy.percentile_enter_float8(internal, float8, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_float8';
CREATE FUNCTION tenancy.percentile_enter_float8(internal, float8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_float8';
CREATE FUNCTION tenancy.percentile_leave_float8(internal, float8, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_float8';
CREATE FUNCTION tenancy.percentile_leave_float8(internal, float8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_float8';
CREATE FUNCTION tenancy.percentile_add_float4(internal, float4, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_float4';
CREATE FUNCTION tenancy.percentile_add_float4(internal, float4) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_float4';
CREATE FUNCTION tenancy.percentile_enter_float4(internal, float4, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_float4';
CREATE FUNCTION tenancy.percentile_enter_float4(internal, float4) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_float4';
CREATE FUNCTION tenancy.percentile_leave_float4(internal, float4, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_float4';
CREATE FUNCTION tenancy.percentile_leave_float4(internal, float4) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_float4';
CREATE FUNCTION tenancy.percentile_add_numeric(internal, numeric, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_numeric';
CREATE FUNCTION tenancy.percentile_add_numeric(internal, numeric) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_numeric';
CREATE FUNCTION tenancy.percentile_enter_numeric(internal, numeric, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_numeric';
CREATE FUNCTION tenancy.percentile_enter_numeric(internal, numeric) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_numeric';
CREATE FUNCTION tenancy.percentile_leave_numeric(internal, numeric, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_numeric';
CREATE FUNCTION tenancy.percentile_leave_numeric(internal, numeric) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_numeric';
CREATE FUNCTION tenancy.percentile_add_int2(internal, int2, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_int2';
CREATE FUNCTION tenancy.percentile_add_int2(internal, int2) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_int2';
CREATE FUNCTION tenancy.percentile_enter_int2(internal, int2, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_int2';
CREATE FUNCTION tenancy.percentile_enter_int2(internal, int2) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_int2';
CREATE FUNCTION tenancy.percentile_leave_int2(internal, int2, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_int2';
CREATE FUNCTION tenancy.percentile_leave_int2(internal, int2) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_int2';
CREATE FUNCTION tenancy.percentile_add_int4(internal, int4, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_int4';
CREATE FUNCTION tenancy.percentile_add_int4(internal, int4) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_int4';
CREATE FUNCTION tenancy.percentile_enter_int4(internal, int4, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_int4';
CREATE FUNCTION tenancy.percentile_enter_int4(internal, int4) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_int4';
CREATE FUNCTION tenancy.percentile_leave_int4(internal, int4, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_int4';
CREATE FUNCTION tenancy.percentile_leave_int4(internal, int4) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_int4';
CREATE FUNCTION tenancy.percentile_add_int8(internal, int8, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_int8';
CREATE FUNCTION tenancy.percentile_add_int8(internal, int8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_int8';
CREATE FUNCTION tenancy.percentile_enter_int8(internal, int8, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_int8';
CREATE FUNCTION tenancy.percentile_enter_int8(internal, int8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_int8';
CREATE FUNCTION tenancy.percentile_leave_int8(internal, int8, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_int8';
CREATE FUNCTION tenancy.percentile_leave_int8(internal, int8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_int8';
CREATE FUNCTION tenancy.percentile_add_date(internal, date, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_date';
CREATE FUNCTION tenancy.percentile_add_date(internal, date) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_date';
CREATE FUNCTION tenancy.percentile_enter_date(internal, date, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_date';
CREATE FUNCTION tenancy.percentile_enter_date(internal, date) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_date';
CREATE FUNCTION tenancy.percentile_leave_date(internal, date, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_date';
CREATE FUNCTION tenancy.percentile_leave_date(internal, date) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_date';
CREATE FUNCTION tenancy.percentile_add_timestamp(internal, timestamp, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_timestamp';
CREATE FUNCTION tenancy.percentile_add_timestamp(internal, timestamp) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_timestamp';
CREATE FUNCTION tenancy.percentile_enter_timestamp(internal, timestamp, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_timestamp';
CREATE FUNCTION tenancy.percentile_enter_timestamp(internal, timestamp) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_timestamp';
CREATE FUNCTION tenancy.percentile_leave_timestamp(internal, timestamp, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_timestamp';
CREATE FUNCTION tenancy.percentile_leave_timestamp(internal, timestamp) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_timestamp';
CREATE FUNCTION tenancy.percentile_add_timestamptz(internal, timestamptz, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_timestamp';
CREATE FUNCTION tenancy.percentile_add_timestamptz(internal, timestamptz) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_timestamp';
CREATE FUNCTION tenancy.percentile_enter_timestamptz(internal, timestamptz, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_timestamp';
CREATE FUNCTION tenancy.percentile_enter_timestamptz(internal, timestamptz) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_enter_timestamp';
CREATE FUNCTION tenancy.percentile_leave_timestamptz(internal, timestamptz, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_timestamp';
CREATE FUNCTION tenancy.percentile_leave_timestamptz(internal, timestamptz) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_leave_timestamp';
CREATE FUNCTION tenancy.percentile_add_interval(internal, interval, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_interval';
CREATE FUNCTION tenancy.percentile_add_interval(internal, interval) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_interval';
CREATE FUNCTION tenancy.percentile_add_numeric_value(internal, numeric, "any") RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_add_numeric_value';

-- States of parallel workers.
CREATE FUNCTION tenancy.percentile_keys_combine(internal, internal) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_keys_combine';
CREATE FUNCTION tenancy.percentile_keys_serialize(internal) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_keys_serialize';
CREATE FUNCTION tenancy.percentile_keys_deserialize(bytea, internal) RETURNS internal LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_keys_deserialize';
CREATE FUNCTION tenancy.percentile_wide_combine(internal, internal) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_wide_combine';
CREATE FUNCTION tenancy.percentile_wide_serialize(internal) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_wide_serialize';
CREATE FUNCTION tenancy.percentile_interval_deserialize(bytea, internal) RETURNS internal LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_interval_deserialize';
CREATE FUNCTION tenancy.percentile_numeric_deserialize(bytea, internal) RETURNS internal LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_numeric_deserialize';

-- Answers: of one fraction, and of an array of them.
CREATE FUNCTION tenancy.percentile_float8(internal) RETURNS float8 LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_float8';
CREATE FUNCTION tenancy.percentile_float8_array(internal) RETURNS float8[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_float8';
CREATE FUNCTION tenancy.percentile_integer(internal) RETURNS float8 LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_integer';
CREATE FUNCTION tenancy.percentile_integer_array(internal) RETURNS float8[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_integer';
CREATE FUNCTION tenancy.percentile_interval(internal) RETURNS interval LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_interval';
CREATE FUNCTION tenancy.percentile_interval_array(internal) RETURNS interval[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_interval';
CREATE FUNCTION tenancy.percentile_date(internal) RETURNS timestamp LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_date';
CREATE FUNCTION tenancy.percentile_date_array(internal) RETURNS timestamp[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_date';
CREATE FUNCTION tenancy.percentile_timestamp(internal) RETURNS timestamp LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_timestamp';
CREATE FUNCTION tenancy.percentile_timestamp_array(internal) RETURNS timestamp[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_timestamp';
CREATE FUNCTION tenancy.percentile_timestamptz(internal) RETURNS timestamptz LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_timestamptz';
CREATE FUNCTION tenancy.percentile_timestamptz_array(internal) RETURNS timestamptz[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_timestamptz';
CREATE FUNCTION tenancy.percentile_discrete_float8(internal) RETURNS float8 LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_float8';
CREATE FUNCTION tenancy.percentile_discrete_float8_array(internal) RETURNS float8[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_float8';
CREATE FUNCTION tenancy.percentile_discrete_float4(internal) RETURNS float4 LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_float4';
CREATE FUNCTION tenancy.percentile_discrete_float4_array(internal) RETURNS float4[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_float4';
CREATE FUNCTION tenancy.percentile_discrete_int2(internal) RETURNS int2 LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_int2';
CREATE FUNCTION tenancy.percentile_discrete_int2_array(internal) RETURNS int2[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_int2';
CREATE FUNCTION tenancy.percentile_discrete_int4(internal) RETURNS int4 LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_int4';
CREATE FUNCTION tenancy.percentile_discrete_int4_array(internal) RETURNS int4[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_int4';
CREATE FUNCTION tenancy.percentile_discrete_int8(internal) RETURNS int8 LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_int8';
CREATE FUNCTION tenancy.percentile_discrete_int8_array(internal) RETURNS int8[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_int8';
CREATE FUNCTION tenancy.percentile_discrete_numeric(internal) RETURNS numeric LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_numeric';
CREATE FUNCTION tenancy.percentile_discrete_numeric_array(internal) RETURNS numeric[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_numeric';
CREATE FUNCTION tenancy.percentile_discrete_interval(internal) RETURNS interval LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_interval';
CREATE FUNCTION tenancy.percentile_discrete_interval_array(internal) RETURNS interval[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_interval';
CREATE FUNCTION tenancy.percentile_discrete_date(internal) RETURNS date LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_date';
CREATE FUNCTION tenancy.percentile_discrete_date_array(internal) RETURNS date[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_date';
CREATE FUNCTION tenancy.percentile_discrete_timestamp(internal) RETURNS timestamp LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_timestamp';
CREATE FUNCTION tenancy.percentile_discrete_timestamp_array(internal) RETURNS timestamp[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_timestamp';
CREATE FUNCTION tenancy.percentile_discrete_timestamptz(internal) RETURNS timestamptz LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_timestamptz';
CREATE FUNCTION tenancy.percentile_discrete_timestamptz_array(internal) RETURNS timestamptz[] LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_discrete_timestamptz';

DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = 'tenancy'::regnamespace AND p.proname ~ '^percentile_' LOOP
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', f.name, 'Part of the aggregates percentile, percentile_discrete and median');
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
    END LOOP;
END
$do$;

-- The aggregates: percentile and percentile_discrete of one fraction and of an array of them, and median. row_ names
-- the functions of a row, answer_ the final function; keys: states of 64-bit keys, that also move with a window's frame.
DO $do$
DECLARE
    a record;
    f record;
    options text;
BEGIN
    FOR a IN SELECT * FROM (VALUES
        ('percentile', 'float8', 'float8', 'float8', true),
        ('percentile', 'float4', 'float4', 'float8', true),
        ('percentile', 'int2', 'int2', 'integer', true),
        ('percentile', 'int4', 'int4', 'integer', true),
        ('percentile', 'int8', 'int8', 'integer', true),
        ('percentile', 'numeric', 'numeric', 'float8', true),
        ('percentile', 'interval', 'interval', 'interval', false),
        ('percentile', 'date', 'date', 'date', true),
        ('percentile', 'timestamp', 'timestamp', 'timestamp', true),
        ('percentile', 'timestamptz', 'timestamptz', 'timestamptz', true),
        ('percentile_discrete', 'float8', 'float8', 'discrete_float8', true),
        ('percentile_discrete', 'float4', 'float4', 'discrete_float4', true),
        ('percentile_discrete', 'int2', 'int2', 'discrete_int2', true),
        ('percentile_discrete', 'int4', 'int4', 'discrete_int4', true),
        ('percentile_discrete', 'int8', 'int8', 'discrete_int8', true),
        ('percentile_discrete', 'numeric', 'numeric_value', 'discrete_numeric', false),
        ('percentile_discrete', 'interval', 'interval', 'discrete_interval', false),
        ('percentile_discrete', 'date', 'date', 'discrete_date', true),
        ('percentile_discrete', 'timestamp', 'timestamp', 'discrete_timestamp', true),
        ('percentile_discrete', 'timestamptz', 'timestamptz', 'discrete_timestamptz', true)
    ) t (name, type, row_, answer_, keys) LOOP
        options := format('SFUNC = tenancy.percentile_add_%s, STYPE = internal, SSPACE = 512, PARALLEL = SAFE', a.row_);
        IF a.keys THEN
            options := options || format(', COMBINEFUNC = tenancy.percentile_keys_combine, SERIALFUNC = tenancy.percentile_keys_serialize, DESERIALFUNC = tenancy.percentile_keys_deserialize, MSFUNC = tenancy.percentile_enter_%1$s, MINVFUNC = tenancy.percentile_leave_%1$s, MSTYPE = internal', a.row_);
        ELSE
            options := options || format(', COMBINEFUNC = tenancy.percentile_wide_combine, SERIALFUNC = tenancy.percentile_wide_serialize, DESERIALFUNC = tenancy.percentile_%s_deserialize', a.type);
        END IF;
        FOR f IN SELECT * FROM (VALUES
            (a.name, ', fraction float8', '', CASE a.name WHEN 'percentile' THEN
                'Exactly what percentile_cont(fraction) gives, but a plain aggregate: parallel, hashable, and with OVER. A date gives a timestamp, times are rounded to microseconds. Nulls are skipped, NaN is above everything; null without a value. Takes 8 bytes of memory a value (of an interval: the value), beyond work_mem times hash_mem_multiplier a temporary file. Errors: 22003 fraction not within 0 and 1, 22023 another fraction within a group, 54000 too much memory for an interval or a window'
                ELSE 'Exactly what percentile_disc(fraction) gives: the first value such that at least that fraction of all values is not above it. A plain aggregate: parallel, hashable, and with OVER. Errors as of percentile' END),
            (a.name, ', fractions float8[]', '_array', CASE a.name WHEN 'percentile' THEN
                'percentile of several fractions from one state and one selection, as an array of the shape of fractions; null for a null fraction'
                ELSE 'percentile_discrete of several fractions from one state, as an array of the shape of fractions; null for a null fraction' END),
            ('median', '', '', 'percentile(value, 0.5): the middle value, or halfway between the middle two; null without a value')
        ) t (name, argument, suffix, comment) WHERE t.name = a.name OR a.name = 'percentile' LOOP
            EXECUTE format('CREATE AGGREGATE @extschema@.%I(value %s%s) (%s, FINALFUNC = tenancy.percentile_%s%s%s)',
                f.name, a.type, f.argument, options, a.answer_, f.suffix,
                CASE WHEN a.keys THEN format(', MFINALFUNC = tenancy.percentile_%s%s', a.answer_, f.suffix) END);
            EXECUTE format('COMMENT ON AGGREGATE @extschema@.%I(value %s%s) IS %L', f.name, a.type, f.argument, f.comment);
            EXECUTE format('REVOKE ALL ON FUNCTION @extschema@.%I(%s%s) FROM PUBLIC', f.name, a.type, substr(f.argument, 1, 2) || split_part(ltrim(f.argument, ', '), ' ', 2));
            EXECUTE format('GRANT EXECUTE ON FUNCTION @extschema@.%I(%s%s) TO tenancy_app, tenancy_operator, tenancy_admin', f.name, a.type, substr(f.argument, 1, 2) || split_part(ltrim(f.argument, ', '), ' ', 2));
        END LOOP;
    END LOOP;
END
$do$;
