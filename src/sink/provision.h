/*
 * provision.h
 *		Makes and removes the indices that tenancy.search_index lists.
 */
#ifndef TENANCY_PROVISION_H
#define TENANCY_PROVISION_H

/*
 * Notes that indices are gone; with a condition on tenancy.search_index i.  One that has been replaced
 * is not made again.
 */
#define SEARCH_MAKE_MISSING                                                  \
	"UPDATE tenancy.search_index i SET"                                      \
	"  state = CASE WHEN role = 'retired' OR EXISTS"                         \
	"    (SELECT FROM tenancy.search_index w"                                \
	"      WHERE w.index_name = i.month_of AND w.role = 'retired')"          \
	"   THEN 'dropping' ELSE 'missing' END,"                                 \
	"  attempts = 0, updated_at = now(), filled = false, replaces = NULL,"   \
	"  to_put = CASE WHEN shared IS NULL THEN to_put"                        \
	"   ELSE fields || coalesce(body #> '{mappings,properties}', '{}') END," \
	"  body = CASE WHEN monthly THEN body" /* its months keep theirs */      \
	"   ELSE coalesce(tenancy.index_body(tenant_id, index_type), body) END"

/* Alias that an index has besides the public one. */
extern char *search_own_alias(MemoryContext context, const char *index_name);

/* Part of a shared index that the registry has under a name. */
extern char *search_part(MemoryContext context, const char *index_name);

/* The table may have changed: look at it with the next housekeep. */
extern void search_provision_wake(void);
/* An index waits for a change of its own: its documents wait too. Inside a transaction. */
extern void search_provision_altered(const char *index_name);
/* An item said SINK_NO_INDEX: the index is made again. Opens a transaction. */
extern void search_provision_missing(const char *index_name);
/* True if the index is known to be there, for that alias: else its keys wait. */
extern bool search_provision_ready(const char *index_name, const char *alias);

/* For elasticsearch.c: */
extern bool		   search_provision_housekeep(void);
extern long		   search_provision_timeout(void);
extern const char *search_provision_trouble(void);
/* Forgets what is under way; the table still has it. */
extern void search_provision_reset(void);

#endif
