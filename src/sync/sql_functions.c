/*
 * sql_functions.c
 *		Marking rows dirty by hand.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"

#include "sync/key.h"
#include "sync/message.h"

PG_FUNCTION_INFO_V1(tenancy_mark_dirty);

/* tenancy.mark_dirty(relation, key) */
Datum
tenancy_mark_dirty(PG_FUNCTION_ARGS)
{
	ArrayType	  *array = PG_GETARG_ARRAYTYPE_P(1);
	int			   n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	StringInfoData key;

	if (n < 1 || n > INDEX_MAX_KEYS || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a key must have 1 to %d parts, none of them null", INDEX_MAX_KEYS)));
	initStringInfo(&key);
	key_from_array(&key, array);
	if (1 + sizeof(Oid) + key.len > TENANCY_MESSAGE_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the key has %d bytes, more than %d", key.len,
							   TENANCY_MESSAGE_MAX - 1 - (int) sizeof(Oid)),
						errhint("Use tenancy.resync() for the whole table.")));
	tenancy_message_mark_dirty(PG_GETARG_OID(0), key.data, key.len);
	PG_RETURN_VOID();
}
