/*
 * request.h
 *		What a call of tenancy.verify() and its worker say to each other.
 *
 * The worker gets a VerifyRequest and a queue in a segment of shared memory.  It sends
 * errors and notices as a server sends them to a client, and the messages below.
 */
#ifndef TENANCY_VERIFY_REQUEST_H
#define TENANCY_VERIFY_REQUEST_H

/* Longer than a name can be, so that one that is cut is none. */
#define VERIFY_NAME_MAX 256

#define VERIFY_MAGIC 0x76657266
#define VERIFY_TOC_REQUEST 1
#define VERIFY_TOC_QUEUE 2

#define VERIFY_MESSAGE_ROW 'D' /* tenant, relation, reason ("": none), counts */
#define VERIFY_MESSAGE_END 'C'

typedef struct VerifyRequest
{
	Oid	 dboid;
	bool repair;
	bool has_tenant;
	bool has_relation;
	char tenant[VERIFY_NAME_MAX];
	char relation[VERIFY_NAME_MAX];
} VerifyRequest;

#endif
