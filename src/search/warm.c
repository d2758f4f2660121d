/*
 * warm.c
 *		tenancy.cache_warm_tenant(), tenancy.hot_searches(): fills the cache before it is asked.
 *
 * A rule's query runs as the owner of the tenant's schema, so the rule must be of somebody who has
 * that role's privileges anyway.  It only reads.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "cache/cache.h"
#include "cache/hot.h"
#include "common/args.h"
#include "common/array.h"
#include "common/errors.h"
#include "common/spi.h"
#include "common/xid.h"
#include "search/search.h"

#define HOT_MOST 1000

PG_FUNCTION_INFO_V1(tenancy_cache_warm_tenant);
PG_FUNCTION_INFO_V1(tenancy_hot_searches);

/* Row of tenancy.cache_warm_rule. */
typedef struct WarmRule
{
	char *query; /* NULL: the searches that are asked most often */
	int	  top;
	int	  ttl;
	List *tags;	  /* of char * */
	List *tables; /* of char *: what the query reads */
	Oid	  owner;
} WarmRule;

/* A value that a rule's query has made. */
typedef struct WarmValue
{
	char  *key;
	Jsonb *value;
} WarmValue;

/* Reads a tenant's rules. */
static List *
read_rules(const Tenant *tenant)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			  types[1] = {TEXTOID};
	Datum		  values[1] = {CStringGetTextDatum(tenant->blueprint)};
	List		 *rules = NIL;
	SpiScope	  scope;
	bool		  isnull;

	tenancy_spi_begin_as_owner(&scope);
	tenancy_spi_exec("SELECT CASE kind WHEN 'values' THEN query END, top::bigint, ttl::bigint,"
					 "       tags, tables, owner"
					 "  FROM tenancy.cache_warm_rule"
					 " WHERE enabled AND (blueprint IS NULL OR blueprint = $1) ORDER BY name",
					 1, types, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		WarmRule	 *rule = palloc0(sizeof(WarmRule));

		rule->query = tenancy_spi_text((int) i, 1);
		rule->top = (int) tenancy_spi_int64((int) i, 2);
		rule->ttl = (int) tenancy_spi_int64((int) i, 3);
		rule->tags = tenancy_text_list(tenancy_spi_datum((int) i, 4, &isnull));
		rule->tables = tenancy_text_list(tenancy_spi_datum((int) i, 5, &isnull));
		rule->owner = get_role_oid(tenancy_spi_text((int) i, 6), true);
		rules = lappend(rules, rule);
		MemoryContextSwitchTo(old);
	}
	tenancy_spi_end(&scope);
	return rules;
}

/* True if all who read the tenant's cache may read what the rule's query reads. */
static bool
is_for_all(const WarmRule *rule, Oid schema)
{
	ListCell *lc;

	foreach (lc, rule->tables)
	{
		Oid relid = get_relname_relid(lfirst(lc), schema);

		if (!OidIsValid(relid) || !cache_is_for_all(relid, false))
			return false;
	}
	return true;
}

/* Takes the rows of a rule's query. */
static List *
take_values(Portal portal, int most, MemoryContext context)
{
	List *values = NIL;
	bool  isnull[2];

	while (list_length(values) < most && tenancy_spi_next(portal))
	{
		Datum		  key = tenancy_spi_datum(0, 1, &isnull[0]);
		Datum		  value = tenancy_spi_datum(0, 2, &isnull[1]);
		MemoryContext old = MemoryContextSwitchTo(context);
		WarmValue	 *warm = palloc(sizeof(WarmValue));

		CHECK_FOR_INTERRUPTS();
		if (!isnull[0] && !isnull[1])
		{
			warm->key = TextDatumGetCString(key);
			warm->value = DatumGetJsonbPCopy(value);
			values = lappend(values, warm);
		}
		MemoryContextSwitchTo(old);
	}
	return values;
}

/* Opens a rule's query, if it is one that gives keys and values. */
static Portal
open_query(SPIPlanPtr plan, Datum *values)
{
	Portal	  portal;
	TupleDesc desc;

	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("query of a warming rule must be one statement that returns rows")));
	portal = tenancy_spi_open_plan(plan, values, NULL);
	desc = portal->tupDesc;
	if (desc->natts != 2 || TupleDescAttr(desc, 0)->atttypid != TEXTOID ||
		TupleDescAttr(desc, 1)->atttypid != JSONBOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("query of a warming rule must return columns of type text and "
							   "jsonb")));
	return portal;
}

/* Runs a rule's query as the schema's owner, in the active snapshot. */
static List *
run_query(const WarmRule *rule, const Tenant *tenant, Oid owner)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			  types[1] = {INT4OID};
	Datum		  values[1] = {Int32GetDatum(rule->top)};
	SpiScope	  scope;
	SPIPlanPtr	  plan;
	List		 *result;

	tenancy_spi_begin_reading(&scope, owner, NameStr(tenant->schema), "1s");
	plan = tenancy_spi_prepare(rule->query, 1, types);
	result = take_values(open_query(plan, values), rule->top, context);
	tenancy_spi_end(&scope);
	return result;
}

/* Stores what a rule's query gives; returns how many values. */
static int64
warm_values(const WarmRule *rule, const Tenant *tenant, Oid owner)
{
	CacheFill fill = {.tenant = tenant, .cost = -1, .nsets = 1 + list_length(rule->tags)};
	int64	  stored = 0;
	List	 *values;
	ListCell *lc;

	fill.sets = palloc(sizeof(char *) * fill.nsets);
	fill.sets[0] = cache_tag_set(tenant, "");
	foreach (lc, rule->tags)
		fill.sets[1 + foreach_current_index(lc)] = cache_tag_set(tenant, lfirst(lc));
	PushActiveSnapshot(GetTransactionSnapshot());
	fill.snapshot = tenancy_snapshot_text(GetActiveSnapshot(), false);
	values = run_query(rule, tenant, owner);
	PopActiveSnapshot();
	foreach (lc, values)
	{
		WarmValue *warm = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		fill.key = cache_key(tenant, warm->key);
		fill.ttl = rule->ttl;
		stored += cache_store(&fill, warm->value);
	}
	return stored;
}

/* Makes the answers of the searches that are asked most often; returns how many were stored. */
static int64
warm_searches(const WarmRule *rule, const Tenant *tenant, Oid owner)
{
	int64	  stored = 0;
	List	 *searches = hot_top(tenant->id, rule->top);
	ListCell *lc;
	SpiScope  scope;

	tenancy_spi_begin_as_role(&scope, owner,
							  psprintf("%s, pg_temp", quote_identifier(NameStr(tenant->schema))));
	foreach (lc, searches)
	{
		CHECK_FOR_INTERRUPTS();
		stored += search_warm(lfirst(lc), rule->ttl);
	}
	tenancy_spi_end(&scope);
	return stored;
}

/* Owner of a schema. */
static Oid
schema_owner(Oid schema)
{
	HeapTuple tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid		  owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
						errmsg("schema with OID %u does not exist", schema)));
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Fills the cache of a tenant by all of its rules. */
static int64
warm(const Tenant *tenant)
{
	Oid		  schema = get_namespace_oid(NameStr(tenant->schema), false);
	Oid		  owner = schema_owner(schema);
	int64	  stored = 0;
	ListCell *lc;

	foreach (lc, read_rules(tenant))
	{
		WarmRule *rule = lfirst(lc);

		if (rule->query == NULL)
			stored += warm_searches(rule, tenant, owner);
		else if (OidIsValid(rule->owner) && has_privs_of_role(rule->owner, owner) &&
				 is_for_all(rule, schema))
			stored += warm_values(rule, tenant, owner);
	}
	return stored;
}

/* tenancy.cache_warm_tenant(tenant) */
Datum
tenancy_cache_warm_tenant(PG_FUNCTION_ARGS)
{
	Tenant tenant;

	tenancy_tenant_require_usable(tenancy_arg_text(fcinfo, 0, "tenant"), &tenant);
	tenancy_tenant_set_current(tenant.name, NameStr(tenant.schema));
	PG_RETURN_INT64(cache_is_usable(&tenant) ? warm(&tenant) : 0);
}

/* tenancy.hot_searches(tenant) */
Datum
tenancy_hot_searches(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	char		  *name = tenancy_arg_text(fcinfo, 0, "tenant");
	Tenant		   tenant;
	ListCell	  *lc;

	if (!tenancy_tenant_find(name, &tenant))
		ereport(ERROR, (errcode(ERRCODE_TENANCY_UNDEFINED_TENANT),
						errmsg("tenant \"%s\" does not exist", name)));
	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, hot_top(tenant.id, HOT_MOST))
	{
		HotSearch *search = lfirst(lc);
		Datum	   values[7] = {0};
		bool nulls[7] = {search->query == NULL,	  false, search->filters == NULL, false, false,
						 search->options == NULL, false};

		if (search->query != NULL)
			values[0] = CStringGetTextDatum(search->query);
		values[1] = CStringGetTextDatum(search->index_type);
		values[2] = JsonbPGetDatum(search->filters);
		values[3] = Int32GetDatum(search->page);
		values[4] = Int32GetDatum(search->page_size);
		values[5] = JsonbPGetDatum(search->options);
		values[6] = Int64GetDatum((int64) rint(search->count));
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	return (Datum) 0;
}
