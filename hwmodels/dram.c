#include "hwmodels/dram.h"

#include "hwmodels/dram_channel.h"
#include "sim/base/alloc.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Full segments that a stream simulates beyond its first visit to every bank before it is in its
 * steady state, and the segments over which the steady state's period is measured. */
#define SETTLE 6

static uint32_t picoseconds(double seconds)
{
    return (uint32_t)llround(fmin(seconds * 1e12, 4e9));
}

void clsa_dram_config_of(const struct clsa_machine *m, struct clsa_dram_config *out)
{
    *out = (struct clsa_dram_config){
        .channels = (uint32_t)m->dram_channels,
        .banks = (uint32_t)m->dram_banks,
        .bank_groups = (uint32_t)m->dram_bank_groups,
        .row_bytes = (uint32_t)m->dram_row,
        .burst_bytes = (uint32_t)m->dram_burst,
        .interleave_bytes = (uint32_t)m->dram_interleave,
        .window = CLSA_DRAM_WINDOW_MAX,
        .burst_ps = picoseconds(m->dram_burst * m->dram_channels / m->dram_bandwidth),
        .trcd_ps = picoseconds(m->dram_trcd),
        .trp_ps = picoseconds(m->dram_trp),
        .tcl_ps = picoseconds(m->dram_tcl),
        .tras_ps = picoseconds(m->dram_tras),
        .trrd_ps = picoseconds(m->dram_trrd),
        .tfaw_ps = picoseconds(m->dram_tfaw),
        .tccd_l_ps = picoseconds(m->dram_tccd_l),
        .trefi_ps = picoseconds(m->dram_trefi),
        .trfc_ps = picoseconds(m->dram_trfc),
    };
}

static int check(const struct clsa_dram_config *c, struct clsa_err *err)
{
    if (!c->channels || !c->banks || !c->bank_groups || c->banks % c->bank_groups)
        return clsa_fail(err, CLSA_ERANGE, "DRAM of %u channels, %u banks in %u bank groups",
                         c->channels, c->banks, c->bank_groups);
    if (!c->burst_bytes || !c->row_bytes || c->row_bytes % c->burst_bytes || !c->interleave_bytes ||
        c->interleave_bytes % c->burst_bytes || c->interleave_bytes / c->burst_bytes > UINT16_MAX ||
        c->row_bytes / c->burst_bytes > 4096)
        return clsa_fail(err, CLSA_ERANGE,
                         "DRAM rows of %u B and interleaving of %u B must be multiples of its %u B "
                         "bursts",
                         c->row_bytes, c->interleave_bytes, c->burst_bytes);
    if (c->window < 1 || c->window > CLSA_DRAM_WINDOW_MAX || !c->burst_ps)
        return clsa_fail(err, CLSA_ERANGE, "DRAM window of %u bursts of %u ps", c->window,
                         c->burst_ps);
    if (c->trfc_ps >= c->trefi_ps)
        return clsa_fail(err, CLSA_ERANGE, "DRAM refresh of %u ps every %u ps leaves no time",
                         c->trfc_ps, c->trefi_ps);
    return 0;
}

/* Fewest bank groups, a power of two that divides bank_groups, whose turns hide tCCD_L. */
static uint32_t lanes_of(const struct clsa_dram_config *c)
{
    uint32_t lanes = 1;
    while (lanes * c->burst_ps < c->tccd_l_ps && lanes * 2 <= CLSA_DRAM_LANES_MAX &&
           c->bank_groups % (lanes * 2) == 0)
        lanes *= 2;
    return lanes;
}

void clsa_dram_reset(struct clsa_dram *d)
{
    for (uint32_t i = 0; i < d->config.channels; i++) {
        struct clsa_dram_channel *ch = &d->channels[i];
        ch->n = ch->bursts = ch->n_pending = 0;
        ch->service = ch->marked = 0;
        for (uint32_t slot = 0; slot < CLSA_DRAM_WINDOW_MAX; slot++)
            ch->order[slot] = (uint8_t)slot;
        for (uint32_t b = 0; b < d->config.banks; b++)
            ch->banks[b] = (struct clsa_dram_bank){.row = CLSA_ROW_CLOSED};
        clsa_dram_channel_idle(d, ch);
    }
    memset(&d->counters, 0, sizeof d->counters);
}

/* ---- mapping ---- */

/* First bank of a segment: its number's digit sum in base `super` walks the places. */
static uint32_t bank_of(const struct clsa_dram *d, uint64_t segment)
{
    uint64_t sum = 0;
    if (d->super_bits)
        for (uint64_t s = segment; s; s >>= d->super_bits)
            sum += s;
    else if (d->super > 1)
        for (uint64_t s = segment; s; s /= d->super)
            sum += s % d->super;
    return (uint32_t)(sum % d->super) * d->lanes;
}

static int64_t row_of(const struct clsa_dram *d, uint64_t segment)
{
    return (int64_t)(segment / d->super);
}

/* Local bursts low .. high - 1 of a channel, cut at chunks and segments. `bank` < 0 stands for the
 * segments' own banks; else all lie in the segment whose first bank it is. */
static void push_range(struct clsa_dram *d, struct clsa_dram_channel *ch, uint64_t low,
                       uint64_t high, int64_t bank)
{
    while (low < high) {
        const uint64_t segment = low / d->segment_bursts, in = low % d->segment_bursts;
        uint64_t n = high - low;
        if (n > d->chunk_bursts - low % d->chunk_bursts)
            n = d->chunk_bursts - low % d->chunk_bursts;
        if (n > d->segment_bursts - in)
            n = d->segment_bursts - in;
        clsa_dram_channel_push(d, ch, bank < 0 ? bank_of(d, segment) : (uint32_t)bank,
                               row_of(d, segment), (uint32_t)(in % d->lanes), (uint32_t)n);
        low += n;
    }
}

static void take_pending(struct clsa_dram *d, struct clsa_dram_channel *ch)
{
    for (uint32_t i = 0; i < ch->n_pending; i++)
        push_range(d, ch, ch->pending[i].low, ch->pending[i].low + ch->pending[i].bursts, -1);
    ch->n_pending = 0;
}

/* Channels do not know of each other, so each may take what comes for it when it has gathered some:
 * its banks are then in the host's cache once for all of it. */
static void queue_run(struct clsa_dram *d, struct clsa_dram_channel *ch, uint64_t low,
                      uint64_t bursts)
{
    if (ch->n_pending == CLSA_DRAM_PENDING)
        take_pending(d, ch);
    ch->pending[ch->n_pending++] = (struct clsa_dram_run){low, bursts};
}

/* The channel that a round over all channels starts at. */
static uint32_t turn_of(const struct clsa_dram *d, uint64_t round)
{
    const uint64_t h = (round * UINT64_C(0x9E3779B97F4A7C15)) >> 32;
    return (uint32_t)(h * d->config.channels >> 32);
}

static void widen(const struct clsa_dram *d, uint64_t address, uint64_t bytes, uint64_t *low,
                  uint64_t *high)
{
    *low = address / d->config.burst_bytes;
    *high = (address + bytes + d->config.burst_bytes - 1) / d->config.burst_bytes;
}

static void tally(struct clsa_dram *d, uint64_t bursts, bool write)
{
    *(write ? &d->counters.write_bytes : &d->counters.read_bytes) += bursts * d->config.burst_bytes;
}

void clsa_dram_access(struct clsa_dram *d, uint64_t address, uint64_t bytes, bool write)
{
    uint64_t low, high;
    if (!bytes)
        return;
    widen(d, address, bytes, &low, &high);
    tally(d, high - low, write);
    while (low < high) {
        const uint64_t chunk = low / d->chunk_bursts, in = low % d->chunk_bursts;
        const uint64_t n = high - low < d->chunk_bursts - in ? high - low : d->chunk_bursts - in;
        const uint64_t round = chunk / d->config.channels;
        uint32_t to = (uint32_t)(chunk - round * d->config.channels) + turn_of(d, round);
        if (to >= d->config.channels)
            to -= d->config.channels;
        const uint64_t local = round * d->chunk_bursts + in;
        queue_run(d, &d->channels[to], local, n);
        low += n;
    }
}

void clsa_dram_finish(struct clsa_dram *d)
{
    for (uint32_t i = 0; i < d->config.channels; i++) {
        take_pending(d, &d->channels[i]);
        clsa_dram_channel_finish(d, &d->channels[i]);
    }
}

/* ---- streams ---- */

/* Marks the rows that a finished stream over local bursts low .. high - 1 leaves open. */
static void leave_open(struct clsa_dram *d, struct clsa_dram_channel *ch, uint64_t low,
                       uint64_t high)
{
    const uint64_t from = low / d->segment_bursts, to = (high - 1) / d->segment_bursts;
    /* every bank is visited at least once in 2 * super consecutive segments */
    const uint64_t back = 2 * (uint64_t)d->super;
    for (uint64_t s = to - from > back ? to - back : from; s <= to; s++) {
        const uint64_t start = s * d->segment_bursts, end = start + d->segment_bursts;
        const uint64_t a = start > low ? start : low, b = end < high ? end : high;
        const uint32_t mask = clsa_dram_lane_mask(d, (uint32_t)(a % d->lanes),
                                                  b - a > d->lanes ? d->lanes : (uint32_t)(b - a));
        for (uint32_t lane = 0; lane < d->lanes; lane++)
            if (mask >> lane & 1)
                clsa_dram_lane_bank(ch, bank_of(d, s), lane)->row = row_of(d, s);
    }
}

/* A busy period of its own over local bursts low .. high - 1. After the first visit to every bank
 * and SETTLE more segments, whole segments take period_ps each whichever their banks, so all but
 * the last few are added up. Those are then run on the banks that come next in turn, which no
 * longer conflicts than their own, and the rows they leave are put right. */
static void stream_channel(struct clsa_dram *d, struct clsa_dram_channel *ch, uint64_t low,
                           uint64_t high)
{
    const uint64_t first = (low + d->segment_bursts - 1) / d->segment_bursts;
    const uint64_t last = high / d->segment_bursts; /* whole segments: first .. last - 1 */
    const uint64_t head = first + 2 * (uint64_t)d->super + SETTLE;
    if (!d->period_ps || last <= head + SETTLE + d->super) {
        push_range(d, ch, low, high, -1);
        clsa_dram_channel_finish(d, ch);
        return;
    }
    const uint64_t resume = last - SETTLE, skipped = resume - head;
    push_range(d, ch, low, head * d->segment_bursts, -1);
    uint32_t bank = bank_of(d, head - 1);
    for (uint64_t s = resume; s * d->segment_bursts < high; s++) {
        const uint64_t end = (s + 1) * d->segment_bursts;
        bank = (bank + d->lanes) % (d->super * d->lanes);
        push_range(d, ch, s * d->segment_bursts, end < high ? end : high, bank);
    }
    clsa_dram_channel_finish(d, ch);
    ch->service += skipped * d->period_ps;
    const uint32_t chunks =
        d->segment_bursts % d->chunk_bursts == 0 ? d->segment_bursts / d->chunk_bursts : 1;
    d->counters.requests += skipped * chunks;
    d->counters.bursts += skipped * d->segment_bursts;
    d->counters.activates += skipped * d->lanes;
    leave_open(d, ch, low, high);
}

/* Whether the channel is in one of the two states in which the stream's outcome does not depend on
 * the channel: *closed says which. */
static bool usual(const struct clsa_dram *d, const struct clsa_dram_channel *ch, uint64_t low,
                  uint64_t high, bool *closed)
{
    const int64_t from = row_of(d, low / d->segment_bursts);
    const int64_t to = row_of(d, (high - 1) / d->segment_bursts);
    *closed = ch->banks[0].row == CLSA_ROW_CLOSED;
    for (uint32_t b = 0; b < d->config.banks; b++) {
        const int64_t row = ch->banks[b].row;
        if ((row == CLSA_ROW_CLOSED) != *closed || (row >= from && row <= to))
            return false;
    }
    return true;
}

static void stream_or_reuse(struct clsa_dram *d, struct clsa_dram_channel *ch, uint64_t low,
                            uint64_t high)
{
    struct clsa_dram_outcome *known = &d->outcome;
    const uint64_t start = low % d->segment_bursts, bursts = high - low;
    bool closed;
    if (!d->period_ps || !usual(d, ch, low, high, &closed)) {
        stream_channel(d, ch, low, high);
        return;
    }
    if (known->valid && known->closed == closed && known->start == start &&
        known->bursts == bursts) {
        d->counters.requests += known->counters.requests;
        d->counters.bursts += known->counters.bursts;
        d->counters.activates += known->counters.activates;
        ch->service += known->service;
        leave_open(d, ch, low, high);
        return;
    }
    const struct clsa_dram_counters before = d->counters;
    const uint64_t service = ch->service;
    stream_channel(d, ch, low, high);
    *known = (struct clsa_dram_outcome){
        .valid = true, .closed = closed, .start = start, .bursts = bursts};
    known->service = ch->service - service;
    known->counters.requests = d->counters.requests - before.requests;
    known->counters.bursts = d->counters.bursts - before.bursts;
    known->counters.activates = d->counters.activates - before.activates;
}

void clsa_dram_stream(struct clsa_dram *d, uint64_t address, uint64_t bytes, bool write)
{
    uint64_t low, high;
    clsa_dram_finish(d);
    if (!bytes)
        return;
    widen(d, address, bytes, &low, &high);
    tally(d, high - low, write);
    const uint64_t n = d->config.channels;
    const uint64_t first = low / d->chunk_bursts, last = (high - 1) / d->chunk_bursts;
    for (uint32_t i = 0; i < n; i++) {
        /* the rounds in which this channel has a chunk: all but perhaps the first and the last */
        uint64_t from = first / n, to = last / n;
        if ((i + n - turn_of(d, from)) % n < first % n)
            from++;
        if ((i + n - turn_of(d, to)) % n > last % n) {
            if (to == 0)
                continue;
            to--;
        }
        if (from > to)
            continue;
        const uint64_t from_chunk = from * n + (i + n - turn_of(d, from)) % n;
        const uint64_t to_chunk = to * n + (i + n - turn_of(d, to)) % n;
        stream_or_reuse(d, &d->channels[i],
                        from * d->chunk_bursts + (from_chunk == first ? low % d->chunk_bursts : 0),
                        to_chunk == last ? to * d->chunk_bursts + (high - 1) % d->chunk_bursts + 1
                                         : (to + 1) * d->chunk_bursts);
    }
}

/* The time a segment takes in a long stream, measured once; 0 when it does not settle or when
 * cutting a segment into chunks is not regular. */
static uint64_t measure_period(struct clsa_dram *d)
{
    if (d->super < 4 ||
        (d->segment_bursts % d->chunk_bursts && d->chunk_bursts % d->segment_bursts))
        return 0;
    struct clsa_dram_channel *ch = &d->channels[0];
    uint64_t service[SETTLE + 1];
    const uint64_t base = 2 * (uint64_t)d->super;
    for (uint64_t i = 0; i <= SETTLE; i++) {
        clsa_dram_reset(d);
        push_range(d, ch, 0, (base + i + 1) * d->segment_bursts, -1);
        clsa_dram_channel_finish(d, ch);
        service[i] = ch->service;
    }
    clsa_dram_reset(d);
    for (uint64_t i = 2; i <= SETTLE; i++)
        if (service[i] - service[i - 1] != service[1] - service[0])
            return 0;
    return service[1] - service[0];
}

int clsa_dram_create(const struct clsa_dram_config *config, struct clsa_dram **out,
                     struct clsa_err *err)
{
    const int status = check(config, err);
    if (status)
        return status;
    struct clsa_dram *d = clsa_calloc(1, sizeof *d);
    if (!d)
        return clsa_fail(err, CLSA_ENOMEM, "no memory for DRAM");
    d->config = *config;
    d->lanes = lanes_of(config);
    d->super = config->banks / d->lanes;
    if (d->super > 1 && (d->super & (d->super - 1)) == 0)
        d->super_bits = (uint32_t)__builtin_ctz(d->super);
    d->segment_bursts = d->lanes * (config->row_bytes / config->burst_bytes);
    d->chunk_bursts = config->interleave_bytes / config->burst_bytes;
    size_t banks;
    if (clsa_mul_size(config->channels, config->banks, &banks)) {
        d->banks = clsa_calloc(banks, sizeof *d->banks);
        d->groups = clsa_calloc(banks, sizeof *d->groups);
        d->channels = clsa_calloc(config->channels, sizeof *d->channels);
    }
    if (!d->banks || !d->groups || !d->channels) {
        clsa_dram_destroy(d);
        return clsa_fail(err, CLSA_ENOMEM, "no memory for DRAM of %u channels", config->channels);
    }
    for (uint32_t i = 0; i < config->channels; i++) {
        d->channels[i].banks = d->banks + (size_t)i * config->banks;
        d->channels[i].groups = d->groups + (size_t)i * config->bank_groups;
    }
    clsa_dram_reset(d);
    d->period_ps = measure_period(d);
    *out = d;
    return 0;
}

void clsa_dram_destroy(struct clsa_dram *dram)
{
    if (!dram)
        return;
    free(dram->banks);
    free(dram->groups);
    free(dram->channels);
    free(dram);
}

/* ---- results ---- */

const struct clsa_dram_counters *clsa_dram_counts(const struct clsa_dram *dram)
{
    return &dram->counters;
}

const struct clsa_dram_config *clsa_dram_geometry(const struct clsa_dram *dram)
{
    return &dram->config;
}

uint64_t clsa_dram_service_ps(const struct clsa_dram *d)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < d->config.channels; i++)
        if (d->channels[i].service - d->channels[i].marked > most)
            most = d->channels[i].service - d->channels[i].marked;
    return most;
}

void clsa_dram_mark(struct clsa_dram *d)
{
    for (uint32_t i = 0; i < d->config.channels; i++)
        d->channels[i].marked = d->channels[i].service;
}

uint64_t clsa_dram_wall_ps(const struct clsa_dram *d, uint64_t service_ps)
{
    return (uint64_t)((unsigned __int128)service_ps * d->config.trefi_ps /
                      (d->config.trefi_ps - d->config.trfc_ps));
}

uint64_t clsa_dram_latency_ps(const struct clsa_dram *d, uint64_t address)
{
    const uint64_t burst = address / d->config.burst_bytes;
    const uint64_t chunk = burst / d->chunk_bursts, round = chunk / d->config.channels;
    const uint32_t to =
        (uint32_t)((chunk % d->config.channels + turn_of(d, round)) % d->config.channels);
    const uint64_t local = round * d->chunk_bursts + burst % d->chunk_bursts;
    const uint64_t segment = local / d->segment_bursts;
    const struct clsa_dram_bank *b =
        clsa_dram_lane_bank(&d->channels[to], bank_of(d, segment), (uint32_t)(local % d->lanes));
    uint64_t t = (uint64_t)d->config.tcl_ps + d->config.burst_ps;
    if (b->row != row_of(d, segment))
        t += d->config.trcd_ps + (b->row == CLSA_ROW_CLOSED ? 0 : d->config.trp_ps);
    return t;
}

uint64_t clsa_dram_digest(const struct clsa_dram *d)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < d->config.channels; i++) {
        const struct clsa_dram_channel *ch = &d->channels[i];
        for (uint32_t b = 0; b < d->config.banks; b++)
            h = (h ^ (uint64_t)ch->banks[b].row) * UINT64_C(0x9E3779B97F4A7C15) + (h >> 29);
        h = (h ^ ch->service) * UINT64_C(0x9E3779B97F4A7C15) + (h >> 29);
    }
    return h;
}

double clsa_dram_peak(const struct clsa_dram_config *c)
{
    return (double)c->channels * c->burst_bytes / (c->burst_ps * 1e-12);
}

double clsa_dram_random(const struct clsa_dram_config *c, uint32_t bytes)
{
    const double bursts = ceil((double)bytes / c->burst_bytes);
    const uint32_t lanes = lanes_of(c);
    const double acts = fmin(lanes, bursts);
    const double bus = bursts * c->burst_ps;
    const double activate = acts * fmax(c->trrd_ps, c->tfaw_ps / 4.0);
    const double open = fmax(c->tras_ps, c->trcd_ps + bursts * c->burst_ps);
    const double bank = (open + c->trp_ps) * acts / c->banks;
    return c->channels * (double)bytes / (fmax(bus, fmax(activate, bank)) * 1e-12);
}
