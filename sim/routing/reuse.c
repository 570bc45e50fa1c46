#include "sim/routing/reuse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/status.h"

#define NO_ROW UINT64_MAX

/* Open addressing from row to its slot number + 1 in time; sizes are powers of two. */
struct clsa_reuse {
    uint64_t *keys; /* NO_ROW: free */
    uint32_t *when; /* time of last use, 1 .. now */
    size_t table_size, rows;
    uint32_t *tree;   /* Fenwick: 1 at every time that is some row's last use */
    uint64_t *row_at; /* the row last used at a time, NO_ROW if it was used again since */
    uint32_t times;   /* capacity of tree and row_at */
    uint32_t now;
};

static size_t hash(uint64_t row, size_t size)
{
    row *= 0x9e3779b97f4a7c15u;
    return (size_t)(row ^ row >> 32) & (size - 1);
}

static size_t find_slot(const struct clsa_reuse *r, uint64_t row)
{
    size_t i = hash(row, r->table_size);
    while (r->keys[i] != NO_ROW && r->keys[i] != row)
        i = (i + 1) & (r->table_size - 1);
    return i;
}

static int resize_table(struct clsa_reuse *r, size_t size)
{
    uint64_t *old_keys = r->keys;
    uint32_t *old_when = r->when;
    const size_t old_size = r->table_size;
    uint64_t *keys = clsa_malloc(size, sizeof *keys);
    uint32_t *when = clsa_malloc(size, sizeof *when);
    if (!keys || !when) {
        free(keys);
        free(when);
        return CLSA_ENOMEM;
    }
    memset(keys, 0xff, size * sizeof *keys);
    r->keys = keys;
    r->when = when;
    r->table_size = size;
    for (size_t i = 0; i < old_size; i++)
        if (old_keys[i] != NO_ROW) {
            const size_t slot = find_slot(r, old_keys[i]);
            keys[slot] = old_keys[i];
            when[slot] = old_when[i];
        }
    free(old_keys);
    free(old_when);
    return 0;
}

struct clsa_reuse *clsa_reuse_create(void)
{
    struct clsa_reuse *r = clsa_calloc(1, sizeof *r);
    if (r && resize_table(r, 1024) != 0) {
        clsa_reuse_destroy(r);
        return NULL;
    }
    return r;
}

void clsa_reuse_destroy(struct clsa_reuse *r)
{
    if (!r)
        return;
    free(r->keys);
    free(r->when);
    free(r->tree);
    free(r->row_at);
    free(r);
}

static void tree_add(struct clsa_reuse *r, uint32_t at, uint32_t delta)
{
    for (; at <= r->times; at += at & (0u - at))
        r->tree[at - 1] += delta;
}

static uint32_t tree_sum(const struct clsa_reuse *r, uint32_t at)
{
    uint32_t sum = 0;
    for (; at; at -= at & (0u - at))
        sum += r->tree[at - 1];
    return sum;
}

/* Time has run out: number the rows anew by their last use, 1 .. rows, with as much room again. */
static int renumber(struct clsa_reuse *r)
{
    const size_t wanted = r->rows * 2 < 4096 ? 4096 : r->rows * 2;
    uint32_t next = 0;
    if (wanted > UINT32_MAX / 2)
        return CLSA_ENOMEM;
    uint32_t *tree = clsa_calloc(wanted, sizeof *tree);
    uint64_t *row_at = clsa_malloc(wanted, sizeof *row_at);
    if (!tree || !row_at) {
        free(tree);
        free(row_at);
        return CLSA_ENOMEM;
    }
    for (uint32_t t = 0; t < r->now; t++)
        if (r->row_at[t] != NO_ROW) {
            r->when[find_slot(r, r->row_at[t])] = ++next;
            row_at[next - 1] = r->row_at[t];
        }
    free(r->tree);
    free(r->row_at);
    r->tree = tree;
    r->row_at = row_at;
    r->times = (uint32_t)wanted;
    r->now = next;
    for (uint32_t t = 1; t <= next; t++)
        tree_add(r, t, 1);
    return 0;
}

int clsa_reuse_touch(struct clsa_reuse *r, uint64_t row, uint64_t *distance)
{
    int status;
    assert(row != NO_ROW);
    if (r->now == r->times && (status = renumber(r)) != 0)
        return status;
    if (2 * (r->rows + 1) > r->table_size && (status = resize_table(r, r->table_size * 2)) != 0)
        return status;
    const size_t slot = find_slot(r, row);
    uint64_t result = CLSA_REUSE_FIRST;
    if (r->keys[slot] == row) {
        const uint32_t last = r->when[slot];
        result = r->rows - tree_sum(r, last); /* rows whose last use is later */
        tree_add(r, last, UINT32_MAX);        /* minus one, modulo 2^32 */
        r->row_at[last - 1] = NO_ROW;
    } else {
        r->keys[slot] = row;
        r->rows++;
    }
    r->now++;
    r->when[slot] = r->now;
    r->row_at[r->now - 1] = row;
    tree_add(r, r->now, 1);
    *distance = result;
    return 0;
}

void clsa_reuse_add(struct clsa_reuse_histogram *h, uint64_t distance)
{
    if (distance == CLSA_REUSE_FIRST) {
        h->first++;
        return;
    }
    unsigned bin = 0;
    while (distance) {
        bin++;
        distance >>= 1;
    }
    h->bins[bin < CLSA_REUSE_BINS ? bin : CLSA_REUSE_BINS - 1]++;
    h->reuses++;
}

double clsa_reuse_median(const struct clsa_reuse_histogram *h)
{
    const double half = (double)h->reuses / 2;
    double below = 0;
    if (h->reuses == 0)
        return -1.0;
    for (int b = 0; b < CLSA_REUSE_BINS; b++) {
        const double here = (double)h->bins[b];
        if (here > 0 && below + here >= half) {
            const double low = b ? (double)(UINT64_C(1) << (b - 1)) : 0.0;
            const double width = b ? low : 1.0;
            return low + width * (half - below) / here;
        }
        below += here;
    }
    return -1.0;
}
