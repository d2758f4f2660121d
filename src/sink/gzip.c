/*
 * gzip.c
 *		Bodies of requests, made smaller.  gzip.c alone uses zlib.
 *
 * The fastest level: 100,000 documents of 1 kB take half a second of processor time and
 * shrink to a sixth; level 6 takes twice the time for a tenth less.
 */
#include "postgres.h"

#include <zlib.h>

#include "sink/gzip.h"

#define GZIP_FORMAT 16 /* added to the window's bits: gzip, not zlib */
#define MEMORY_LEVEL 8
#define PIECE (1024 * 1024 * 1024) /* what zlib takes at once: its lengths have 32 bits */

/* Gets the process's compressor, which keeps its memory from call to call. */
static z_stream *
compressor(void)
{
	static z_stream stream;
	static bool		ready = false;

	if (!ready)
		ready = deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + GZIP_FORMAT,
							 MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
	else
		ready = deflateReset(&stream) == Z_OK;
	return ready ? &stream : NULL;
}

/* A malloc'd copy in gzip format, NULL if there is no memory for it. */
char *
gzip_compress(const char *data, size_t length, size_t *compressed_length)
{
	z_stream *stream = length < PIECE ? compressor() : NULL;
	size_t	  room = stream != NULL ? deflateBound(stream, length) : 0;
	char	 *out = room != 0 ? malloc(room) : NULL;

	if (out == NULL)
		return NULL;
	stream->next_in = (Bytef *) data;
	stream->avail_in = (uInt) length;
	stream->next_out = (Bytef *) out;
	stream->avail_out = (uInt) room;
	if (deflate(stream, Z_FINISH) != Z_STREAM_END)
	{
		free(out);
		return NULL;
	}
	*compressed_length = room - stream->avail_out;
	return out;
}
