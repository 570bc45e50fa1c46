/* Plugins built here, each with one fault: every fault is a line of text, and the process goes on. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/check_plugin.h"
#include "tests/unit/test.h"

enum { SCORE, BEST };

static char folder[] = "/tmp/clsa-plugin-XXXXXX";

/* Compiles the plugin; returns its path (static). */
static const char *build(const char *fault, const char *more)
{
    static char path[200];
    const char *cc = getenv("CC");
    char command[1000];

    snprintf(path, sizeof path, "%s/%s.so", folder, fault);
    snprintf(command, sizeof command,
             "%s -std=gnu11 -O1 -shared -fPIC -I'%s' -DFAULT=%s %s -o '%s' "
             "'%s/tests/kernels/faulty_plugin.c'",
             cc != NULL ? cc : "cc", clsa_test_source(), fault, more, path, clsa_test_source());
    ck_assert_int_eq(system(command), 0);
    return path;
}

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    char command[100];

    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static struct clsa_plugin_host *host_of(const char *fault, unsigned deadline_ms)
{
    struct clsa_plugin_host *host = NULL;
    char text[CLSA_PLUGIN_TEXT];

    ck_assert_msg(clsa_plugin_host_open(build(fault, ""), deadline_ms, &host, text) == 0, "%s: %s",
                  fault, text);
    return host;
}

static struct clsa_plugin_verdict verdict_of(struct clsa_plugin_host *host, size_t kernel)
{
    struct clsa_plugin_check *check;
    struct clsa_plugin_verdict v;

    ck_assert_int_eq(clsa_plugin_check_begin(host, kernel, 5, &check), 0);
    clsa_plugin_check_random(check, 1);
    clsa_plugin_check_end(check, &v);
    return v;
}

START_TEST(right_plugin_passes)
{
    struct clsa_plugin_host *host = host_of("NONE", 60000);
    size_t kernel;

    ck_assert_uint_eq(clsa_plugin_host_count(host), 2);
    for (kernel = SCORE; kernel <= BEST; kernel++) {
        const struct clsa_plugin_verdict v = verdict_of(host, kernel);

        ck_assert_msg(v.result.failures == 0, "%s: %s", v.result.kernel, v.result.message);
        ck_assert_uint_gt(v.result.cases, 10);
        ck_assert_uint_gt(v.skipped, 0); /* float16 keys, long selections */
        ck_assert_double_le(v.result.worst, 1);
    }
    clsa_plugin_host_close(host);
}
END_TEST

static const struct {
    const char *fault;
    size_t kernel;
    const char *says;
    unsigned deadline_ms;
} faults[] = {
    {"CRASH", SCORE, "died of signal 11", 60000},
    {"HANG", SCORE, "no answer in 1.5 s", 1500},
    {"BEHIND", SCORE, "wrote out of bounds", 60000},
    {"FAR_BEHIND", SCORE, "not its own", 60000},
    {"INPUT", SCORE, "its inputs", 60000},
    {"NOT_A_NUMBER", SCORE, "nan", 60000},
    {"NO_SCALE", SCORE, "within", 60000},
    {"BAD_RETURN", SCORE, "returned -5", 60000},
    {"EXITS", SCORE, "exit status 7", 60000},
    {"NOTHING", SCORE, "unsupported", 60000},
    {"WRONG_TIE", BEST, "left out position", 60000},
    {"TWICE", BEST, "twice", 60000},
    {"SHORT", BEST, "positions, not", 60000},
};
enum { FAULTS = sizeof faults / sizeof faults[0] };

START_TEST(fault_is_reported)
{
    struct clsa_plugin_host *host = host_of(faults[_i].fault, faults[_i].deadline_ms);
    const size_t other = faults[_i].kernel == SCORE ? BEST : SCORE;
    struct clsa_plugin_verdict v = verdict_of(host, faults[_i].kernel);

    ck_assert_msg(v.result.failures > 0, "%s was not caught", faults[_i].fault);
    ck_assert_msg(strstr(v.result.message, faults[_i].says) != NULL, "%s: '%s' does not say '%s'",
                  faults[_i].fault, v.result.message, faults[_i].says);
    /* the other kernel still has its turn, in a fresh process where one is needed */
    if (faults[_i].deadline_ms >= 60000) {
        v = verdict_of(host, other);
        ck_assert_msg(v.result.failures == 0, "%s: %s", faults[_i].fault, v.result.message);
    }
    clsa_plugin_host_close(host);
}
END_TEST

static void refused(const char *path, unsigned deadline_ms, const char *says)
{
    struct clsa_plugin_host *host = NULL;
    char text[CLSA_PLUGIN_TEXT];

    ck_assert_int_eq(clsa_plugin_host_open(path, deadline_ms, &host, text), -1);
    ck_assert_ptr_null(host);
    ck_assert_msg(strstr(text, says) != NULL, "'%s' does not say '%s'", text, says);
}

START_TEST(unusable_objects_are_refused)
{
    char path[100];
    FILE *f;

    refused(build("WRONG_ABI", ""), 60000, "ABI version 77");
    refused(build("NO_SYMBOL", "-DWITHOUT_SYMBOL"), 60000, "no symbol clsa_plugin_v1");
    refused(build("REFUSES", ""), 60000, "cannot run here");
    refused(build("HANGS_LOADING", ""), 500, "while loading: no answer");
    refused("/nonexistent/plugin.so", 60000, "cannot be loaded");
    snprintf(path, sizeof path, "%s/text.so", folder);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs("not an object", f);
    fclose(f);
    refused(path, 60000, "cannot be loaded");
}
END_TEST

/* Jobs that share keys go in one call, others in their own; results are those of the reference. */
START_TEST(jobs_are_grouped)
{
    struct clsa_plugin_host *host = host_of("NONE", 60000);
    const float keys[2][6] = {{1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}}, q[3][2] = {
        {1, 0}, {0, 1}, {1, 1}};
    float out[3][3] = {{0}};
    struct clsa_par_index_job jobs[3];
    size_t i;

    for (i = 0; i < 3; i++)
        jobs[i] = (struct clsa_par_index_job){.out = out[i],
                                              .q = q[i],
                                              .keys = {keys[i / 2], CLSA_KERNEL_F32, 8, 0},
                                              .count = 3 - i % 2,
                                              .heads = 1,
                                              .d = 2,
                                              .scale = 2};
    ck_assert_int_eq(clsa_plugin_index_score(host, SCORE, jobs, 3), 0);
    ck_assert_uint_eq(clsa_plugin_host_calls(host), 2);
    ck_assert(out[0][0] == 2 && out[0][1] == 6 && out[0][2] == 10);
    ck_assert(out[1][0] == 4 && out[1][1] == 8);
    ck_assert(out[1][2] == 0); /* the second query sees two keys: nothing is written beyond */
    ck_assert(out[2][0] == 22 && out[2][1] == 14 && out[2][2] == 6);
    clsa_plugin_host_close(host);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plugin");
    TCase *t = tcase_create("plugin");

    tcase_set_timeout(t, 120);
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_add_test(t, right_plugin_passes);
    tcase_add_loop_test(t, fault_is_reported, 0, FAULTS);
    tcase_add_test(t, unusable_objects_are_refused);
    tcase_add_test(t, jobs_are_grouped);
    suite_add_tcase(s, t);
    return s;
}

CLSA_TEST_MAIN(suite)
