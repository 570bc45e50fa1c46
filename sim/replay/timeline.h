/* Timelines of replayed steps in the Chrome trace event format (JSON object form, complete events
 * "X", counters "C" and metadata "M"), which Perfetto and chrome://tracing open.
 *
 * A machine is a process with three tracks: steps, ops, kernels; and a counter of the DRAM rate.
 * Times are microseconds with six digits, that is, whole picoseconds. */
#ifndef CLSA_REPLAY_TIMELINE_H
#define CLSA_REPLAY_TIMELINE_H

#include "sim/base/status.h"
#include "sim/replay/replay.h"

struct clsa_timeline;

/* Starts a file ("-": standard output), which appears whole at commit or not at all.
 * Returns 0, CLSA_EIO or CLSA_ENOMEM. */
int clsa_timeline_open(const char *path, struct clsa_timeline **out, struct clsa_err *err);
/* What follows ran on another machine: a new process, whose time starts at 0. */
void clsa_timeline_machine(struct clsa_timeline *timeline, const char *name);
/* One kernel; the form that struct clsa_replay_request wants, with the timeline as user. Returns
 * 0. */
int clsa_timeline_kernel(void *timeline, const struct clsa_replay_kernel *kernel);
/* Writes what is left and ends the timeline, whatever comes of it. Returns 0 or CLSA_EIO. */
int clsa_timeline_commit(struct clsa_timeline *timeline, struct clsa_err *err);
/* Drops the file and ends the timeline. Takes NULL. */
void clsa_timeline_abort(struct clsa_timeline *timeline);

#endif
