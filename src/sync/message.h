/*
 * message.h
 *		Logical messages: how SQL tells the sync workers something, in commit order.
 */
#ifndef TENANCY_MESSAGE_H
#define TENANCY_MESSAGE_H

#define TENANCY_MESSAGE_PREFIX "pg_tenancy"

#define TENANCY_MESSAGE_DIRTY 'K'  /* relation OID, key */
#define TENANCY_MESSAGE_FORGET 'T' /* name of a tenant */

extern void tenancy_message_mark_dirty(Oid relid, const char *key, int key_length);
extern void tenancy_message_forget_tenant(const char *tenant);

#endif
