/*
 * redis_mark.h
 *		The cache sink's mark in Redis: how new a value must be to be stored at all.
 */
#ifndef TENANCY_REDIS_MARK_H
#define TENANCY_REDIS_MARK_H

/* Called often, outside of transactions, while the server is READY. */
extern void redis_mark_keep(void);
/* The connection is gone. */
extern void redis_mark_lost(void);
/* Why nothing can be stored, if that was not told yet; else NULL. */
extern const char *redis_mark_trouble(void);

#endif
