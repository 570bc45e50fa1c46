/* Reuse distances: sweeps, pieces of caches, stacks of touches, rows that selections share. */
#include "tests/unit/test.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "sim/base/rng.h"
#include "sim/replay/chance.h"
#include "sim/replay/reuse.h"

START_TEST(distances_of_a_cyclic_sweep)
{
    /* Three tensors of 10, 20 and 30 bytes in turn: each comes again after all 60. */
    struct clsa_tensor tensors[3] = {{.kind = CLSA_TENSOR_WEIGHT}, {.kind = CLSA_TENSOR_WEIGHT},
                                     {.kind = CLSA_TENSOR_WEIGHT}};
    const struct clsa_step step = {.n_tensors = 3, .tensors = tensors};
    const struct clsa_op op = {.kind = CLSA_OP_GEMM, .set = -1};
    struct clsa_distances d;
    ck_assert_int_eq(clsa_distances_init(&d, &step, true), 0);
    for (unsigned round = 0; round < 3; round++)
        for (uint32_t t = 0; t < 3; t++) {
            const struct clsa_operand o = {.tensor = t, .axis = CLSA_AXIS_N};
            const double bytes = 10 * (t + 1);
            double *touched = clsa_distances_find(&d, &op, &o);
            if (round == 0)
                ck_assert(*touched < 0);
            else
                ck_assert_double_eq(d.clock - *touched + bytes, 60);
            d.clock += bytes;
            *touched = d.clock;
            if (round == 0 && t == 2)
                ck_assert_double_eq(clsa_distances_next(&d), 30); /* the last one's, less itself */
        }
    clsa_distances_destroy(&d);
}
END_TEST

START_TEST(distances_tell_pieces_of_caches_apart)
{
    struct clsa_tensor tensor = {.kind = CLSA_TENSOR_KV};
    const struct clsa_step step = {.n_tensors = 1, .tensors = &tensor};
    struct clsa_op op = {.kind = CLSA_OP_ATTN_SPARSE, .set = 0};
    struct clsa_operand o = {.axis = CLSA_AXIS_SELECTED};
    struct clsa_distances d;
    ck_assert_int_eq(clsa_distances_init(&d, &step, false), 0);
    *clsa_distances_find(&d, &op, &o) = 1;
    op.set = 1; /* another selection */
    ck_assert(*clsa_distances_find(&d, &op, &o) < 0);
    op.set = 0;
    ck_assert_double_eq(*clsa_distances_find(&d, &op, &o), 1);
    o.axis = CLSA_AXIS_NEW; /* an append touches the rows it writes, not those read */
    ck_assert(*clsa_distances_find(&d, &op, &o) < 0);
    o.axis = CLSA_AXIS_SELECTED;
    for (o.offset = 1; o.offset < 3000; o.offset++) { /* planes; the table grows meanwhile */
        ck_assert(*clsa_distances_find(&d, &op, &o) < 0);
        *clsa_distances_find(&d, &op, &o) = (double)o.offset;
    }
    for (o.offset = 1; o.offset < 3000; o.offset++)
        ck_assert_double_eq(*clsa_distances_find(&d, &op, &o), (double)o.offset);
    clsa_distances_destroy(&d);
}
END_TEST

/* Held against adding up what was touched last since then. */
START_TEST(stack_distances_count_distinct_bytes)
{
    enum { PIECES = 40, TOUCHES = 5000 };
    struct clsa_stack stack = {0};
    double touched[PIECES], bytes[PIECES];
    struct clsa_moment moments[PIECES] = {{0, 0}};
    struct clsa_reuse found;
    unsigned when[PIECES] = {0};
    struct clsa_rng rng;
    clsa_rng_seed(&rng, 7);
    for (int i = 0; i < PIECES; i++) {
        touched[i] = -INFINITY;
        bytes[i] = 0;
    }
    touched[0] = 0; /* there before all others */
    for (unsigned now = 1; now <= TOUCHES; now++) {
        const uint64_t piece = clsa_rng_below(&rng, PIECES);
        const double mine = (double)clsa_rng_below(&rng, 1000);
        double since = mine;
        for (int i = 0; i < PIECES; i++)
            since += when[i] > when[piece] ? bytes[i] : 0;
        const bool known = touched[piece] >= 0;
        stack.now.seconds += 0.25;
        stack.now.traffic += mine;
        ck_assert_int_eq(clsa_stack_touch(&stack, &touched[piece], mine, &found), 0);
        ck_assert(known ? fabs(found.distance - since) < 1e-6 : isinf(found.distance));
        ck_assert(known ? found.seconds == stack.now.seconds - moments[piece].seconds : isinf(found.seconds));
        ck_assert(known ? found.traffic == stack.now.traffic - moments[piece].traffic : isinf(found.traffic));
        moments[piece] = stack.now;
        bytes[piece] = mine;
        when[piece] = now;
    }
    clsa_stack_destroy(&stack);
}
END_TEST

/* Sets of rows drawn by chance, used in turns with other data between: how many rows of a set which others used last, and
 * how many distinct bytes ago, is what counting rows says. */
START_TEST(selections_share_rows_by_chance)
{
    enum { ROWS = 20000, SETS = 6, ROUNDS = 4, FILL = 3000 };
    static uint8_t chosen[SETS][ROWS];
    static unsigned last[ROWS], clock_at[SETS];
    const double commons[] = {0.05, 0.25, 0.6, 1};
    for (size_t p = 0; p < sizeof commons / sizeof *commons; p++) {
        struct clsa_stack stack = {0};
        struct clsa_chance chance = {0};
        struct clsa_rng rng;
        const struct clsa_operand o = {.tensor = 3, .axis = CLSA_AXIS_SELECTED};
        struct clsa_reuse unused;
        double fill[SETS];
        clsa_rng_seed(&rng, 5);
        memset(last, 0, sizeof last);
        memset(clock_at, 0, sizeof clock_at);
        for (int s = 0; s < SETS; s++) {
            fill[s] = -INFINITY;
            for (int r = 0; r < ROWS; r++)
                chosen[s][r] = (double)clsa_rng_below(&rng, 1000000) < commons[p] * 1e6;
        }
        for (unsigned now = 1; now <= ROUNDS * SETS; now++, stack.now.seconds += 0.5) {
            const unsigned set = now % SETS, mine = clock_at[set];
            struct clsa_chance_part parts[1 + CLSA_CHANCE_OTHERS];
            double count[1 + CLSA_CHANCE_OTHERS] = {0}, size = 0, sum = 0;
            for (int r = 0; r < ROWS; r++) {
                const unsigned ago = last[r] ? now - last[r] : 0;
                size += chosen[set][r];
                if (chosen[set][r])
                    count[ago >= 1 && ago <= CLSA_CHANCE_OTHERS && last[r] > mine ? ago : 0]++;
            }
            ck_assert_int_eq(clsa_chance_touch(&chance, &stack, &o, set, size, commons[p], parts), 0);
            for (unsigned j = 0; j < 1 + CLSA_CHANCE_OTHERS; j++) {
                sum += parts[j].bytes;
                ck_assert_msg(fabs(parts[j].bytes - count[j]) <= 0.02 * ROWS, "%g: %g rows of %u, not %g", commons[p],
                              parts[j].bytes, j, count[j]);
                const unsigned then = j ? now - j : mine;
                if (parts[j].bytes < 1 || then == 0)
                    continue;
                double since = size + FILL * (double)(now - then);
                for (int r = 0; r < ROWS; r++)
                    since += last[r] > then;
                ck_assert_msg(fabs(parts[j].reuse.distance - since) <= 0.03 * since, "%g: %g bytes ago, not %g", commons[p],
                              parts[j].reuse.distance, since);
                ck_assert(fabs(parts[j].reuse.seconds - 0.5 * (double)(now - then)) < 1e-9);
            }
            ck_assert(fabs(sum - size) < 1e-6);
            ck_assert(mine > 0 || isinf(parts[0].reuse.distance));
            for (int r = 0; r < ROWS; r++)
                if (chosen[set][r])
                    last[r] = now;
            clock_at[set] = now;
            ck_assert_int_eq(clsa_stack_touch(&stack, &fill[set], FILL, &unused), 0);
        }
        clsa_chance_destroy(&chance);
        clsa_stack_destroy(&stack);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("reuse");
    TCase *c = tcase_create("distances");
    tcase_add_test(c, distances_of_a_cyclic_sweep);
    tcase_add_test(c, distances_tell_pieces_of_caches_apart);
    tcase_add_test(c, stack_distances_count_distinct_bytes);
    tcase_add_test(c, selections_share_rows_by_chance);
    suite_add_tcase(s, c);
    return s;
}

CLSA_TEST_MAIN(suite)
