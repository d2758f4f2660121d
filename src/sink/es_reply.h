/*
 * es_reply.h
 *		What the search server's answers mean.
 */
#ifndef TENANCY_ES_REPLY_H
#define TENANCY_ES_REPLY_H

#include "sink/http.h"
#include "sink/sink.h"

/* Gives every item without an outcome one. */
extern void es_reply_apply(SinkBatch *batch, const HttpReply *reply);
/* True if it may be the body's encoding that the server does not take. */
extern bool es_reply_refuses_gzip(const HttpReply *reply);
/* Error of any reply as one line. */
extern void es_reply_error(const HttpReply *reply, char *buffer, size_t size);

#endif
