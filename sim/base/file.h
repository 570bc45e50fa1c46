/* Files: read whole, mapped, and written so that a reader never sees half of one. */
#ifndef CLSA_BASE_FILE_H
#define CLSA_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/base/status.h"

/* A read-only mapping. data is NULL and bytes 0 for an empty file. */
struct clsa_map {
    const unsigned char *data;
    size_t bytes;
};

/* Maps a regular file for reading. Returns 0, CLSA_ENOTFOUND, CLSA_EIO (not a regular file, ...). */
int clsa_map_open(const char *path, struct clsa_map *map, struct clsa_err *err);
void clsa_map_close(struct clsa_map *map);

/* Reads a whole file of at most `limit` bytes into fresh memory with a NUL after it; "-" is stdin.
 * Caller frees *data. Returns 0, CLSA_ENOTFOUND, CLSA_EIO, CLSA_ELIMIT or CLSA_ENOMEM. */
int clsa_file_read(const char *path, size_t limit, char **data, size_t *bytes,
                   struct clsa_err *err);

bool clsa_file_exists(const char *path);
bool clsa_is_directory(const char *path);

/* A file under construction: bytes go to a temporary name beside `path`; commit() flushes, syncs and
 * renames, so that `path` holds either what it held before or all of the new content. The path "-" is
 * standard output, which cannot be taken back. */
struct clsa_outfile {
    FILE *stream;
    char *path;      /* NULL when writing to standard output */
    char *temporary; /* NULL there and for devices and pipes, which are written directly */
};

int clsa_outfile_open(const char *path, struct clsa_outfile *out, struct clsa_err *err);
/* Returns 0 or CLSA_EIO (disk full, ...), in which case the temporary file is gone. Ends `out`. */
int clsa_outfile_commit(struct clsa_outfile *out, struct clsa_err *err);
/* Drops the temporary file. Safe on a zeroed or committed struct. */
void clsa_outfile_abort(struct clsa_outfile *out);

/* "dir/name" in fresh memory; name alone when it is absolute. NULL when out of memory. */
char *clsa_path_join(const char *dir, const char *name);
/* The directory part of a path ("." when it has none), in fresh memory. */
char *clsa_path_dir(const char *path);

/* Finds a data file of the project: as given if it exists; else below each folder of $CLSA_DATA_PATH
 * (colon separated), the source tree it was built from, and the installed data folder, in that order,
 * with `suffix` appended when the name lacks it. `room` is the folder in the source tree
 * ("hwmodels/machines"). Fresh memory, or NULL with err set to what was looked for. */
char *clsa_data_find(const char *room, const char *name, const char *suffix, struct clsa_err *err);
/* All names (without suffix) that clsa_data_find could find in a room, sorted, each in fresh memory;
 * free each and the list. */
int clsa_data_list(const char *room, const char *suffix, char ***names, size_t *count,
                   struct clsa_err *err);

#endif
