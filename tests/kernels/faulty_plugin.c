/* A plugin with one fault, chosen when it is compiled: -DFAULT=NAME. NONE is right. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/plugin.h"

enum fault { NONE, CRASH, HANG, BEHIND, FAR_BEHIND, INPUT, NOT_A_NUMBER, WRONG_TIE, NO_SCALE,
             WRONG_ABI, NO_SYMBOL, BAD_RETURN, TWICE, SHORT, EXITS, REFUSES, NOTHING, HANGS_LOADING };

static float key_value(const struct clsa_plugin_index_call *c, int64_t s, int64_t i)
{
    const char *row = (const char *)c->key + s * c->key_stride_bytes;
    uint16_t half;
    uint32_t bits;
    float f;

    if (c->key_dtype == CLSA_PLUGIN_F32) {
        memcpy(&f, row + 4 * i, 4);
        return f;
    }
    memcpy(&half, row + 2 * i, 2);
    bits = (uint32_t)half << 16;
    memcpy(&f, &bits, 4);
    return f;
}

static int index_score(const void *argument)
{
    const struct clsa_plugin_index_call *c = argument;
    const struct timespec long_time = {1000, 0};
    int64_t i, s, j;

    if (c->key_dtype == CLSA_PLUGIN_F16 || FAULT == NOTHING)
        return CLSA_PLUGIN_UNSUPPORTED;
    for (i = 0; i < c->queries; i++)
        for (s = 0; s < c->keys; s++) {
            double sum = 0;

            for (j = 0; j < c->d; j++)
                sum += (double)c->q[i * c->ldq + j] * (double)key_value(c, s, j);
            c->out[i * c->ldo + s] = (float)(FAULT == NO_SCALE ? sum : sum * (double)c->scale);
        }
    if (FAULT == CRASH)
        *(volatile int *)16 = 1;
    if (FAULT == EXITS)
        exit(7);
    if (FAULT == HANG)
        nanosleep(&long_time, NULL);
    if (FAULT == BEHIND)
        c->out[(c->queries - 1) * c->ldo + c->keys] = 0;
    if (FAULT == FAR_BEHIND)
        c->out[c->queries * c->ldo + 100000] = 0;
    if (FAULT == INPUT)
        ((float *)(uintptr_t)c->q)[0] = 0;
    if (FAULT == NOT_A_NUMBER)
        c->out[c->keys - 1] = NAN;
    return FAULT == BAD_RETURN ? -5 : 0;
}

static int better(float a, float b)
{
    return isnan(a) ? !isnan(b) : a > b;
}

/* One by one: the best that is not taken yet, of equals the first (or, wrongly, the last). */
static int topk(const void *argument)
{
    const struct clsa_plugin_topk_call *c = argument;
    int64_t row, i, n;

    for (row = 0; row < c->rows; row++) {
        const float *score = c->score + row * c->ld_score;
        const int64_t length = c->n[row], k = c->k < length ? c->k : length;
        char *taken;

        if (k * length > 3000000)
            return CLSA_PLUGIN_UNSUPPORTED;
        taken = calloc((size_t)length, 1);
        for (n = 0; n < k; n++) {
            int64_t best = -1;

            for (i = 0; i < length; i++)
                if (!taken[i] && (best < 0 || better(score[i], score[best]) ||
                                  (FAULT == WRONG_TIE && !better(score[best], score[i]))))
                    best = i;
            taken[best] = 1;
            c->out[row * c->ldo + n] = (int32_t)best;
        }
        c->count[row] = (int32_t)(FAULT == SHORT ? k - 1 : k);
        if (FAULT == TWICE && k > 1)
            c->out[row * c->ldo] = c->out[row * c->ldo + 1];
        free(taken);
    }
    return 0;
}

static const struct clsa_plugin_kernel kernels[] = {
    {CLSA_PLUGIN_INDEX_SCORE, 0, "score", index_score},
    {CLSA_PLUGIN_TOPK, FAULT == TWICE || FAULT == SHORT ? CLSA_PLUGIN_APPROXIMATE : 0, "best", topk}};

#if defined(WITHOUT_SYMBOL)
#define clsa_plugin_v1 another_name
const struct clsa_plugin *another_name(void);
#endif

const struct clsa_plugin *clsa_plugin_v1(void)
{
    static const struct clsa_plugin plugin = {FAULT == WRONG_ABI ? 77 : CLSA_PLUGIN_ABI, 2,
                                              "faulty", kernels};
    const struct timespec long_time = {1000, 0};

    if (FAULT == HANGS_LOADING)
        nanosleep(&long_time, NULL);
    return FAULT == REFUSES ? NULL : &plugin;
}
