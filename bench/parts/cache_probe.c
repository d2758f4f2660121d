/*
 * cache_probe.c
 *		Times of single calls for bench/cache_speed: hiredis and libpq side by side.
 *
 * cache_probe CONNINFO REDIS_PORT MODE N
 *		call     GET by hiredis, a bare SQL function call, tenant_cache_get: N of each, in turn
 *		get      N times tenant_cache_get, Redis being away
 *		unlinked a change of a row, until its key is gone: N times
 *		stall    GETs for N seconds
 * Prints a line for each: name, number, and microseconds at 50, 95, 99 and 100 %.
 */
#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static PGconn		*pg;
static redisContext *redis;

/* Microseconds of a clock that only goes forward. */
static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

/* Ends with a message. */
static void
fail(const char *what)
{
	fprintf(stderr, "cache_probe: %s\n", what);
	exit(1);
}

/* Order of two times. */
static int
compare(const void *a, const void *b)
{
	double one = *(const double *) a, other = *(const double *) b;

	return one < other ? -1 : one > other;
}

/* Prints what the times are like. */
static void
print_times(const char *name, double *times, size_t n)
{
	qsort(times, n, sizeof(double), compare);
	printf("%s %zu %.1f %.1f %.1f %.1f\n", name, n, times[n / 2], times[n * 95 / 100],
		   times[n * 99 / 100], times[n - 1]);
}

/* Runs a statement. */
static void
run(const char *sql)
{
	PGresult *result = PQexec(pg, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(PQerrorMessage(pg));
	PQclear(result);
}

/* Runs a prepared statement without parameters; returns the time. */
static double
timed(const char *name)
{
	double	  start = now();
	PGresult *result = PQexecPrepared(pg, name, 0, NULL, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail(PQerrorMessage(pg));
	PQclear(result);
	return now() - start;
}

/* Prepares a statement. */
static void
prepare(const char *name, const char *sql)
{
	PGresult *result = PQprepare(pg, name, sql, 0, NULL);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(PQerrorMessage(pg));
	PQclear(result);
}

/* Sends GET; *found: there is a value.  Returns the time. */
static double
timed_get(const char *key, int *found)
{
	double		start = now();
	redisReply *reply = redisCommand(redis, "GET %s", key);

	if (reply == NULL)
		fail("Redis does not answer");
	*found = reply->type == REDIS_REPLY_STRING;
	freeReplyObject(reply);
	return now() - start;
}

/* The three kinds of calls in turn, so that all have the same neighbours. */
static void
probe_calls(size_t n)
{
	double *get = calloc(n, sizeof(double)), *bare = calloc(n, sizeof(double)),
		   *cached = calloc(n, sizeof(double));
	int found;

	run("BEGIN");
	run("SELECT tenant_use('a')");
	run("SELECT tenant_cache_set('hit', '{\"id\": 1, \"name\": \"a value of usual size\"}', 3600)");
	prepare("bare", "SELECT tenant_current()");
	prepare("cached", "SELECT tenant_cache_get('hit')");
	for (size_t i = 0; i < n; i++)
	{
		get[i] = timed_get("tenant:a:hit", &found);
		bare[i] = timed("bare");
		cached[i] = timed("cached");
		if (!found)
			fail("the value is not there");
	}
	run("COMMIT");
	print_times("hiredis_get", get, n);
	print_times("sql_function", bare, n);
	print_times("tenant_cache_get", cached, n);
}

/* Reads while Redis is away. */
static void
probe_misses(size_t n)
{
	double *miss = calloc(n, sizeof(double));

	run("BEGIN");
	run("SELECT tenant_use('a')");
	prepare("cached", "SELECT tenant_cache_get('hit')");
	for (size_t i = 0; i < n; i++)
	{
		struct timespec pause = {0, 1000000};

		miss[i] = timed("cached");
		nanosleep(&pause, NULL);
	}
	run("COMMIT");
	print_times("get_while_away", miss, n);
}

/* From COMMIT's answer until the key is gone. */
static void
probe_unlinked(size_t n)
{
	double *time = calloc(n, sizeof(double));

	run("SET synchronous_commit = on"); /* what is not on disk is not decoded */
	for (size_t i = 0; i < n; i++)
	{
		int	   found = 1;
		double start;

		freeReplyObject(redisCommand(redis, "SET tenant:a:plain:1 x"));
		run("UPDATE tenant_a.kv SET v = v + 1 WHERE id = 1");
		start = now();
		while (found)
			(void) timed_get("tenant:a:plain:1", &found);
		time[i] = now() - start;
	}
	print_times("unlinked", time, n);
}

/* What another client of Redis waits. */
static void
probe_stall(size_t seconds)
{
	size_t	room = 10000000, n = 0;
	double *time = malloc(room * sizeof(double)), end = now() + seconds * 1e6;
	int		found;

	while (now() < end && n < room)
		time[n++] = timed_get("tenant:a:other", &found);
	print_times("other_client", time, n);
}

int
main(int argc, char **argv)
{
	size_t n = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;

	if (n == 0)
		fail("usage: cache_probe CONNINFO REDIS_PORT call|get|unlinked|stall N");
	pg = PQconnectdb(argv[1]);
	if (PQstatus(pg) != CONNECTION_OK)
		fail(PQerrorMessage(pg));
	if (strcmp(argv[3], "get") == 0)
	{
		probe_misses(n);
		return 0;
	}
	redis = redisConnect("127.0.0.1", atoi(argv[2]));
	if (redis == NULL || redis->err)
		fail("cannot connect to Redis");
	if (strcmp(argv[3], "call") == 0)
		probe_calls(n);
	else if (strcmp(argv[3], "unlinked") == 0)
		probe_unlinked(n);
	else
		probe_stall(n);
	return 0;
}
