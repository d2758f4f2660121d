/*
 * redis_info.h
 *		What a Redis server says of itself.
 */
#ifndef TENANCY_REDIS_INFO_H
#define TENANCY_REDIS_INFO_H

typedef struct RedisInfo
{
	char identity[128]; /* of the process and of its data's history */
	char policy[32];	/* by which it evicts keys, "" if it never does */
	bool is_empty;		/* it has no key at all */
	bool is_replica;	/* it takes no writes */
} RedisInfo;

/* Reads the reply to INFO, ended by a zero byte; false: that is not what it is. */
extern bool redis_info_read(const char *text, RedisInfo *info);

#endif
