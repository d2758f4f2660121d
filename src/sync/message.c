/*
 * message.c
 *		Logical messages: how SQL tells the sync workers something, in commit order.
 *
 * A message is part of the transaction's WAL, so it needs no table, survives a
 * crash, and vanishes with a rollback.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "common/compat.h"
#include "sync/forgetting.h"
#include "sync/message.h"

/* Writes one transactional message of a kind byte and a body. */
static void
emit(char kind, const void *body, int length, const void *tail, int tail_length)
{
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfoChar(&message, kind);
	appendBinaryStringInfo(&message, body, length);
	if (tail_length > 0)
		appendBinaryStringInfo(&message, tail, tail_length);
	(void) compat_log_message(TENANCY_MESSAGE_PREFIX, message.data, message.len, true);
	pfree(message.data);
}

/* Marks one row dirty for every sink of its table when this transaction commits. */
void
tenancy_message_mark_dirty(Oid relid, const char *key, int key_length)
{
	emit(TENANCY_MESSAGE_DIRTY, &relid, sizeof(relid), key, key_length);
}

/* Makes the cache sink drop every key of a tenant when this transaction commits. */
void
tenancy_message_forget_tenant(const char *tenant)
{
	forgetting_note(tenant);
	emit(TENANCY_MESSAGE_FORGET, tenant, strlen(tenant) + 1, NULL, 0);
}
