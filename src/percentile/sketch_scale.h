/*
 * sketch_scale.h
 *		Buckets of doubles: those of scale s are 2^s equal parts, by ratio, of every octave.
 *
 * A bucket of scale s is two of scale s + 1, exactly, so that sketches of different scales merge.
 */
#ifndef TENANCY_PERCENTILE_SKETCH_SCALE_H
#define TENANCY_PERCENTILE_SKETCH_SCALE_H

#include "postgres.h"

#define SKETCH_SCALE_MAX 8
#define SKETCH_OCTAVES 2099 /* of positive doubles, subnormal ones too */
#define SKETCH_ACCURACY_UNIT 100000.0
#define SKETCH_ACCURACY_DEFAULT 1000
#define SKETCH_ACCURACY_MIN 140
#define SKETCH_ACCURACY_MAX 30000

extern int	  sketch_bucket(double magnitude, int scale);
extern double sketch_bucket_start(int bucket, int scale);
extern int	  sketch_scale_of(int accuracy);
extern int	  sketch_scale_accuracy(int scale);
extern int	  sketch_scale_room(int accuracy);

#endif
