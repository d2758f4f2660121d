/*
 * guc.h
 *		All settings; guc.c says what each means.
 */
#ifndef TENANCY_GUC_H
#define TENANCY_GUC_H

#include "utils/guc.h"

#define TENANCY_LANES_MAX 16
#define TENANCY_HOSTS_MAX 16
#define TENANCY_READ_CACHE_TTL_MAX 86400 /* s */

/* How bodies are sent to the search server. */
typedef enum SearchCompression
{
	COMPRESS_OFF,
	COMPRESS_GZIP
} SearchCompression;

/* Where the documents of a tenant and an index type are. */
typedef enum IndexPlacement
{
	PLACEMENT_DEDICATED,
	PLACEMENT_SHARED
} IndexPlacement;

/* Whose statements may touch the tables of tenants that are suspended, read-only or over a quota. */
typedef enum AllowSuspended
{
	ALLOW_NOBODY,
	ALLOW_SUPERUSER,
	ALLOW_ALL
} AllowSuspended;

/* What happens when a session's own search_path names a tenant. */
typedef enum SessionPath
{
	SESSION_PATH_OFF,
	SESSION_PATH_WARN,
	SESSION_PATH_ERROR
} SessionPath;

extern int	 tenancy_allow_suspended; /* AllowSuspended */
extern int	 tenancy_benchmark_min_tenants;
extern bool	 tenancy_benchmarks;
extern int	 tenancy_bulk_actions;
extern int	 tenancy_bulk_bytes;	   /* kB */
extern int	 tenancy_cache_guard_time; /* s */
extern int	 tenancy_cache_wait;	   /* ms */
extern char *tenancy_current_tenant;
extern int	 tenancy_default_placement; /* IndexPlacement */
extern int	 tenancy_dirty_mem;			/* kB */
extern int	 tenancy_document_timeout;	/* ms */
extern bool	 tenancy_extend_plugin_list;
extern bool	 tenancy_failover_slot;
extern int	 tenancy_forbid_session_path; /* SessionPath */
extern int	 tenancy_hot_search_places;
extern int	 tenancy_lifecycle_interval; /* s */
extern int	 tenancy_max_databases;
extern char *tenancy_outer_search_path;
extern char *tenancy_outer_statement_timeout;
extern int	 tenancy_read_cache_ttl; /* s */
extern char *tenancy_redis_auth_file;
extern int	 tenancy_redis_timeout; /* ms */
extern char *tenancy_redis_url;
extern int	 tenancy_reindex_grace; /* s */
extern bool	 tenancy_report_search_path;
extern bool	 tenancy_require_context;
extern int	 tenancy_resync_rate; /* rows per second, 0: no limit */
extern int	 tenancy_retry_max;	  /* ms */
extern int	 tenancy_ring_size;	  /* kB */
extern char *tenancy_search_auth_file;
extern char *tenancy_search_ca_file;
extern char *tenancy_search_cert_file;
extern int	 tenancy_search_compression; /* SearchCompression */
extern char *tenancy_search_index_prefix;
extern char *tenancy_search_key_file;
extern int	 tenancy_search_lanes;
extern int	 tenancy_search_timeout; /* ms */
extern char *tenancy_search_url;
extern int	 tenancy_shared_parts;
extern int	 tenancy_stat_tenants_max;
extern bool	 tenancy_track_tenants;
extern int	 tenancy_verify_interval; /* s */
extern int	 tenancy_verify_sample;	  /* rows */

extern void tenancy_guc_init(void);
extern void tenancy_set_current_tenant(const char *name);
extern void tenancy_set_outer_search_path(const char *path);
extern void tenancy_set_outer_statement_timeout(const char *timeout);

#endif
