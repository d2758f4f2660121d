/*
 * lifecycle_attach.c
 *		Which lifecycle policy the indices of a type follow.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "common/args.h"
#include "common/spi.h"
#include "sync/sync_table.h"

PG_FUNCTION_INFO_V1(tenancy_lifecycle_attach);
PG_FUNCTION_INFO_V1(tenancy_lifecycle_detach);

/* tenancy.lifecycle_attach(blueprint, index_type, policy, append_only) */
Datum
tenancy_lifecycle_attach(PG_FUNCTION_ARGS)
{
	Oid		 caller = GetUserId();
	char	*blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	Oid		 types[4] = {TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	Datum	 values[4];
	SpiScope scope;

	values[0] = CStringGetTextDatum(blueprint);
	values[1] = CStringGetTextDatum(tenancy_arg_text(fcinfo, 1, "index_type"));
	values[2] = CStringGetTextDatum(tenancy_arg_text(fcinfo, 2, "policy"));
	values[3] = BoolGetDatum(tenancy_arg_bool(fcinfo, 3, "append_only"));
	tenancy_spi_begin_as_owner(&scope);
	tenancy_blueprint_require_owner(blueprint, caller);
	tenancy_spi_exec("SELECT tenancy.lifecycle_set($1, $2, $3, $4)", 4, types, values, NULL);
	tenancy_spi_end(&scope);
	PG_RETURN_VOID();
}

/* tenancy.lifecycle_detach(blueprint, index_type) */
Datum
tenancy_lifecycle_detach(PG_FUNCTION_ARGS)
{
	Oid		 caller = GetUserId();
	char	*blueprint = tenancy_arg_text(fcinfo, 0, "blueprint");
	Oid		 types[2] = {TEXTOID, TEXTOID};
	Datum	 values[2];
	SpiScope scope;
	bool	 found;

	values[0] = CStringGetTextDatum(blueprint);
	values[1] = CStringGetTextDatum(tenancy_arg_text(fcinfo, 1, "index_type"));
	tenancy_spi_begin_as_owner(&scope);
	tenancy_blueprint_require_owner(blueprint, caller);
	tenancy_spi_exec("DELETE FROM tenancy.lifecycle_attachment"
					 " WHERE blueprint = $1 AND index_type = $2",
					 2, types, values, NULL);
	found = SPI_processed > 0;
	tenancy_spi_end(&scope);
	PG_RETURN_BOOL(found);
}
