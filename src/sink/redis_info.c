/*
 * redis_info.c
 *		What a Redis server says of itself.
 *
 * Nothing here throws or takes memory: it is called for a reply.
 */
#include "postgres.h"

#include "sink/redis_info.h"

/* Copies the value of a field; false if there is none, or it is too long. */
static bool
read_field(const char *text, const char *name, char *value, size_t size)
{
	size_t		length = strlen(name);
	const char *line = text;

	while (line != NULL && !(strncmp(line, name, length) == 0 && line[length] == ':'))
	{
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	if (line == NULL)
		return false;
	line += length + 1;
	length = strcspn(line, "\r\n");
	if (length >= size)
		return false;
	memcpy(value, line, length);
	value[length] = '\0';
	return true;
}

/* The policy by which keys are evicted; none is while there is no limit. */
static void
read_policy(const char *text, RedisInfo *info)
{
	char limit[32];

	if (!read_field(text, "maxmemory_policy", info->policy, sizeof(info->policy)) ||
		strcmp(info->policy, "noeviction") == 0 ||
		(read_field(text, "maxmemory", limit, sizeof(limit)) && strcmp(limit, "0") == 0))
		info->policy[0] = '\0';
}

/* Reads the reply to INFO. */
bool
redis_info_read(const char *text, RedisInfo *info)
{
	char run[64];
	char history[64] = "";
	char role[16] = "";

	if (!read_field(text, "run_id", run, sizeof(run)) || run[0] == '\0')
		return false;
	(void) read_field(text, "master_replid", history, sizeof(history));
	snprintf(info->identity, sizeof(info->identity), "%s %s", run, history);
	read_policy(text, info);
	(void) read_field(text, "role", role, sizeof(role));
	info->is_replica = strcmp(role, "slave") == 0;
	info->is_empty = strstr(text, "# Keyspace") != NULL && strstr(text, "\ndb") == NULL;
	return true;
}
