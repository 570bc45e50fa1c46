#include "sim/routing/stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/base/alloc.h"
#include "sim/routing/overlap.h"
#include "sim/routing/synthetic.h"

#define SINK_ROWS 4u
#define RECENT_ROWS 16u

struct sums {
    uint32_t group, top_k;
    uint64_t queries, chosen, keys, selected;
    uint64_t set_pairs, step_pairs; /* positions that had a selection before to compare with */
    uint64_t set_shared, step_shared;
    uint64_t sink_seen, sink_taken, recent_seen, recent_taken;
    uint64_t chosen_positions, runs;
    double chance; /* sum of selected / keys over chosen */
    uint64_t masses;
    double mass;
    struct clsa_reuse_histogram reuse;
    struct clsa_reuse *rows; /* uses of this group alone */
};

/* A selection kept to compare the next one with. */
struct kept {
    uint64_t keys; /* that its query saw; 0: none */
    uint32_t *positions;
    uint32_t count, room;
};

struct clsa_selection_counter {
    struct sums *sums; /* one a group */
    size_t n_sets;
    struct kept *last; /* of each (sequence, group): sequence-major */
    uint32_t n_seqs, last_sets;
};

struct clsa_selection_counter *clsa_selection_counter_create(void)
{
    return clsa_calloc(1, sizeof(struct clsa_selection_counter));
}

static void forget_last(struct clsa_selection_counter *c)
{
    for (size_t i = 0; i < (size_t)c->n_seqs * c->last_sets; i++)
        free(c->last[i].positions);
    free(c->last);
    c->last = NULL;
    c->n_seqs = c->last_sets = 0;
}

void clsa_selection_counter_destroy(struct clsa_selection_counter *c)
{
    if (!c)
        return;
    forget_last(c);
    for (size_t i = 0; i < c->n_sets; i++)
        clsa_reuse_destroy(c->sums[i].rows);
    free(c->sums);
    free(c);
}

static int make_room(struct clsa_selection_counter *c, const struct clsa_step *step)
{
    if (step->n_sets > c->n_sets) {
        struct sums *sums = clsa_realloc(c->sums, step->n_sets, sizeof *sums);
        if (!sums)
            return CLSA_ENOMEM;
        c->sums = sums;
        while (c->n_sets < step->n_sets) {
            memset(&sums[c->n_sets], 0, sizeof *sums);
            sums[c->n_sets].rows = clsa_reuse_create();
            if (!sums[c->n_sets].rows)
                return CLSA_ENOMEM;
            c->n_sets++;
        }
    }
    if (c->n_seqs != step->n_seqs || c->last_sets != step->n_sets) {
        size_t cells;
        forget_last(c);
        if (!clsa_mul_size(step->n_seqs, step->n_sets, &cells))
            return CLSA_ENOMEM;
        c->last = clsa_calloc(cells, sizeof *c->last);
        if (!c->last)
            return CLSA_ENOMEM;
        c->n_seqs = step->n_seqs;
        c->last_sets = step->n_sets;
    }
    return 0;
}

static int keep(struct kept *kept, const struct clsa_index_set *set, uint64_t keys)
{
    if (kept->room < set->count) {
        uint32_t *positions = clsa_realloc(kept->positions, set->count, sizeof *positions);
        if (!positions)
            return CLSA_ENOMEM;
        kept->positions = positions;
        kept->room = set->count;
    }
    memcpy(kept->positions, set->positions, set->count * sizeof *set->positions);
    kept->count = set->count;
    kept->keys = keys;
    return 0;
}

/* Figures of a selection that had to choose. */
static void count_chosen(struct sums *s, const struct clsa_index_set *set, uint64_t keys,
                         const struct kept *last, const struct kept *before)
{
    const uint64_t sinks = keys < SINK_ROWS ? keys : SINK_ROWS;
    const uint64_t recent = keys < RECENT_ROWS ? keys : RECENT_ROWS;
    s->chosen++;
    s->chance += (double)set->count / (double)keys;
    s->chosen_positions += set->count;
    for (uint32_t i = 0; i < set->count; i++) {
        s->runs += i == 0 || set->positions[i] != set->positions[i - 1] + 1;
        s->sink_taken += set->positions[i] < sinks;
        s->recent_taken += set->positions[i] >= keys - recent;
    }
    s->sink_seen += sinks;
    s->recent_seen += recent;
    if (before && before->keys == keys) {
        s->set_pairs += set->count;
        s->set_shared +=
            clsa_overlap_count(set->positions, set->count, before->positions, before->count);
    }
    if (last->keys && last->keys + 1 == keys) {
        s->step_pairs += set->count;
        s->step_shared +=
            clsa_overlap_count(set->positions, set->count, last->positions, last->count);
    }
}

int clsa_selection_count(struct clsa_selection_counter *c, const struct clsa_step *step,
                         const struct clsa_index_set *set, const float *scores,
                         struct clsa_err *err)
{
    if (make_room(c, step) != 0)
        return clsa_fail(err, CLSA_ENOMEM, "out of memory for selection statistics");
    const struct clsa_query *query = &step->queries[set->query];
    struct kept *row = c->last + (size_t)query->seq * step->n_sets;
    struct sums *s = &c->sums[set->set];
    s->group = step->group;
    s->top_k = step->top_k;
    s->queries++;
    s->keys += query->keys;
    s->selected += set->count;
    if (set->count < query->keys)
        count_chosen(s, set, query->keys, &row[set->set], set->set ? &row[set->set - 1] : NULL);
    if (scores) {
        s->masses++;
        s->mass += clsa_mass_covered(scores, (size_t)query->keys, set->positions, set->count);
    }
    int status = keep(&row[set->set], set, query->keys);
    for (uint32_t i = 0; i < set->count && !status; i++) {
        uint64_t distance;
        status =
            clsa_reuse_touch(s->rows, (uint64_t)query->seq << 32 | set->positions[i], &distance);
        if (!status)
            clsa_reuse_add(&s->reuse, distance);
    }
    return status ? clsa_fail(err, status, "out of memory for selection statistics") : 0;
}

int clsa_selection_count_step(struct clsa_selection_counter *c, const struct clsa_trace_step *trace,
                              struct clsa_err *err)
{
    int status = 0;
    /* The trace has them group by group; a query's groups are compared with each other. */
    for (uint32_t q = 0; q < trace->step.n_queries && !status && trace->n_index_sets; q++)
        for (uint32_t j = 0; j < trace->step.n_sets && !status; j++) {
            const struct clsa_index_set *set = clsa_trace_find_set(trace, q, j);
            if (set)
                status = clsa_selection_count(c, &trace->step, set, NULL, err);
        }
    return status;
}

size_t clsa_selection_sets(const struct clsa_selection_counter *c)
{
    return c->n_sets;
}

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : -1.0;
}

void clsa_selection_stats_get(const struct clsa_selection_counter *c, size_t i,
                              struct clsa_selection_stats *out)
{
    const struct sums *s = &c->sums[i];
    *out = (struct clsa_selection_stats){
        .set_index = (uint32_t)i,
        .group = s->group,
        .top_k = s->top_k,
        .queries = s->queries,
        .chosen = s->chosen,
        .mean_keys = share((double)s->keys, (double)s->queries),
        .mean_selected = share((double)s->selected, (double)s->queries),
        .overlap_previous_set = share((double)s->set_shared, (double)s->set_pairs),
        .overlap_previous_step = share((double)s->step_shared, (double)s->step_pairs),
        .overlap_by_chance = share(s->chance, (double)s->chosen),
        .sink_share = share((double)s->sink_taken, (double)s->sink_seen),
        .recent_share = share((double)s->recent_taken, (double)s->recent_seen),
        .mean_run = share((double)s->chosen_positions, (double)s->runs),
        .mass_covered = share(s->mass, (double)s->masses),
        .reuse_distance_rows = clsa_reuse_median(&s->reuse),
        .reuse = s->reuse,
    };
}

static int tool_record(void *state, const struct clsa_trace_step *step, struct clsa_err *err)
{
    return clsa_selection_count_step(state, step, err);
}

struct clsa_trace_tool clsa_selection_tool(struct clsa_selection_counter *counter)
{
    return (struct clsa_trace_tool){.state = counter, .record = tool_record};
}

static const char *const columns[] = {"set",
                                      "group",
                                      "top_k",
                                      "queries",
                                      "chosen",
                                      "mean_keys",
                                      "mean_selected",
                                      "overlap_previous_set",
                                      "overlap_previous_step",
                                      "overlap_by_chance",
                                      "sink_share",
                                      "recent_share",
                                      "mean_run",
                                      "mass_covered",
                                      "reuse_distance_rows"};
#define COLUMNS (sizeof columns / sizeof *columns)
#define COUNT_COLUMNS 5u

static void print_row(const struct clsa_selection_stats *s, enum clsa_trace_format format,
                      FILE *out)
{
    const uint64_t counts[COUNT_COLUMNS] = {s->set_index, s->group, s->top_k, s->queries,
                                            s->chosen};
    const double values[] = {s->mean_keys,
                             s->mean_selected,
                             s->overlap_previous_set,
                             s->overlap_previous_step,
                             s->overlap_by_chance,
                             s->sink_share,
                             s->recent_share,
                             s->mean_run,
                             s->mass_covered,
                             s->reuse_distance_rows};
    for (size_t i = 0; i < COLUMNS; i++) {
        char text[40] = "";
        if (i < COUNT_COLUMNS)
            snprintf(text, sizeof text, "%" PRIu64, counts[i]);
        else if (values[i - COUNT_COLUMNS] >= 0)
            snprintf(text, sizeof text, "%.4f", values[i - COUNT_COLUMNS]);
        if (format == CLSA_TRACE_JSON)
            fprintf(out, "%s\"%s\": %s", i ? ", " : "{", columns[i], *text ? text : "null");
        else if (format == CLSA_TRACE_CSV)
            fprintf(out, "%s%s", i ? "," : "", text);
        else
            fprintf(out, "%s%*s", i ? " " : "", (int)strlen(columns[i]), *text ? text : "-");
    }
    fputs(format == CLSA_TRACE_JSON ? "}" : "\n", out);
}

void clsa_selection_print(const struct clsa_selection_counter *c, enum clsa_trace_format format,
                          FILE *out)
{
    if (format == CLSA_TRACE_JSON) {
        fputs("[", out);
    } else {
        for (size_t i = 0; i < COLUMNS; i++)
            fprintf(out, "%s%s", i ? (format == CLSA_TRACE_CSV ? "," : " ") : "", columns[i]);
        fputc('\n', out);
    }
    for (size_t i = 0; i < c->n_sets; i++) {
        struct clsa_selection_stats stats;
        clsa_selection_stats_get(c, i, &stats);
        if (format == CLSA_TRACE_JSON)
            fputs(i ? ",\n " : "", out);
        print_row(&stats, format, out);
    }
    if (format == CLSA_TRACE_JSON)
        fputs("]\n", out);
}

int clsa_trace_stats(const char *path, enum clsa_trace_format format, FILE *out,
                     struct clsa_err *err)
{
    struct clsa_selection_counter *c = clsa_selection_counter_create();
    if (!c)
        return clsa_fail(err, CLSA_ENOMEM, "%s: out of memory", path);
    const struct clsa_trace_tool tool = clsa_selection_tool(c);
    const int status = clsa_trace_walk_file(path, 0, UINT64_MAX, &tool, 1, err);
    if (!status)
        clsa_selection_print(c, format, out);
    clsa_selection_counter_destroy(c);
    return status;
}

static uint32_t permille(uint64_t part, uint64_t whole)
{
    return (uint32_t)((part * 1000 + whole / 2) / whole);
}

void clsa_selection_fit(const struct clsa_selection_counter *c,
                        struct clsa_synthetic_params *params)
{
    struct sums all = {0};
    for (size_t i = 0; i < c->n_sets; i++) {
        const struct sums *s = &c->sums[i];
        all.set_pairs += s->set_pairs;
        all.set_shared += s->set_shared;
        all.step_pairs += s->step_pairs;
        all.step_shared += s->step_shared;
        all.sink_seen += s->sink_seen;
        all.sink_taken += s->sink_taken;
        all.recent_seen += s->recent_seen;
        all.recent_taken += s->recent_taken;
        all.chosen_positions += s->chosen_positions;
        all.runs += s->runs;
    }
    if (all.set_pairs)
        params->overlap_set_permille = permille(all.set_shared, all.set_pairs);
    if (all.step_pairs)
        params->overlap_step_permille = permille(all.step_shared, all.step_pairs);
    if (all.sink_seen)
        params->sink_rows = (permille(all.sink_taken, all.sink_seen) * SINK_ROWS + 500) / 1000;
    if (all.recent_seen)
        params->recent_rows =
            (permille(all.recent_taken, all.recent_seen) * RECENT_ROWS + 500) / 1000;
    if (all.runs)
        params->run_rows = (uint32_t)((all.chosen_positions + all.runs / 2) / all.runs);
    if (params->run_rows == 0)
        params->run_rows = 1;
}
