/*
 * statistics_table.c
 *		Which tables the benchmark statistics are of, and who may ask for them.
 */
#include "postgres.h"

#include "access/attnum.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "common/args.h"
#include "common/errors.h"
#include "common/guc.h"
#include "common/spi.h"
#include "sync/statistics.h"
#include "sync/sync_table.h"

#define COLUMNS 7 /* technologies, industry, company_size, timeline, budget, roi, created */
#define FIRST_NUMBER 3
#define CREATED 6

PG_FUNCTION_INFO_V1(tenant_benchmark_table);
PG_FUNCTION_INFO_V1(tenancy_benchmark_ask);
PG_FUNCTION_INFO_V1(tenancy_benchmark_min_tenants_setting);

/* True if values of the type are numbers that JSON has as such. */
static bool
is_number(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID || type == FLOAT4OID ||
		   type == FLOAT8OID || type == NUMERICOID;
}

/* True if values of the type have a month. */
static bool
has_month(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

/*
 * True if no function of a user runs when a value is written as JSON: casts to json do, of rows and
 * of an array's elements.
 */
static bool
is_plain(Oid type, bool array)
{
	Oid element = get_element_type(type);

	if (OidIsValid(element))
		return array && element < FirstNormalObjectId;
	return !type_is_rowtype(type);
}

/* Why a column does not do, or NULL. */
static char *
column_problem(Oid relid, const char *name, int n)
{
	AttrNumber attribute = get_attnum(relid, name);
	Oid		   type;

	if (attribute <= 0)
		return psprintf("column \"%s\" is not there", name);
	type = getBaseType(get_atttype(relid, attribute));
	if (n < FIRST_NUMBER && !is_plain(type, n == 0))
		return psprintf("column \"%s\" is no text", name);
	if (n >= FIRST_NUMBER && n < CREATED && !is_number(type))
		return psprintf("column \"%s\" is no number", name);
	if (n == CREATED && !has_month(type))
		return psprintf("column \"%s\" is neither a date nor a timestamp", name);
	return NULL;
}

/* Why the target's rows cannot be counted as the blueprint says, or NULL. */
char *
statistics_problem(const SinkTarget *target, MemoryContext context)
{
	const char *problem = NULL;
	ListCell   *cell;

	if (target->nkeys == 0)
		problem = "the table has no primary key";
	foreach (cell, target->columns)
		if (problem == NULL)
			problem = column_problem(target->relid, lfirst(cell), foreach_current_index(cell));
	return problem != NULL ? MemoryContextStrdup(context, problem) : NULL;
}

/* A tenant's table is gone: so is what was counted of it. */
void
statistics_table_gone(int64 tenant_id, const char *table_name)
{
	Oid	  types[2] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(tenant_id), CStringGetTextDatum(table_name)};

	tenancy_spi_exec("SELECT tenancy.benchmark_forget($1, $2)", 2, types, values, NULL);
}

/* Says which table of a blueprint has the projects, and in which columns. */
Datum
tenant_benchmark_table(PG_FUNCTION_ARGS)
{
	Oid		 caller = GetUserId();
	char	*blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	Oid		 types[2 + COLUMNS];
	Datum	 values[2 + COLUMNS];
	char	 nulls[2 + COLUMNS];
	SpiScope scope;

	for (int i = 0; i < 2 + COLUMNS; i++)
	{
		types[i] = TEXTOID;
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	tenancy_spi_begin_as_owner(&scope);
	tenancy_blueprint_require_owner(blueprint, caller);
	tenancy_spi_exec("SELECT tenancy.benchmark_set_table($1, $2, $3, $4, $5, $6, $7, $8, $9)",
					 2 + COLUMNS, types, values, nulls);
	tenancy_spi_end(&scope);
	PG_RETURN_VOID();
}

/* Refuses who may not read the table that the answer is of, all of it. */
static void
require_select(Oid relid, const char *name)
{
	AclResult acl = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, get_relkind_objtype(get_rel_relkind(relid)), name);
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("benchmarks of table \"%s\" are of rows that row security hides", name)));
}

/* The tenant in use, and its benchmark table, InvalidOid: none. */
static int64
tenant_in_use(Oid *relid)
{
	Oid		 types[1] = {TEXTOID};
	Datum	 values[1] = {CStringGetTextDatum(tenancy_current_tenant)};
	int64	 tenant_id;
	SpiScope scope;

	if (tenancy_current_tenant[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_TENANCY_NO_TENANT), errmsg("no tenant is in use"),
						errhint("Call tenant_use() in this transaction first.")));
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT t.id, coalesce(c.oid::bigint, 0) FROM tenancy.tenant t"
					 "  LEFT JOIN tenancy.benchmark_table b USING (blueprint)"
					 "  LEFT JOIN pg_namespace n ON n.nspname = t.schema_name"
					 "  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = b.table_name"
					 " WHERE t.name = $1 AND t.status <> 'dropped'",
					 1, types, values, NULL);
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", tenancy_current_tenant)));
	tenant_id = tenancy_spi_int64(0, 1);
	*relid = (Oid) tenancy_spi_int64(0, 2);
	tenancy_spi_end(&scope);
	return tenant_id;
}

/* An answer about the tenant in use, to somebody who may read its table; NULL: nothing. */
Datum
tenancy_benchmark_ask(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			  relid;
	Oid			  types[3] = {INT8OID, TEXTOID, JSONBOID};
	Datum		  values[3] = {(Datum) 0, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	Datum		  answer;
	bool		  isnull;
	SpiScope	  scope;

	values[0] = Int64GetDatum(tenant_in_use(&relid));
	if (OidIsValid(relid))
		require_select(relid, get_rel_name(relid));
	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_query("SELECT tenancy.benchmark_answer($1, $2, $3)", 3, types, values);
	answer = tenancy_spi_datum(0, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		answer = PointerGetDatum(PG_DETOAST_DATUM_COPY(answer));
		MemoryContextSwitchTo(old);
	}
	tenancy_spi_end(&scope);
	if (isnull)
		PG_RETURN_NULL();
	return answer;
}

/* tenancy.benchmark_min_tenants() */
Datum
tenancy_benchmark_min_tenants_setting(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(tenancy_benchmark_min_tenants);
}
