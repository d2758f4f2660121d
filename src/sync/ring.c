/*
 * ring.c
 *		Records from the capture worker to one sink worker, through shared memory.
 */
#include "postgres.h"

#include "sync/ring.h"

/* Makes an empty ring in memory that has room for it. */
void
ring_init(Ring *ring, uint32 size)
{
	pg_atomic_init_u64(&ring->head, 0);
	pg_atomic_init_u64(&ring->tail, 0);
	ring->size = size;
}

/* Copies bytes in at a position, around the end. */
static void
copy_in(Ring *ring, uint64 position, const void *from, uint32 length)
{
	uint32 at = position % ring->size;
	uint32 first = Min(length, ring->size - at);

	memcpy(ring->data + at, from, first);
	memcpy(ring->data, (const char *) from + first, length - first);
}

/* Copies bytes out from a position, around the end. */
static void
copy_out(Ring *ring, uint64 position, void *to, uint32 length)
{
	uint32 at = position % ring->size;
	uint32 first = Min(length, ring->size - at);

	memcpy(to, ring->data + at, first);
	memcpy((char *) to + first, ring->data, length - first);
}

/* True if a record with such a key can ever be put. */
bool
ring_fits(Ring *ring, int key_length)
{
	return sizeof(RingRecord) + key_length <= ring->size;
}

/* Appends a record; false if there is no room now. */
bool
ring_put(Ring *ring, const RingRecord *record, const char *key)
{
	uint64 head = pg_atomic_read_u64(&ring->head);
	uint64 used = head - pg_atomic_read_u64(&ring->tail);
	uint32 length = sizeof(RingRecord) + record->key_length;

	if (used + length > ring->size)
		return false;
	pg_memory_barrier();
	copy_in(ring, head, record, sizeof(RingRecord));
	copy_in(ring, head + sizeof(RingRecord), key, record->key_length);
	pg_write_barrier();
	pg_atomic_write_u64(&ring->head, head + length);
	return true;
}

/* Takes the oldest record; its key goes to *key, enlarged as needed.  False if empty. */
bool
ring_get(Ring *ring, RingRecord *record, char **key, int *key_room)
{
	uint64 tail = pg_atomic_read_u64(&ring->tail);

	if (pg_atomic_read_u64(&ring->head) == tail)
		return false;
	pg_read_barrier();
	copy_out(ring, tail, record, sizeof(*record));
	if (record->key_length > *key_room)
	{
		*key = repalloc(*key, record->key_length);
		*key_room = record->key_length;
	}
	copy_out(ring, tail + sizeof(*record), *key, record->key_length);
	pg_memory_barrier();
	pg_atomic_write_u64(&ring->tail, tail + sizeof(*record) + record->key_length);
	return true;
}

/* Reader: forgets everything that is in it. */
void
ring_discard(Ring *ring)
{
	pg_atomic_write_u64(&ring->tail, pg_atomic_read_u64(&ring->head));
}
