/*
 * doc_time.h
 *		Bounds the time that a document may take.
 */
#ifndef TENANCY_DOC_TIME_H
#define TENANCY_DOC_TIME_H

/* Called by a worker, before anything else. */
extern void doc_time_init(void);

/*
 * The next row of the relation's documents may take tenancy.document_timeout: it is cancelled
 * then.  A worker whose cancellation is caught time and again ends, and so does not come to
 * these documents again: doc_time_require_end() refuses them.
 */
extern void doc_time_begin(Oid relid);
extern void doc_time_end(void);

/* Was a row cancelled since doc_time_reset? */
extern bool doc_time_is_up(void);
extern void doc_time_reset(void);

/* Throws for a relation whose documents a worker could not be kept from making but by its end. */
extern void doc_time_require_end(Oid relid);

/* After a while they are tried again: true if that has come for one. */
extern bool doc_time_expire(void);

#endif
