-- Sketches of values: percentiles that can be stored, merged and subtracted.

CREATE TYPE @extschema@.percentile_sketch;
CREATE FUNCTION tenancy.percentile_sketch_in(cstring) RETURNS @extschema@.percentile_sketch LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_in';
CREATE FUNCTION tenancy.percentile_sketch_out(@extschema@.percentile_sketch) RETURNS cstring LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_out';
CREATE FUNCTION tenancy.percentile_sketch_recv(internal) RETURNS @extschema@.percentile_sketch LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_recv';
CREATE FUNCTION tenancy.percentile_sketch_send(@extschema@.percentile_sketch) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_send';
CREATE TYPE @extschema@.percentile_sketch (
    INPUT = tenancy.percentile_sketch_in, OUTPUT = tenancy.percentile_sketch_out,
    RECEIVE = tenancy.percentile_sketch_recv, SEND = tenancy.percentile_sketch_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended, ALIGNMENT = int4
);
COMMENT ON TYPE @extschema@.percentile_sketch IS 'Many values in at most a few kB: all of them while they take no more than 2,400 bytes, then how many are in each of at most 2,048 buckets (more if finer than 0.542 %, or where even a factor of two a bucket is not enough), within the relative error asked for; values below 1e-321 may be off by more. Equal values and accuracy give equal bytes, in whatever order they were added or merged, on every platform. Text form: \x and hexadecimal digits';

-- A row: a value, a weight, an accuracy.
CREATE FUNCTION tenancy.percentile_sketch_add(internal, float8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_float8';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, float8, float8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_float8_accuracy';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, float8, int4) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_float8_int4';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, float8, int8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_float8_int8';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, float8, int8, float8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_float8_int8_accuracy';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, numeric) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_numeric';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, numeric, float8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_numeric_accuracy';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, numeric, int4) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_numeric_int4';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, numeric, int8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_numeric_int8';
CREATE FUNCTION tenancy.percentile_sketch_add(internal, numeric, int8, float8) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_add_numeric_int8_accuracy';
CREATE FUNCTION tenancy.percentile_sketch_merge_add(internal, @extschema@.percentile_sketch) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_merge_add';
CREATE FUNCTION tenancy.percentile_sketch_combine(internal, internal) RETURNS internal LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_combine';
CREATE FUNCTION tenancy.percentile_sketch_serialize(internal) RETURNS bytea LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_serialize';
CREATE FUNCTION tenancy.percentile_sketch_deserialize(bytea, internal) RETURNS internal LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_deserialize';
CREATE FUNCTION tenancy.percentile_sketch_final(internal) RETURNS @extschema@.percentile_sketch LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'percentile_sketch_final';

DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = 'tenancy'::regnamespace AND p.proname ~ '^percentile_sketch_' LOOP
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', f.name, 'Part of the type percentile_sketch and its aggregates');
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
    END LOOP;
    FOR f IN SELECT * FROM (VALUES ('value float8', 'float8'), ('value float8, accuracy float8', 'float8, float8'),
        ('value float8, weight int4', 'float8, int4'), ('value float8, weight int8', 'float8, int8'),
        ('value float8, weight int8, accuracy float8', 'float8, int8, float8'),
        ('value numeric', 'numeric'), ('value numeric, accuracy float8', 'numeric, float8'),
        ('value numeric, weight int4', 'numeric, int4'), ('value numeric, weight int8', 'numeric, int8'),
        ('value numeric, weight int8, accuracy float8', 'numeric, int8, float8')) t (arguments, types) LOOP
        EXECUTE format('CREATE AGGREGATE @extschema@.percentile_sketch(%s) (SFUNC = tenancy.percentile_sketch_add, STYPE = internal, SSPACE = 1024, FINALFUNC = tenancy.percentile_sketch_final, COMBINEFUNC = tenancy.percentile_sketch_combine, SERIALFUNC = tenancy.percentile_sketch_serialize, DESERIALFUNC = tenancy.percentile_sketch_deserialize, PARALLEL = SAFE)', f.arguments);
        EXECUTE format('COMMENT ON AGGREGATE @extschema@.percentile_sketch(%s) IS %L', f.arguments, 'A sketch of the values. weight: how often a value counts; rows of weight 0 or null, and null values, do not. accuracy: relative error of an answer at most (default 0.01), from 0.0014 to 0.3; of several in a group the coarsest. Null without a value. Errors: 22003 accuracy out of range or more than 2^61 values, 22023 negative weight, 22004 accuracy is null');
        EXECUTE format('REVOKE ALL ON FUNCTION @extschema@.percentile_sketch(%s) FROM PUBLIC', f.types);
        EXECUTE format('GRANT EXECUTE ON FUNCTION @extschema@.percentile_sketch(%s) TO tenancy_app, tenancy_operator, tenancy_admin', f.types);
    END LOOP;
END
$do$;

CREATE AGGREGATE @extschema@.percentile_sketch_merge(sketch @extschema@.percentile_sketch) (
    SFUNC = tenancy.percentile_sketch_merge_add, STYPE = internal, SSPACE = 1024, FINALFUNC = tenancy.percentile_sketch_final,
    COMBINEFUNC = tenancy.percentile_sketch_combine, SERIALFUNC = tenancy.percentile_sketch_serialize,
    DESERIALFUNC = tenancy.percentile_sketch_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE @extschema@.percentile_sketch_merge(@extschema@.percentile_sketch) IS 'The sketch of all values of the sketches: the same bytes as if it had been made of the values, in any order, if none was subtracted; of the coarsest accuracy. Null without a sketch';

CREATE FUNCTION @extschema@.sketch_percentile(sketch @extschema@.percentile_sketch, fraction float8) RETURNS float8 LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_percentile';
COMMENT ON FUNCTION @extschema@.sketch_percentile(@extschema@.percentile_sketch, float8) IS 'What percentile_cont(fraction) of the values gives: exactly while sketch_accuracy is 0, else within that relative error (of the two values that it is between, if one is below and one above 0). NaN is above everything. Null for an empty sketch. Error 22003: fraction not within 0 and 1';
CREATE FUNCTION @extschema@.sketch_percentile(sketch @extschema@.percentile_sketch, fractions float8[]) RETURNS float8[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_percentile_array';
COMMENT ON FUNCTION @extschema@.sketch_percentile(@extschema@.percentile_sketch, float8[]) IS 'sketch_percentile of several fractions, as an array of the shape of fractions; null for a null fraction';
CREATE FUNCTION @extschema@.sketch_percentile_rank(sketch @extschema@.percentile_sketch, value float8) RETURNS float8 LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_percentile_rank';
COMMENT ON FUNCTION @extschema@.sketch_percentile_rank(@extschema@.percentile_sketch, float8) IS 'Share of the values that are not above the value, from 0 to 1: what cume_dist() gives, exactly while sketch_accuracy is 0. Null for an empty sketch';
CREATE FUNCTION @extschema@.sketch_count(sketch @extschema@.percentile_sketch) RETURNS bigint LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_count';
COMMENT ON FUNCTION @extschema@.sketch_count(@extschema@.percentile_sketch) IS 'How many values there are, by weight';
CREATE FUNCTION @extschema@.sketch_min(sketch @extschema@.percentile_sketch) RETURNS float8 LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_min';
COMMENT ON FUNCTION @extschema@.sketch_min(@extschema@.percentile_sketch) IS 'The lowest value; once there were buckets to subtract from, no more than that and within twice the accuracy. Null for an empty sketch';
CREATE FUNCTION @extschema@.sketch_max(sketch @extschema@.percentile_sketch) RETURNS float8 LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_max';
COMMENT ON FUNCTION @extschema@.sketch_max(@extschema@.percentile_sketch) IS 'The highest value, NaN being above all; once there were buckets to subtract from, no less than that and within twice the accuracy. Null for an empty sketch';
CREATE FUNCTION @extschema@.sketch_sum(sketch @extschema@.percentile_sketch) RETURNS float8 LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_sum';
COMMENT ON FUNCTION @extschema@.sketch_sum(@extschema@.percentile_sketch) IS 'Sum of the values, exact but for one rounding, whatever the accuracy. Null for an empty sketch';
CREATE FUNCTION @extschema@.sketch_avg(sketch @extschema@.percentile_sketch) RETURNS float8 LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_avg';
COMMENT ON FUNCTION @extschema@.sketch_avg(@extschema@.percentile_sketch) IS 'sketch_sum divided by sketch_count. Null for an empty sketch';
CREATE FUNCTION @extschema@.sketch_trimmed_avg(sketch @extschema@.percentile_sketch, low float8, high float8) RETURNS float8 LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_trimmed_avg';
COMMENT ON FUNCTION @extschema@.sketch_trimmed_avg(@extschema@.percentile_sketch, float8, float8) IS 'Average of the values between two fractions of them in their order, values at the edges counting in part, in double precision; the value between fractions that are too near to have any between them. Null for an empty sketch. Errors: 22003 a fraction not within 0 and 1, 22023 low is not below high';
CREATE FUNCTION @extschema@.sketch_accuracy(sketch @extschema@.percentile_sketch) RETURNS float8 LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_accuracy';
COMMENT ON FUNCTION @extschema@.sketch_accuracy(@extschema@.percentile_sketch) IS 'Relative error that answers may have: 0 while all values are kept, then what was asked for; more only if the values need more buckets than there may be';
CREATE FUNCTION @extschema@.sketch_subtract(sketch @extschema@.percentile_sketch, less @extschema@.percentile_sketch) RETURNS @extschema@.percentile_sketch LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sketch_subtract';
COMMENT ON FUNCTION @extschema@.sketch_subtract(@extschema@.percentile_sketch, @extschema@.percentile_sketch) IS 'The sketch without the values of another one, which all have to be in it; of buckets it is known only whether they have as many values. Buckets stay buckets, however few values are left. Error 22023: it has not all of them';
CREATE FUNCTION @extschema@.sketch_histogram(sketch @extschema@.percentile_sketch, parts int DEFAULT 10,
    OUT part int, OUT low float8, OUT high float8, OUT count bigint, OUT share float8) RETURNS SETOF record LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'sketch_histogram';
COMMENT ON FUNCTION @extschema@.sketch_histogram(@extschema@.percentile_sketch, int) IS 'How many values are in each of equal parts of the range from the lowest to the highest finite value; high belongs to the next part, in the last one to it. Counts are exact while sketch_accuracy is 0. One part if all are the same, no row if there is none. Error 22023: not within 1 and 10000 parts';

DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = '@extschema@'::regnamespace AND p.proname ~ '^(sketch_|percentile_sketch_merge$)'
          AND '@extschema@.percentile_sketch'::regtype = p.proargtypes[0] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO tenancy_app, tenancy_operator, tenancy_admin', f.name);
    END LOOP;
END
$do$;
