/*
 * sketch_io.c
 *		percentile_sketch as text and as a message: its bytes, as hexadecimal digits and as they are.
 *
 * What comes in is read, and written again: bytes that no sketch has are refused.
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "common/compat.h"
#include "percentile/sketch.h"

PG_FUNCTION_INFO_V1(percentile_sketch_in);
PG_FUNCTION_INFO_V1(percentile_sketch_out);
PG_FUNCTION_INFO_V1(percentile_sketch_recv);
PG_FUNCTION_INFO_V1(percentile_sketch_send);

/* Bytes from outside as a sketch. */
static struct varlena *
accept_bytes(const struct varlena *bytes, SketchSource source)
{
	Sketch		   *sketch = sketch_read(bytes, source);
	struct varlena *written = sketch_write(sketch);

	if ((sketch->buckets != NULL && !sketch_buckets_sound(sketch->buckets)) ||
		VARSIZE(written) != VARSIZE(bytes) ||
		memcmp(VARDATA(written), VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ) != 0)
		ereport(ERROR, (errcode(source == SKETCH_TEXT ? ERRCODE_INVALID_TEXT_REPRESENTATION
													  : ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("invalid percentile_sketch"),
						errdetail("A sketch of its values is written in another way.")));
	return written;
}

/* From hexadecimal digits after \x. */
Datum
percentile_sketch_in(PG_FUNCTION_ARGS)
{
	const char	   *text = PG_GETARG_CSTRING(0);
	size_t			digits = strlen(text);
	struct varlena *bytes;

	if (digits < 2 || text[0] != '\\' || text[1] != 'x' || digits % 2 != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("invalid percentile_sketch"),
				 errdetail("It begins with \\x and has two hexadecimal digits a byte.")));
	digits -= 2;
	bytes = palloc(VARHDRSZ + digits / 2);
	SET_VARSIZE(bytes, VARHDRSZ + digits / 2);
	if (hex_decode(text + 2, digits, VARDATA(bytes)) != digits / 2) /* it skips white space */
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("invalid percentile_sketch"),
				 errdetail("There is white space in it.")));
	PG_RETURN_POINTER(accept_bytes(bytes, SKETCH_TEXT));
}

/* As hexadecimal digits after \x. */
Datum
percentile_sketch_out(PG_FUNCTION_ARGS)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
	size_t			n = VARSIZE_ANY_EXHDR(bytes);
	char		   *text = palloc(2 * n + 3);

	text[0] = '\\';
	text[1] = 'x';
	(void) hex_encode(VARDATA_ANY(bytes), n, text + 2);
	text[2 * n + 2] = '\0';
	PG_RETURN_CSTRING(text);
}

/* From a message. */
Datum
percentile_sketch_recv(PG_FUNCTION_ARGS)
{
	StringInfo		message = (StringInfo) PG_GETARG_POINTER(0);
	int				n = message->len - message->cursor;
	struct varlena *bytes = palloc(VARHDRSZ + n);

	SET_VARSIZE(bytes, VARHDRSZ + n);
	pq_copymsgbytes(message, VARDATA(bytes), n);
	PG_RETURN_POINTER(accept_bytes(bytes, SKETCH_BINARY));
}

/* As a message. */
Datum
percentile_sketch_send(PG_FUNCTION_ARGS)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
	StringInfoData	message;

	pq_begintypsend(&message);
	pq_sendbytes(&message, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
