/*
 * hot.c
 *		The searches that are asked most often, in shared memory.
 *
 * Sets of a few places each; a search's hash says which set it belongs to.  A new one takes the place
 * of the set's least frequent one and goes on from its count, so that what is frequent is never
 * missed, as in the space-saving algorithm.  Counts are of a day and the day before, of
 * which what is left of the last 24 hours is taken.  A search costs a hash of its
 * arguments and a look at one set.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#include "cache/hot.h"
#include "common/guc.h"

#define WAYS 8
#define TEXT_MAX 960 /* bytes of a search; a longer one is not recorded */
#define NO_TEXT 0xFFFFFFFF

typedef struct HotEntry
{
	uint64 hash;
	int64  tenant_id; /* 0: free */
	Oid	   dboid;
	uint32 length;
	int64  day; /* of today's count */
	double today;
	double before;
	char   text[TEXT_MAX];
} HotEntry;

typedef struct HotSet
{
	slock_t	 mutex;
	HotEntry entries[WAYS];
} HotSet;

static HotSet *sets = NULL;
static int	   nsets = 0;

/* Shared memory it needs. */
Size
hot_shmem_size(void)
{
	return mul_size(tenancy_hot_search_places / WAYS, sizeof(HotSet));
}

/* Finds or makes the shared memory. */
void
hot_shmem_init(void)
{
	bool found;

	nsets = tenancy_hot_search_places / WAYS;
	if (nsets == 0)
		return;
	sets = ShmemInitStruct("pg_tenancy hot searches", hot_shmem_size(), &found);
	if (found)
		return;
	memset(sets, 0, hot_shmem_size());
	for (int i = 0; i < nsets; i++)
		SpinLockInit(&sets[i].mutex);
}

/* Day of now, and how much of it is over. */
static int64
today(double *over)
{
	TimestampTz now = GetCurrentStatementStartTimestamp();

	*over = (double) (now % USECS_PER_DAY) / USECS_PER_DAY;
	return now / USECS_PER_DAY;
}

/* Moves an entry's counts on to a day. */
static void
move_on(HotEntry *entry, int64 day)
{
	if (entry->day == day)
		return;
	entry->before = entry->day == day - 1 ? entry->today : 0;
	entry->today = 0;
	entry->day = day;
}

/* How often in the last 24 hours. */
static double
count_of(const HotEntry *entry, double over)
{
	return entry->today + entry->before * (1 - over);
}

/* Appends bytes with their length. */
static void
add_bytes(StringInfo text, const char *bytes, uint32 length)
{
	appendBinaryStringInfo(text, (const char *) &length, sizeof(length));
	if (length != NO_TEXT)
		appendBinaryStringInfo(text, bytes, length);
}

/* Appends a text, which may be NULL. */
static void
add_text(StringInfo text, const char *string)
{
	add_bytes(text, string, string != NULL ? strlen(string) : NO_TEXT);
}

/* Appends an object, which may be NULL. */
static void
add_object(StringInfo text, Jsonb *object)
{
	if (object == NULL || JB_ROOT_COUNT(object) == 0)
		add_text(text, NULL);
	else
		add_bytes(text, VARDATA_ANY(object), VARSIZE_ANY_EXHDR(object));
}

/* A search as bytes. */
static void
write_search(StringInfo text, const HotSearch *search)
{
	appendBinaryStringInfo(text, (const char *) &search->page, sizeof(int));
	appendBinaryStringInfo(text, (const char *) &search->page_size, sizeof(int));
	add_text(text, search->query);
	add_text(text, search->index_type);
	add_object(text, search->filters);
	add_object(text, search->options);
}

/* The place of a search in its set: its own, or the least frequent one. */
static HotEntry *
find_place(HotSet *set, uint64 hash, int64 tenant_id, int64 day, double over)
{
	HotEntry *least = NULL;

	for (int i = 0; i < WAYS; i++)
	{
		HotEntry *entry = &set->entries[i];

		if (entry->hash == hash && entry->tenant_id == tenant_id && entry->dboid == MyDatabaseId)
			return entry;
		move_on(entry, day);
		if (least == NULL || count_of(entry, over) < count_of(least, over))
			least = entry;
	}
	return least;
}

/* Counts a search of a tenant. */
void
hot_note(int64 tenant_id, const HotSearch *search)
{
	StringInfoData text;
	HotEntry	  *entry;
	HotSet		  *set;
	uint64		   hash;
	double		   over;
	int64		   day = today(&over);

	if (sets == NULL)
		return;
	initStringInfo(&text);
	write_search(&text, search);
	hash = hash_bytes_extended((unsigned char *) text.data, text.len, (uint64) tenant_id);
	set = &sets[hash % nsets];
	if (text.len <= TEXT_MAX)
	{
		SpinLockAcquire(&set->mutex);
		entry = find_place(set, hash, tenant_id, day, over);
		move_on(entry, day);
		entry->today++;
		if (entry->hash != hash || entry->tenant_id != tenant_id || entry->dboid != MyDatabaseId)
		{
			entry->hash = hash;
			entry->tenant_id = tenant_id;
			entry->dboid = MyDatabaseId;
			entry->length = text.len;
			memcpy(entry->text, text.data, text.len);
		}
		SpinLockRelease(&set->mutex);
	}
	pfree(text.data);
}

/* Takes bytes with their length, NULL: there are none. */
static char *
take_bytes(const char **text, uint32 *length)
{
	char *bytes;

	memcpy(length, *text, sizeof(*length));
	*text += sizeof(*length);
	if (*length == NO_TEXT)
		return NULL;
	bytes = palloc(*length + 1);
	memcpy(bytes, *text, *length);
	bytes[*length] = '\0';
	*text += *length;
	return bytes;
}

/* Takes an object, which may be NULL. */
static Jsonb *
take_object(const char **text)
{
	uint32 length;
	char  *bytes = take_bytes(text, &length);
	Jsonb *object;

	if (bytes == NULL)
		return NULL;
	object = palloc(VARHDRSZ + length);
	SET_VARSIZE(object, VARHDRSZ + length);
	memcpy(VARDATA(object), bytes, length);
	return object;
}

/* A search from its bytes. */
static HotSearch *
read_search(const HotEntry *entry, double count)
{
	HotSearch  *search = palloc0(sizeof(HotSearch));
	const char *text = entry->text;
	uint32		length;

	memcpy(&search->page, text, sizeof(int));
	memcpy(&search->page_size, text + sizeof(int), sizeof(int));
	text += 2 * sizeof(int);
	search->query = take_bytes(&text, &length);
	search->index_type = take_bytes(&text, &length);
	search->filters = take_object(&text);
	search->options = take_object(&text);
	search->count = count;
	return search;
}

/* Most frequent first. */
static int
compare_counts(const ListCell *a, const ListCell *b)
{
	const HotSearch *one = lfirst(a);
	const HotSearch *other = lfirst(b);

	return one->count < other->count ? 1 : one->count > other->count ? -1 : 0;
}

/* A tenant's searches, most frequent first. */
List *
hot_top(int64 tenant_id, int most)
{
	List	*searches = NIL;
	HotEntry copy;
	double	 over;
	int64	 day = today(&over);

	for (int i = 0; i < nsets * WAYS && sets != NULL; i++)
	{
		HotSet *set = &sets[i / WAYS];

		CHECK_FOR_INTERRUPTS();
		SpinLockAcquire(&set->mutex);
		copy = set->entries[i % WAYS];
		SpinLockRelease(&set->mutex);
		if (copy.tenant_id != tenant_id || copy.dboid != MyDatabaseId)
			continue;
		move_on(&copy, day);
		if (count_of(&copy, over) > 0)
			searches = lappend(searches, read_search(&copy, count_of(&copy, over)));
	}
	list_sort(searches, compare_counts);
	return list_truncate(searches, most);
}
