/*
 * sketch_format.h
 *		The second byte of a sketch: what it has, and flags.
 */
#ifndef TENANCY_PERCENTILE_SKETCH_FORMAT_H
#define TENANCY_PERCENTILE_SKETCH_FORMAT_H

#define SKETCH_KIND_DECIMALS 0 /* values that are whole numbers but for a power of ten */
#define SKETCH_KIND_DOUBLES 1
#define SKETCH_KIND_BUCKETS 2
#define SKETCH_KIND 3	   /* mask of the above */
#define SKETCH_KIND_ONES 4 /* every value is there once: no counts */
#define SKETCH_KIND_RARE 8 /* NaN or infinities are there */
#define SKETCH_KIND_ALL 15 /* mask of all that there is */

#endif
