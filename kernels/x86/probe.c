#include "kernels/rungs.h"
#include "kernels/x86/vec.h"

float CLSA_ISA(clsa_x_probe_read)(const void *p, size_t bytes)
{
    const char *at = p;
    vf sum[8];
    size_t i;
    int c;

    CLSA_UNROLL
    for (c = 0; c < 8; c++)
        sum[c] = vf_zero();
    for (i = 0; i + 8 * sizeof(vf) <= bytes; i += 8 * sizeof(vf)) {
        CLSA_UNROLL
        for (c = 0; c < 8; c++) {
            vf v;

            memcpy(&v, at + i + (size_t)c * sizeof v, sizeof v);
            sum[c] = vf_max(sum[c], v);
        }
    }
    CLSA_UNROLL
    for (c = 1; c < 8; c++)
        sum[0] = vf_max(sum[0], sum[c]);
    return vf_max_lane(sum[0]);
}

/* Twelve chains cover the latency of 4 cycles on two pipes. */
float CLSA_ISA(clsa_x_probe_fma)(size_t rounds, double *flops)
{
    vf sum[12], a = vf_set1(0.999f), b = vf_set1(0.5f);
    size_t i;
    int c;

    CLSA_UNROLL
    for (c = 0; c < 12; c++)
        sum[c] = vf_set1((float)c);
    for (i = 0; i < rounds; i++) {
        CLSA_UNROLL
        for (c = 0; c < 12; c++)
            sum[c] = vf_fma(sum[c], a, b);
    }
    CLSA_UNROLL
    for (c = 1; c < 12; c++)
        sum[0] = vf_add(sum[0], sum[c]);
    *flops = (double)rounds * 12 * VF_N * 2;
    return vf_sum(sum[0]);
}
