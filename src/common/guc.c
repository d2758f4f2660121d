/*
 * guc.c
 *		Definition of every setting, in alphabetical order.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"

#include "common/guc.h"

int	  tenancy_allow_suspended = ALLOW_SUPERUSER;
int	  tenancy_benchmark_min_tenants = 5;
bool  tenancy_benchmarks = false;
int	  tenancy_bulk_actions = 2000;
int	  tenancy_bulk_bytes = 5120;
int	  tenancy_cache_guard_time = 300;
int	  tenancy_cache_wait = 100;
char *tenancy_current_tenant = NULL;
int	  tenancy_default_placement = PLACEMENT_DEDICATED;
int	  tenancy_dirty_mem = 65536;
int	  tenancy_document_timeout = 30000;
bool  tenancy_extend_plugin_list = true;
bool  tenancy_failover_slot = true;
int	  tenancy_forbid_session_path = SESSION_PATH_WARN;
int	  tenancy_hot_search_places = 4096;
int	  tenancy_lifecycle_interval = 60;
int	  tenancy_max_databases = 4;
char *tenancy_outer_search_path = NULL;
char *tenancy_outer_statement_timeout = NULL;
int	  tenancy_read_cache_ttl = 300;
char *tenancy_redis_auth_file = NULL;
int	  tenancy_redis_timeout = 500;
char *tenancy_redis_url = NULL;
int	  tenancy_reindex_grace = 0;
bool  tenancy_report_search_path = false;
bool  tenancy_require_context = false;
int	  tenancy_resync_rate = 0;
int	  tenancy_shared_parts = 1000;
int	  tenancy_retry_max = 30000;
int	  tenancy_ring_size = 1024;
char *tenancy_search_auth_file = NULL;
char *tenancy_search_ca_file = NULL;
char *tenancy_search_cert_file = NULL;
int	  tenancy_search_compression = COMPRESS_OFF;
char *tenancy_search_index_prefix = NULL;
char *tenancy_search_key_file = NULL;
int	  tenancy_search_lanes = 2;
int	  tenancy_search_timeout = 10000;
char *tenancy_search_url = NULL;
int	  tenancy_stat_tenants_max = 10000;
bool  tenancy_track_tenants = true;
int	  tenancy_verify_interval = 3600;
int	  tenancy_verify_sample = 1000;

static const struct config_enum_entry compressions[] = {
	{"off", COMPRESS_OFF, false}, {"gzip", COMPRESS_GZIP, false}, {NULL, 0, false}};

static const struct config_enum_entry placement_options[] = {
	{"dedicated", PLACEMENT_DEDICATED, false},
	{"shared", PLACEMENT_SHARED, false},
	{NULL, 0, false}};

static const struct config_enum_entry allow_suspended_options[] = {
	{"off", ALLOW_NOBODY, false},
	{"superuser", ALLOW_SUPERUSER, false},
	{"on", ALLOW_ALL, false},
	{NULL, 0, false}};

static const struct config_enum_entry session_path_options[] = {
	{"off", SESSION_PATH_OFF, false},
	{"warn", SESSION_PATH_WARN, false},
	{"error", SESSION_PATH_ERROR, false},
	{NULL, 0, false}};

/* Refuses what is no URL, and credentials inside one, since SHOW would print them. */
static bool
is_safe_url(const char *url, size_t length)
{
	const char *authority = strstr(url, "://");

	if (authority == NULL || authority == url || authority + 3 >= url + length)
	{
		GUC_check_errdetail("The value must be a URL such as http://127.0.0.1:9200.");
		return false;
	}
	if (memchr(authority + 3, '@',
			   Min(strcspn(authority + 3, "/?#"), url + length - authority - 3)) != NULL)
	{
		GUC_check_errdetail("The URL must not contain a user or a password.");
		GUC_check_errhint("Put them into the file named by the matching *_auth_file setting.");
		return false;
	}
	return true;
}

/* One URL, or nothing. */
static bool
check_url(char **newval, void **extra, GucSource source)
{
	return **newval == '\0' || is_safe_url(*newval, strlen(*newval));
}

/* URLs separated by commas, or nothing. */
static bool
check_search_url(char **newval, void **extra, GucSource source)
{
	const char *url = *newval;

	for (int n = 1; *url != '\0'; n++)
	{
		size_t length;

		url += strspn(url, " \t");
		length = strcspn(url, ",");
		if (n > TENANCY_HOSTS_MAX)
		{
			GUC_check_errdetail("The list may have %d URLs at the most.", TENANCY_HOSTS_MAX);
			return false;
		}
		if (pg_strncasecmp(url, "http://", 7) != 0 && pg_strncasecmp(url, "https://", 8) != 0)
		{
			GUC_check_errdetail("Every part of the list must be a URL such as "
								"http://127.0.0.1:9200.");
			return false;
		}
		if (!is_safe_url(url, length))
			return false;
		url += length + (url[length] == ',' ? 1 : 0);
	}
	return true;
}

/* Index names are lower case and must not start with what the server refuses. */
static bool
check_index_prefix(char **newval, void **extra, GucSource source)
{
	const char *c = *newval;

	if (*c == '\0')
		return true;
	if (strspn(c, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(c) || *c == '_' ||
		*c == '-' || strlen(c) > 32)
	{
		GUC_check_errdetail("The prefix may hold 1 to 32 characters a-z, 0-9, _ and -, and starts "
							"with a letter or a digit.");
		return false;
	}
	return true;
}

/* Context of settings that size shared memory; the strict one is refused to a library loaded later. */
static GucContext
startup_context(void)
{
	return process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;
}

/* Settings of the search sink and of tenant_search. */
static void
define_search_settings(void)
{
	DefineCustomStringVariable("tenancy.search_auth_file",
							   "File with the search server's credentials: user:password, or "
							   "\"ApiKey KEY\", or \"Bearer TOKEN\", on one line.",
							   NULL, &tenancy_search_auth_file, "", PGC_SIGHUP, 0, NULL, NULL,
							   NULL);
	DefineCustomStringVariable("tenancy.search_ca_file",
							   "File with the CA certificates that the search server's certificate "
							   "is checked against.",
							   "Empty means the system's own.", &tenancy_search_ca_file, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("tenancy.search_cert_file",
							   "File with the certificate that shows the search server who we "
							   "are.",
							   NULL, &tenancy_search_cert_file, "", PGC_SIGHUP, 0, NULL, NULL,
							   NULL);
	DefineCustomEnumVariable(
		"tenancy.search_compression", "How bulk requests are sent to the search server.",
		"Pays where the network is slow: it takes this server's CPU.", &tenancy_search_compression,
		COMPRESS_OFF, compressions, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"tenancy.search_index_prefix", "Prefix of every index and alias name.",
		"Needed when several databases share one search cluster: ALTER DATABASE ... SET it.",
		&tenancy_search_index_prefix, "", PGC_SUSET, 0, check_index_prefix, NULL, NULL);
	DefineCustomStringVariable("tenancy.search_key_file",
							   "File with the key of tenancy.search_cert_file.",
							   "Empty: it is in the same file.", &tenancy_search_key_file, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tenancy.search_lanes",
							"Number of bulk requests in flight at the same time.",
							"A key always belongs to the same lane.", &tenancy_search_lanes, 2, 1,
							TENANCY_LANES_MAX, startup_context(), 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tenancy.search_timeout",
							"Time after which a request to the search server counts as failed.",
							NULL, &tenancy_search_timeout, 10000, 100, 600000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("tenancy.search_url",
							   "URL of the Elasticsearch or OpenSearch server, or those of "
							   "several hosts of one cluster, separated by commas.",
							   "Empty: nothing is indexed, and tenant_search asks PostgreSQL.",
							   &tenancy_search_url, "", PGC_SIGHUP, 0, check_search_url, NULL,
							   NULL);
}

/* Settings of the cache sink and of tenant_cache_*. */
static void
define_redis_settings(void)
{
	DefineCustomIntVariable(
		"tenancy.cache_guard_time", "How long a change keeps older values out of the cache.",
		"Values that were read earlier than a sixth of this ago may be refused.",
		&tenancy_cache_guard_time, 300, 6, 3600, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"tenancy.cache_wait",
		"How long tenant_cache_fetch waits for another session that makes the same value.", NULL,
		&tenancy_cache_wait, 100, 0, 60000, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("tenancy.hot_searches",
							"Number of searches in the record of those that are asked most often.",
							"Each takes 1 kB of shared memory; 0: there is no record.",
							&tenancy_hot_search_places, 4096, 0, 1000000, startup_context(), 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable(
		"tenancy.read_cache_ttl",
		"How long Redis keeps answers of tenant_search and get_technology_by_id.",
		"0: they are neither kept nor looked for there.", &tenancy_read_cache_ttl, 300, 0,
		TENANCY_READ_CACHE_TTL_MAX, PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("tenancy.redis_auth_file",
							   "File with the Redis credentials: password or user:password, on one "
							   "line.",
							   NULL, &tenancy_redis_auth_file, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"tenancy.redis_timeout", "Time after which Redis counts as unreachable.", NULL,
		&tenancy_redis_timeout, 500, 10, 60000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("tenancy.redis_url",
							   "URL of the Redis server: redis://host:port/database.",
							   "Empty: nothing is invalidated and every cache read is a miss.",
							   &tenancy_redis_url, "", PGC_SIGHUP, 0, check_url, NULL, NULL);
	DefineCustomIntVariable(
		"tenancy.reindex_grace",
		"Time that an index is kept in step after another one has taken its place.",
		"Searches that were begun before go on in it.", &tenancy_reindex_grace, 300, 0,
		INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("tenancy.resync_rate",
							"Rows per second that a resync or first copy sends to one sink.",
							"0: no limit. Changes of rows are not held back.", &tenancy_resync_rate,
							0, 0, 10000000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"tenancy.retry_max", "Longest wait between two attempts to reach a sink.", NULL,
		&tenancy_retry_max, 30000, 100, 3600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("tenancy.ring_size",
							"Size of the shared memory ring between capture and each sink.", NULL,
							&tenancy_ring_size, 1024, 64, 1024 * 1024, startup_context(),
							GUC_UNIT_KB, NULL, NULL, NULL);
}

/* Settings of benchmark statistics. */
static void
define_benchmark_settings(void)
{
	DefineCustomIntVariable(
		"tenancy.benchmark_min_tenants",
		"How many tenants must be in a benchmark across tenants, or it is not shown.", NULL,
		&tenancy_benchmark_min_tenants, 5, 2, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("tenancy.benchmarks",
							 "Keeps the benchmark statistics of all tenants fresh.",
							 "A worker of each database does it; it needs wal_level = logical.",
							 &tenancy_benchmarks, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Settings of capture and of the dirty set. */
static void
define_sync_settings(void)
{
	DefineCustomIntVariable("tenancy.bulk_actions", "Most operations in one bulk request.", NULL,
							&tenancy_bulk_actions, 2000, 1, 100000, PGC_SIGHUP, 0, NULL, NULL,
							NULL);
	DefineCustomIntVariable("tenancy.bulk_bytes", "Size at which a bulk request is closed.", NULL,
							&tenancy_bulk_bytes, 5120, 16, 1024 * 100, PGC_SIGHUP, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomStringVariable("tenancy.current_tenant",
							   "Tenant of the current transaction; set by tenant_use().", NULL,
							   &tenancy_current_tenant, "", PGC_INTERNAL,
							   GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, NULL, NULL, NULL);
	DefineCustomEnumVariable("tenancy.default_placement",
							 "Where the documents of a new tenant, or a new index type, are.",
							 "tenancy.place() moves them.", &tenancy_default_placement,
							 PLACEMENT_DEDICATED, placement_options, PGC_SUSET, 0, NULL, NULL,
							 NULL);
	DefineCustomIntVariable("tenancy.dirty_mem",
							"Memory that one sink may use for keys that are still to be sent.",
							NULL, &tenancy_dirty_mem, 65536, 1024, MAX_KILOBYTES, PGC_SIGHUP,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("tenancy.document_timeout",
							"Time after which a row whose document is still being made becomes a "
							"dead letter.",
							NULL, &tenancy_document_timeout, 30000, 10, 3600000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"tenancy.extend_plugin_list",
		"Lets the capture worker add pg_tenancy to output_plugin_libraries for "
		"its own process.",
		"If off, add pg_tenancy to output_plugin_libraries yourself.", &tenancy_extend_plugin_list,
		true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"tenancy.failover_slot",
		"Lets standbys keep a copy of the replication slot, so that capture goes on after a "
		"promotion where it was.",
		"Of no effect before PostgreSQL 17.", &tenancy_failover_slot, true, PGC_SIGHUP, 0, NULL,
		NULL, NULL);
	DefineCustomIntVariable(
		"tenancy.max_databases", "Number of databases of this server that can be synced.", NULL,
		&tenancy_max_databases, 4, 1, 1024, startup_context(), 0, NULL, NULL, NULL);
	DefineCustomStringVariable("tenancy.outer_search_path",
							   "What search_path was before tenant_use(); tenant_reset() puts it "
							   "back.",
							   NULL, &tenancy_outer_search_path, "", PGC_INTERNAL,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, NULL,
							   NULL, NULL);
	DefineCustomStringVariable("tenancy.outer_statement_timeout",
							   "What statement_timeout was before a tenant's quota, and that; "
							   "tenant_reset() puts it back.",
							   NULL, &tenancy_outer_statement_timeout, "", PGC_INTERNAL,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, NULL,
							   NULL, NULL);
}

/* Settings of statistics. */
static void
define_metrics_settings(void)
{
	DefineCustomIntVariable(
		"tenancy.stat_tenants_max", "Number of tenants whose statements can be counted.",
		"The others are counted together. 0: nothing is counted.", &tenancy_stat_tenants_max, 10000,
		0, 1000000, startup_context(), 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("tenancy.track_tenants",
							 "Counts what the statements of each tenant cost.", NULL,
							 &tenancy_track_tenants, true, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* Settings of placement. */
static void
define_placement_settings(void)
{
	DefineCustomIntVariable("tenancy.shared_parts",
							"Most tenants that have their documents in one shared index.",
							"The next ones share another one.", &tenancy_shared_parts, 1000, 1,
							100000, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Settings of the sampling verify. */
static void
define_verify_settings(void)
{
	DefineCustomIntVariable("tenancy.verify_interval",
							"Time between two samples of rows and documents that are compared.",
							"0 turns this off; tenancy.verify() compares all of them.",
							&tenancy_verify_interval, 3600, 0, INT_MAX / 1000, PGC_SIGHUP,
							GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"tenancy.verify_sample", "Number of rows, and of documents, in each sample.", NULL,
		&tenancy_verify_sample, 1000, 1, 1000000, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Settings of the lifecycle of indices. */
static void
define_lifecycle_settings(void)
{
	DefineCustomIntVariable("tenancy.lifecycle_interval",
							"Time between two looks at which indices are due for their next phase.",
							NULL, &tenancy_lifecycle_interval, 60, 1, 86400, PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
}

/* Settings that keep tenants apart. */
static void
define_isolation_settings(void)
{
	DefineCustomEnumVariable("tenancy.allow_suspended",
							 "Whose statements may touch tables of tenants that are suspended, "
							 "read-only or over a quota.",
							 "superuser: backups and repairs by superusers go on.",
							 &tenancy_allow_suspended, ALLOW_SUPERUSER, allow_suspended_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("tenancy.forbid_session_path",
							 "What happens when a transaction leaves a search_path or role behind "
							 "that names a tenant.",
							 "A pool of connections would hand it to the next client.",
							 &tenancy_forbid_session_path, SESSION_PATH_WARN, session_path_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("tenancy.report_search_path",
							 "Tells clients and connection poolers of every change of search_path.",
							 "PostgreSQL 18 always does.", &tenancy_report_search_path, false,
							 startup_context(), 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("tenancy.require_context",
							 "Refuses statements that touch tables of a tenant that the "
							 "transaction does not use.",
							 "For the roles of applications: ALTER ROLE ... SET it.",
							 &tenancy_require_context, false, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* Defines every setting; called once by _PG_init. */
void
tenancy_guc_init(void)
{
	define_benchmark_settings();
	define_sync_settings();
	define_placement_settings();
	define_redis_settings();
	define_search_settings();
	define_verify_settings();
	define_lifecycle_settings();
	define_isolation_settings();
	define_metrics_settings();
	MarkGUCPrefixReserved("tenancy");
}

/* Sets a setting that users cannot set, until the end of the transaction. */
static void
set_internal(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_INTERNAL, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
							 false);
}

/* Sets tenancy.current_tenant until the end of the transaction. */
void
tenancy_set_current_tenant(const char *name)
{
	set_internal("tenancy.current_tenant", name);
}

/* Remembers the search_path to go back to, until the end of the transaction. */
void
tenancy_set_outer_search_path(const char *path)
{
	set_internal("tenancy.outer_search_path", path);
}

/* Remembers the statement_timeout to go back to, until the end of the transaction. */
void
tenancy_set_outer_statement_timeout(const char *timeout)
{
	set_internal("tenancy.outer_statement_timeout", timeout);
}
