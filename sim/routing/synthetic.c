#include "sim/routing/synthetic.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/base/rng.h"

#define POSITIONS_MAX (UINT64_C(1) << 28)
#define PERMILLE 1000u
#define TRIES 64 /* misses in a row before free places are looked for one by one */

enum { IN_SET = 1, IN_STEP = 2, CHOSEN = 4 };

struct clsa_synthetic {
    struct clsa_synthetic_params params;
    struct clsa_rng rng;
    /* One byte a visible key: what it belongs to while a selection is made. */
    uint8_t *marks;
    size_t marks_room;
    /* Candidates of one kind, and which of them are taken. */
    uint32_t *list;
    uint8_t *taken;
    size_t list_room;
    struct clsa_index_set *sets;
    size_t sets_room;
    uint32_t *positions;
    size_t positions_room;
    /* The last selection of every (sequence, group): rows of `top_k` positions. */
    uint32_t *last, *last_count;
    size_t last_room, last_count_room;
    uint32_t n_seqs, n_sets, top_k;
};

void clsa_synthetic_defaults(struct clsa_synthetic_params *out)
{
    /* Measured: clsa-byte-5m decoding 64 tokens of C source at 4,000 keys, one index a layer, top-k
     * 256: the eight layers select 1.2-2.8 of the first 4 rows and 0.8-5.4 of the last 16, in runs
     * of 1.4-1.6; they share 44-60 % with the layer before and 32-70 % with the token before. */
    *out = (struct clsa_synthetic_params){
        .seed = 1,
        .sink_rows = 2,   /* measured */
        .recent_rows = 4, /* measured */
        .run_rows = 1,    /* measured, rounded */
        .overlap_set_permille = 850,  /* adjacent layers share 70-100 % (IndexCache) */
        .overlap_step_permille = 475, /* consecutive steps share 35-60 % (GVR) */
        .recent_permille = 300,       /* estimate */
        .recent_span = 4096,          /* estimate */
    };
}

/* The one table of names, for printing and parsing. */
/* clang-format off */
#define PARAMS(X)                                                                                  \
    X(sink_rows) X(recent_rows) X(run_rows) X(overlap_set_permille) X(overlap_step_permille)       \
    X(recent_permille) X(recent_span)
/* clang-format on */

const char *clsa_synthetic_print(const struct clsa_synthetic_params *params, char *buf,
                                 size_t buf_bytes)
{
    size_t at = 0;
    int n = snprintf(buf, buf_bytes, "seed=%" PRIu64, params->seed);
#define X(field)                 \
    at += n > 0 ? (size_t)n : 0; \
    if (at < buf_bytes)          \
        n = snprintf(buf + at, buf_bytes - at, " " #field "=%" PRIu32, params->field);
    PARAMS(X)
#undef X
    return buf;
}

int clsa_synthetic_parse(const char *text, struct clsa_synthetic_params *params,
                         struct clsa_err *err)
{
    struct clsa_synthetic_params p = *params;
    const char *at = text;
    while (*(at += strspn(at, " ,"))) {
        char name[32] = "";
        uint64_t value;
        int used = 0;
        bool known = false;
        if (sscanf(at, "%31[a-z_]=%20" SCNu64 "%n", name, &value, &used) != 2 ||
            at[strlen(name) + 1] == '-' || (at[used] && !strchr(" ,", at[used])))
            return clsa_fail(err, CLSA_EUSAGE, "'%.40s': expected name=number", at);
        if (strcmp(name, "seed") == 0) {
            p.seed = value;
            known = true;
        }
#define X(field)                                            \
    if (strcmp(name, #field) == 0 && value <= UINT32_MAX) { \
        p.field = (uint32_t)value;                          \
        known = true;                                       \
    }
        PARAMS(X)
#undef X
        if (!known)
            return clsa_fail(err, CLSA_EUSAGE, "'%s': no such parameter, or out of range", name);
        at += used;
    }
    *params = p;
    return 0;
}

int clsa_synthetic_create(const struct clsa_synthetic_params *params, struct clsa_synthetic **out,
                          struct clsa_err *err)
{
    if (params->overlap_set_permille > PERMILLE || params->overlap_step_permille > PERMILLE ||
        params->recent_permille > PERMILLE || params->run_rows == 0 ||
        params->run_rows > UINT32_MAX / 2)
        return clsa_fail(err, CLSA_EUSAGE,
                         "synthetic selections: shares are at most 1000 thousandths and runs have "
                         "at least one row");
    struct clsa_synthetic *s = clsa_calloc(1, sizeof *s);
    if (!s)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory");
    s->params = *params;
    *out = s;
    return 0;
}

void clsa_synthetic_destroy(struct clsa_synthetic *s)
{
    if (!s)
        return;
    free(s->marks);
    free(s->list);
    free(s->taken);
    free(s->sets);
    free(s->positions);
    free(s->last);
    free(s->last_count);
    free(s);
}

/* 1 .. 2 * run - 1, all alike: the mean is `run`. */
static size_t run_length(struct clsa_synthetic *s)
{
    return 1 + (size_t)clsa_rng_below(&s->rng, 2 * (uint64_t)s->params.run_rows - 1);
}

/* Sets `count` of the n flags that are `from` to `to`, in runs. */
static void flag_runs(struct clsa_synthetic *s, size_t n, size_t count, uint8_t from, uint8_t to)
{
    int misses = 0;
    while (count && misses < TRIES) {
        size_t at = (size_t)clsa_rng_below(&s->rng, n), length = run_length(s);
        misses = s->taken[at] == from ? 0 : misses + 1;
        for (; length && count && at < n && s->taken[at] == from; at++, length--, count--)
            s->taken[at] = to;
    }
    for (size_t i = 0; i < n && count; i++)
        if (s->taken[i] == from) {
            s->taken[i] = to;
            count--;
        }
}

/* Chooses `count` of the keys whose mark is exactly `mark`. */
static void choose_marked(struct clsa_synthetic *s, size_t keys, uint8_t mark, size_t count)
{
    size_t n = 0;
    if (count == 0)
        return;
    for (size_t i = 0; i < keys; i++)
        if (s->marks[i] == mark)
            s->list[n++] = (uint32_t)i;
    assert(count <= n);
    const bool keep = count <= n / 2; /* flag the smaller part */
    memset(s->taken, keep ? 0 : 1, n);
    flag_runs(s, n, keep ? count : n - count, keep ? 0 : 1, keep ? 1 : 0);
    for (size_t i = 0; i < n; i++)
        if (s->taken[i])
            s->marks[s->list[i]] |= CHOSEN;
}

/* Chooses `count` keys that are in neither earlier selection, in runs. */
static void choose_fresh(struct clsa_synthetic *s, size_t keys, size_t count)
{
    const struct clsa_synthetic_params *p = &s->params;
    int misses = 0;
    while (count && misses < TRIES) {
        size_t at, length = run_length(s);
        if (p->recent_span && p->recent_span < keys &&
            clsa_rng_below(&s->rng, PERMILLE) < p->recent_permille)
            at = keys - p->recent_span + (size_t)clsa_rng_below(&s->rng, p->recent_span);
        else
            at = (size_t)clsa_rng_below(&s->rng, keys);
        misses = s->marks[at] == 0 ? 0 : misses + 1;
        for (; length && count && at < keys && s->marks[at] == 0; at++, length--, count--)
            s->marks[at] |= CHOSEN;
    }
    for (size_t i = 0; i < keys && count; i++)
        if (s->marks[i] == 0) {
            s->marks[i] |= CHOSEN;
            count--;
        }
    assert(count == 0);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t beyond(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

static void choose_forced(struct clsa_synthetic *s, size_t keys, size_t k)
{
    const size_t sinks = least(s->params.sink_rows, k);
    const size_t recent = least(s->params.recent_rows, k - sinks);
    for (size_t i = 0; i < sinks; i++)
        s->marks[i] |= CHOSEN;
    for (size_t i = 0; i < recent; i++)
        s->marks[keys - 1 - i] |= CHOSEN;
}

/* Splits what is still to be chosen among rows of both earlier selections, of one of them, and
 * fresh rows, so that the overlaps come out as asked. */
static void choose_rest(struct clsa_synthetic *s, size_t keys, size_t k, bool has_set,
                        bool has_step)
{
    const struct clsa_synthetic_params *p = &s->params;
    size_t free_of[8] = {0}; /* keys by mark */
    for (size_t i = 0; i < keys; i++)
        free_of[s->marks[i]]++;
    const size_t both = free_of[IN_SET | IN_STEP], only_set = free_of[IN_SET],
                 only_step = free_of[IN_STEP], fresh_left = free_of[0];
    const size_t set_done = free_of[CHOSEN | IN_SET] + free_of[CHOSEN | IN_SET | IN_STEP];
    const size_t step_done = free_of[CHOSEN | IN_STEP] + free_of[CHOSEN | IN_SET | IN_STEP];
    const size_t room =
        k - set_done - step_done + free_of[CHOSEN | IN_SET | IN_STEP] - free_of[CHOSEN];
    size_t a = has_set ? beyond((k * (size_t)p->overlap_set_permille + 500) / 1000, set_done) : 0;
    size_t b =
        has_step ? beyond((k * (size_t)p->overlap_step_permille + 500) / 1000, step_done) : 0;

    a = least(a, least(room, both + only_set));
    b = least(b, least(room, both + only_step));
    /* x rows come from what both earlier selections have. */
    const size_t x_least = beyond(a, only_set), x_most = least(a, both);
    size_t lo = beyond(b, only_step), hi = least(x_most, b), x;
    lo = lo > x_least ? lo : x_least;
    lo = lo > beyond(a + b, room) ? lo : beyond(a + b, room);
    if (lo <= hi) {
        x = room ? a * b / room : 0;
        x = x < lo ? lo : x > hi ? hi : x;
    } else {
        x = lo < x_most ? lo : x_most;
        b = least(b > x ? b : x, least(x + only_step, room - a + x));
    }
    size_t fresh = room - a - b + x;
    if (fresh > fresh_left) {
        /* Nearly every key was selected before: earlier rows must fill the rest. */
        size_t short_of = fresh - fresh_left, more = least(short_of, only_set - (a - x));
        a += more;
        short_of -= more;
        more = least(short_of, only_step - (b - x));
        b += more;
        short_of -= more;
        x += short_of;
        a += short_of;
        b += short_of;
        fresh = fresh_left;
    }
    choose_marked(s, keys, IN_SET | IN_STEP, x);
    choose_marked(s, keys, IN_SET, a - x);
    choose_marked(s, keys, IN_STEP, b - x);
    choose_fresh(s, keys, fresh);
}

static void mark(struct clsa_synthetic *s, size_t keys, const uint32_t *positions, size_t n,
                 uint8_t bit)
{
    for (size_t i = 0; i < n && positions[i] < keys; i++)
        s->marks[positions[i]] |= bit;
}

/* Makes the selection of one group for one query into out[0 .. k). */
static void make_set(struct clsa_synthetic *s, size_t keys, size_t k,
                     const struct clsa_index_set *before, const uint32_t *last, size_t n_last,
                     uint32_t *out)
{
    size_t n = 0;
    if (k == keys) {
        for (size_t i = 0; i < keys; i++)
            out[i] = (uint32_t)i;
        return;
    }
    memset(s->marks, 0, keys);
    if (before)
        mark(s, keys, before->positions, before->count, IN_SET);
    mark(s, keys, last, n_last, IN_STEP);
    choose_forced(s, keys, k);
    choose_rest(s, keys, k, before != NULL, n_last > 0);
    for (size_t i = 0; i < keys; i++)
        if (s->marks[i] & CHOSEN)
            out[n++] = (uint32_t)i;
    assert(n == k);
}

/* Sizes all arrays for a step; forgets earlier selections when the shape of the run changes. */
static int make_room(struct clsa_synthetic *s, const struct clsa_step *step, uint64_t most_keys,
                     uint64_t positions)
{
    const size_t n_sets = (size_t)step->n_sets * step->n_queries;
    const size_t cells = (size_t)step->n_seqs * step->n_sets;
    size_t rows;
    if (!clsa_mul_size(cells, step->top_k, &rows) || rows > POSITIONS_MAX)
        return CLSA_ELIMIT;
    if (!clsa_grow(&s->marks, &s->marks_room, (size_t)most_keys, 1) ||
        !clsa_grow(&s->sets, &s->sets_room, n_sets, sizeof *s->sets) ||
        !clsa_grow(&s->positions, &s->positions_room, (size_t)positions, sizeof *s->positions) ||
        !clsa_grow(&s->last, &s->last_room, rows, sizeof *s->last) ||
        !clsa_grow(&s->last_count, &s->last_count_room, cells, sizeof *s->last_count))
        return CLSA_ENOMEM;
    if (s->list_room < most_keys) {
        uint32_t *list = clsa_realloc(s->list, (size_t)most_keys, sizeof *list);
        if (!list)
            return CLSA_ENOMEM;
        s->list = list;
        uint8_t *taken = clsa_realloc(s->taken, (size_t)most_keys, 1);
        if (!taken)
            return CLSA_ENOMEM;
        s->taken = taken;
        s->list_room = (size_t)most_keys;
    }
    if (s->n_seqs != step->n_seqs || s->n_sets != step->n_sets || s->top_k != step->top_k) {
        memset(s->last_count, 0, cells * sizeof *s->last_count);
        s->n_seqs = step->n_seqs;
        s->n_sets = step->n_sets;
        s->top_k = step->top_k;
    }
    return 0;
}

static void make_query(struct clsa_synthetic *s, const struct clsa_step *step, uint32_t q,
                       uint64_t first, uint64_t per_set)
{
    const struct clsa_query *query = &step->queries[q];
    const size_t keys = (size_t)query->keys, k = least(step->top_k, keys);
    const struct clsa_index_set *before = NULL;
    for (uint32_t j = 0; j < step->n_sets; j++) {
        const size_t cell = (size_t)query->seq * step->n_sets + j;
        struct clsa_index_set *set = &s->sets[(size_t)j * step->n_queries + q];
        uint32_t *out = s->positions + j * per_set + first;
        uint32_t *last = s->last + cell * step->top_k;
        /* A stream of its own for every (sequence, position, group). */
        clsa_rng_seed(&s->rng, s->params.seed + query->seq * 0xd1342543de82ef95u +
                                   query->keys * 0xaf251af3b0f025b5u +
                                   (uint64_t)j * 0xb564ef22ec7aece5u);
        make_set(s, keys, k, before, last, s->last_count[cell], out);
        *set =
            (struct clsa_index_set){.query = q, .set = j, .count = (uint32_t)k, .positions = out};
        memcpy(last, out, k * sizeof *out);
        s->last_count[cell] = (uint32_t)k;
        before = set;
    }
}

int clsa_synthetic_step(struct clsa_synthetic *s, const struct clsa_step *step,
                        const struct clsa_index_set **sets, size_t *n_sets, struct clsa_err *err)
{
    uint64_t per_set = 0, most_keys = 0, first = 0, positions;
    for (uint32_t q = 0; q < step->n_queries; q++) {
        const uint64_t keys = step->queries[q].keys;
        per_set += keys < step->top_k ? keys : step->top_k;
        most_keys = keys > most_keys ? keys : most_keys;
    }
    if (!clsa_mul_u64(per_set, step->n_sets, &positions) || positions > POSITIONS_MAX ||
        most_keys > UINT32_MAX)
        return clsa_fail(err, CLSA_ELIMIT,
                         "synthetic selections: a step of %" PRIu64 " x %" PRIu32
                         " positions is too large",
                         per_set, step->n_sets);
    if (positions == 0) {
        *n_sets = 0;
        return 0;
    }
    const int status = make_room(s, step, most_keys, positions);
    if (status)
        return clsa_fail(err, status, "synthetic selections: %s", clsa_status_text(status));
    for (uint32_t q = 0; q < step->n_queries; q++) {
        make_query(s, step, q, first, per_set);
        first += least(step->top_k, (size_t)step->queries[q].keys);
    }
    *sets = s->sets;
    *n_sets = (size_t)step->n_sets * step->n_queries;
    return 0;
}
