/*
 * message.h
 *		Logical messages: how SQL tells the sync workers something, in commit order.
 */
#ifndef TENANCY_MESSAGE_H
#define TENANCY_MESSAGE_H

#define TENANCY_MESSAGE_PREFIX "pg_tenancy"

/* Most bytes of a message: anybody can write one, and a key that long is hardly ever in an index. */
#define TENANCY_MESSAGE_MAX 8192

#define TENANCY_MESSAGE_DIRTY 'K'  /* relation OID, key */
#define TENANCY_MESSAGE_FORGET 'T' /* name of a tenant */

extern void tenancy_message_mark_dirty(Oid relid, const char *key, int key_length);
extern void tenancy_message_forget_tenant(const char *tenant);

#endif
