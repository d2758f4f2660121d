/*
 * sketch_runs.h
 *		A sketch as its values in order: what all answers are made of.
 */
#ifndef TENANCY_PERCENTILE_SKETCH_RUNS_H
#define TENANCY_PERCENTILE_SKETCH_RUNS_H

#include "percentile/sketch.h"

/* So many values, evenly spread from low to high; answers are kept within least and most. */
typedef struct SketchRun
{
	double low;
	double high;
	double least;
	double most;
	int64  count;
} SketchRun;

typedef struct SketchRuns
{
	SketchRun *runs;
	int		   n;
	int64	   count; /* of all */
} SketchRuns;

extern SketchRuns sketch_runs(const Sketch *sketch);
extern double	  sketch_run_value(const SketchRun *run, double position);
extern double	  sketch_runs_rank(const SketchRuns *runs, int64 rank);
extern double	  sketch_runs_percentile(const SketchRuns *runs, double fraction);
extern double	  sketch_runs_below(const SketchRuns *runs, double value, bool also_equal);
extern double	  sketch_runs_average(const SketchRuns *runs, double from, double to);

#endif
