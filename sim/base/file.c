#include "sim/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/base/alloc.h"

#ifndef CLSA_DATADIR
#define CLSA_DATADIR "/usr/local/share/clsa-sim"
#endif
#ifndef CLSA_SRCDIR
#define CLSA_SRCDIR "."
#endif

static int io_error(const char *path, struct clsa_err *err)
{
    return clsa_fail(err, errno == ENOENT ? CLSA_ENOTFOUND : CLSA_EIO, "%s: %s", path,
                     strerror(errno));
}

int clsa_map_open(const char *path, struct clsa_map *map, struct clsa_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return io_error(path, err);
    struct stat st;
    int status = CLSA_OK;
    if (fstat(fd, &st) != 0) {
        status = io_error(path, err);
    } else if (!S_ISREG(st.st_mode)) {
        status = clsa_fail(err, CLSA_EIO, "%s: not a regular file", path);
    } else if (st.st_size == 0) {
        *map = (struct clsa_map){NULL, 0};
    } else {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = io_error(path, err);
        else
            *map = (struct clsa_map){data, (size_t)st.st_size};
    }
    close(fd);
    return status;
}

void clsa_map_close(struct clsa_map *map)
{
    if (map && map->data)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    if (map)
        *map = (struct clsa_map){NULL, 0};
}

int clsa_file_read(const char *path, size_t limit, char **data, size_t *bytes,
                   struct clsa_err *err)
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "rb");
    if (!f)
        return io_error(path, err);
    size_t used = 0, capacity = 1 << 16;
    char *buffer = clsa_malloc(capacity + 1, 1);
    int status = buffer ? CLSA_OK : clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
    while (status == CLSA_OK) {
        used += fread(buffer + used, 1, capacity - used, f);
        if (ferror(f)) {
            status = io_error(path, err);
        } else if (used > limit) {
            status = clsa_fail(err, CLSA_ELIMIT, "%s: larger than %zu bytes", path, limit);
        } else if (used < capacity) {
            break;
        } else {
            char *bigger = clsa_realloc(buffer, 2 * capacity + 1, 1);
            if (!bigger)
                status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
            else
                buffer = bigger, capacity *= 2;
        }
    }
    if (!standard)
        fclose(f);
    if (status) {
        free(buffer);
        return status;
    }
    buffer[used] = '\0';
    *data = buffer;
    *bytes = used;
    return CLSA_OK;
}

bool clsa_file_exists(const char *path)
{
    return access(path, R_OK) == 0;
}

bool clsa_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int clsa_outfile_open(const char *path, struct clsa_outfile *out, struct clsa_err *err)
{
    if (strcmp(path, "-") == 0) {
        *out = (struct clsa_outfile){.stream = stdout};
        return CLSA_OK;
    }
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        /* A pipe or a device has no other name to be renamed from. */
        FILE *direct = S_ISDIR(st.st_mode) ? (errno = EISDIR, NULL) : fopen(path, "wb");
        if (!direct)
            return io_error(path, err);
        *out = (struct clsa_outfile){.stream = direct, .path = clsa_strdup(path)};
        return CLSA_OK;
    }
    struct clsa_outfile o = {.path = clsa_strdup(path),
                             .temporary = clsa_asprintf("%s.tmp-XXXXXX", path)};
    int status = CLSA_OK;
    if (!o.path || !o.temporary) {
        status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
    } else {
        const int fd = mkstemp(o.temporary);
        if (fd < 0 || fchmod(fd, 0644) != 0 || !(o.stream = fdopen(fd, "wb"))) {
            status = io_error(path, err);
            if (fd >= 0) {
                close(fd);
                unlink(o.temporary);
            }
        }
    }
    if (status) {
        free(o.path);
        free(o.temporary);
        return status;
    }
    *out = o;
    return CLSA_OK;
}

int clsa_outfile_commit(struct clsa_outfile *out, struct clsa_err *err)
{
    const char *name = out->path ? out->path : "standard output";
    errno = 0;
    bool good = fflush(out->stream) == 0 && !ferror(out->stream);
    if (out->stream != stdout) {
        if (good && out->temporary)
            good = fsync(fileno(out->stream)) == 0 || errno == EINVAL;
        good = fclose(out->stream) == 0 && good;
    }
    if (good && out->temporary)
        good = rename(out->temporary, out->path) == 0;
    int status = CLSA_OK;
    if (!good) {
        status = clsa_fail(err, CLSA_EIO, "%s: %s", name, errno ? strerror(errno) : "write failed");
        if (out->temporary)
            unlink(out->temporary);
    }
    free(out->path);
    free(out->temporary);
    *out = (struct clsa_outfile){0};
    return status;
}

void clsa_outfile_abort(struct clsa_outfile *out)
{
    if (out->stream && out->stream != stdout)
        fclose(out->stream);
    if (out->temporary)
        unlink(out->temporary);
    free(out->path);
    free(out->temporary);
    *out = (struct clsa_outfile){0};
}

char *clsa_path_join(const char *dir, const char *name)
{
    return *name == '/' ? clsa_strdup(name) : clsa_asprintf("%s/%s", dir, name);
}

char *clsa_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return clsa_strdup(".");
    if (slash == path)
        return clsa_strdup("/");
    return clsa_asprintf("%.*s", (int)(slash - path), path);
}

/* The i-th folder that a room may live in, in fresh memory. Returns 1; 0 after the last; CLSA_ENOMEM:
 * a folder that could not be named must not pass for one that is not there. */
static int room_folder(const char *room, size_t i, char **folder, struct clsa_err *err)
{
    const char *list = getenv("CLSA_DATA_PATH");
    const char *parent = NULL;
    size_t length = 0;
    for (; list && *list && !parent; list += length + (list[length] == ':')) {
        length = strcspn(list, ":");
        if (length && i-- == 0)
            parent = list;
    }
    if (!parent) {
        if (i > 1)
            return 0;
        parent = i == 0 ? CLSA_SRCDIR : CLSA_DATADIR;
        length = strlen(parent);
    }
    *folder = clsa_asprintf("%.*s/%s", (int)length, parent, room);
    return *folder ? 1 : clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", room);
}

static bool ends_with(const char *text, const char *suffix)
{
    const size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

char *clsa_data_find(const char *room, const char *name, const char *suffix, struct clsa_err *err)
{
    const char *end = ends_with(name, suffix) ? "" : suffix;
    char *path = NULL, *folder;
    int found = 1;
    if (clsa_file_exists(name) && (strchr(name, '/') || !*end)) {
        path = clsa_strdup(name);
        if (!path)
            clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
        return path;
    }
    for (size_t i = 0; (found = room_folder(room, i, &folder, err)) == 1; i++) {
        path = clsa_asprintf("%s/%s%s", folder, name, end);
        free(folder);
        if (!path)
            clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", name);
        if (!path || clsa_file_exists(path))
            return path;
        free(path);
    }
    if (found == 0)
        clsa_fail(err, CLSA_ENOTFOUND, "%s: no such file, and no %s%s in %s", name, name, end,
                  room);
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int clsa_data_list(const char *room, const char *suffix, char ***names, size_t *count,
                   struct clsa_err *err)
{
    char **list = NULL, *folder;
    size_t n = 0;
    int status;
    for (size_t i = 0; (status = room_folder(room, i, &folder, err)) == 1; i++) {
        DIR *dir = opendir(folder);
        free(folder);
        for (struct dirent *e; dir && status >= 0 && (e = readdir(dir));) {
            if (e->d_name[0] == '.' || !ends_with(e->d_name, suffix))
                continue;
            char *name = clsa_asprintf("%.*s", (int)(strlen(e->d_name) - strlen(suffix)),
                                       e->d_name);
            char **bigger = clsa_realloc(list, n + 1, sizeof *list);
            if (bigger)
                list = bigger;
            if (!bigger || !name) {
                free(name);
                status = clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", room);
                break;
            }
            list[n++] = name;
        }
        if (dir)
            closedir(dir);
        if (status < 0)
            break;
    }
    if (status < 0) {
        for (size_t i = 0; i < n; i++)
            free(list[i]);
        free(list);
        return status;
    }
    if (n)
        qsort(list, n, sizeof *list, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && strcmp(list[kept - 1], list[i]) == 0)
            free(list[i]);
        else
            list[kept++] = list[i];
    }
    *names = list;
    *count = kept;
    return CLSA_OK;
}
