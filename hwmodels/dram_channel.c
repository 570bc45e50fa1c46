#include "hwmodels/dram_channel.h"

#include <assert.h>
#include <string.h>

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void clsa_dram_channel_idle(const struct clsa_dram *d, struct clsa_dram_channel *ch)
{
    for (uint32_t b = 0; b < d->config.banks; b++)
        ch->banks[b].act = ch->banks[b].last_burst = 0;
    memset(ch->groups, 0, d->config.bank_groups * sizeof *ch->groups);
    memset(ch->acts, 0, sizeof ch->acts);
    ch->now = ch->bus = CLSA_DRAM_ORIGIN;
    ch->first = 0;
}

/* Whether an activate at t respects tRRD and tFAW beside all those issued, some of which may lie
 * after it. */
static bool activate_fits(const struct clsa_dram *d, const uint64_t *acts, uint64_t t)
{
    const uint64_t rrd = d->config.trrd_ps, faw = d->config.tfaw_ps;
    uint64_t all[9]; /* up to four before, the new one, up to four after */
    uint32_t at = CLSA_DRAM_ACTS, n = 0;
    while (at > 0 && acts[at - 1] > t)
        at--;
    for (uint32_t i = at < 4 ? 0 : at - 4; i < at; i++)
        all[n++] = acts[i];
    if (at > 0 && t < acts[at - 1] + rrd)
        return false;
    all[n++] = t;
    if (at < CLSA_DRAM_ACTS && acts[at] < t + rrd)
        return false;
    for (uint32_t i = at; i < CLSA_DRAM_ACTS && i < at + 4; i++)
        all[n++] = acts[i];
    for (uint32_t i = 0; i + 4 < n; i++)
        if (all[i + 4] < all[i] + faw)
            return false;
    return true;
}

/* The first time from t on at which an activate fits: t, or a limit that an issued one sets. */
static uint64_t activate_slot(const struct clsa_dram *d, const struct clsa_dram_channel *ch,
                              uint64_t t)
{
    const uint64_t rrd = d->config.trrd_ps, faw = d->config.tfaw_ps;
    if (t >= ch->acts[CLSA_DRAM_ACTS - 1] + rrd && t >= ch->acts[CLSA_DRAM_ACTS - 4] + faw)
        return t;
    t = later(t, ch->acts[4]); /* what lies before those remembered is full or forgotten */
    while (!activate_fits(d, ch->acts, t)) {
        uint64_t next = UINT64_MAX;
        for (uint32_t i = 0; i < CLSA_DRAM_ACTS; i++) {
            if (ch->acts[i] + rrd > t && ch->acts[i] + rrd < next)
                next = ch->acts[i] + rrd;
            if (ch->acts[i] + faw > t && ch->acts[i] + faw < next)
                next = ch->acts[i] + faw;
        }
        t = next;
    }
    return t;
}

static void remember_activate(struct clsa_dram_channel *ch, uint64_t t)
{
    uint32_t at = CLSA_DRAM_ACTS - 1;
    while (at > 0 && ch->acts[at] > t)
        at--;
    memmove(ch->acts, ch->acts + 1, at * sizeof *ch->acts);
    ch->acts[at] = t;
}

static void open_row(struct clsa_dram *d, struct clsa_dram_channel *ch, struct clsa_dram_bank *b,
                     int64_t row)
{
    if (b->row == row)
        return;
    uint64_t t = ch->now;
    if (b->row != CLSA_ROW_CLOSED) {
        if (b->act + d->config.tras_ps > t)
            t = b->act + d->config.tras_ps;
        if (b->last_burst + d->config.burst_ps > t)
            t = b->last_burst + d->config.burst_ps;
        t += d->config.trp_ps;
    }
    b->act = activate_slot(d, ch, t);
    remember_activate(ch, b->act);
    b->row = row;
    d->counters.activates++;
}

static void set_ready(const struct clsa_dram *d, struct clsa_dram_channel *ch,
                      struct clsa_dram_request *r)
{
    r->ready = 0;
    for (uint32_t lane = 0; lane < d->lanes; lane++)
        if (r->lanes >> lane & 1) {
            const uint64_t t = clsa_dram_lane_bank(ch, r->first_bank, lane)->act +
                               d->config.trcd_ps;
            if (t > r->ready)
                r->ready = t;
        }
}

static void grant(struct clsa_dram *d, struct clsa_dram_channel *ch, struct clsa_dram_request *r,
                  uint32_t lane)
{
    struct clsa_dram_bank *b = clsa_dram_lane_bank(ch, r->first_bank, lane);
    open_row(d, ch, b, r->row);
    b->holders++;
    r->waits &= (uint8_t) ~(1u << lane);
    if (!r->waits)
        set_ready(d, ch, r);
}

/* A request enters the window. It is granted a bank when its row is open in all its banks (it
 * passes those that wait for another row), or when nobody holds the bank or waits for it. */
static void enter(struct clsa_dram *d, struct clsa_dram_channel *ch,
                  const struct clsa_dram_request *r)
{
    const uint8_t slot = ch->order[ch->n]; /* a free one: order is a permutation of all slots */
    struct clsa_dram_request *at = &ch->window[slot];
    ch->n++;
    *at = *r;
    at->waits = at->lanes;
    ch->bursts += r->bursts;
    bool open = true;
    for (uint32_t lane = 0; lane < d->lanes; lane++)
        if (at->lanes >> lane & 1) {
            const struct clsa_dram_bank *b = clsa_dram_lane_bank(ch, at->first_bank, lane);
            open = open && b->row == at->row && (b->holders || !b->waiting);
        }
    for (uint32_t lane = 0; lane < d->lanes; lane++)
        if (at->lanes >> lane & 1) {
            struct clsa_dram_bank *b = clsa_dram_lane_bank(ch, at->first_bank, lane);
            if (open || (!b->holders && !b->waiting))
                grant(d, ch, at, lane);
            else
                b->waiting++;
        }
}

/* Nobody holds the bank any more: the oldest that waits gets it, with all those that want the same
 * row and either then have all they need or waited longer than those for other rows. */
static void pass_on(struct clsa_dram *d, struct clsa_dram_channel *ch, uint32_t bank)
{
    struct clsa_dram_bank *b = &ch->banks[bank];
    bool behind_other = false, granted = false;
    int64_t row = CLSA_ROW_CLOSED;
    for (uint32_t i = 0; i < ch->n && b->waiting; i++) {
        struct clsa_dram_request *r = &ch->window[ch->order[i]];
        const uint32_t lane = bank - r->first_bank;
        if (lane >= d->lanes || !(r->waits >> lane & 1))
            continue;
        if (granted && r->row != row) {
            behind_other = true;
            continue;
        }
        if (behind_other && r->waits != 1u << lane)
            continue;
        b->waiting--;
        grant(d, ch, r, lane);
        granted = true;
        row = r->row;
    }
}

static uint64_t group_free(const struct clsa_dram *d, const struct clsa_dram_channel *ch,
                           const struct clsa_dram_request *r, uint32_t i)
{
    const uint32_t bank = r->first_bank + (r->lane + i) % d->lanes;
    return ch->groups[bank % d->config.bank_groups] + d->config.tccd_l_ps;
}

static void serve(struct clsa_dram *d, struct clsa_dram_channel *ch)
{
    uint32_t best = UINT32_MAX;
    uint64_t start = UINT64_MAX;
    for (uint32_t i = 0; i < ch->n && start > ch->bus;
         i++) { /* nothing starts before the bus is free */
        const struct clsa_dram_request *q = &ch->window[ch->order[i]];
        if (q->waits)
            continue;
        const uint64_t t =
            later(later(q->ready, ch->bus), ch->groups[q->group] + d->config.tccd_l_ps);
        if (t < start) {
            best = i;
            start = t;
        }
    }
    assert(best < ch->n); /* the oldest request of a bank is never kept waiting by younger ones */
    const uint8_t slot = ch->order[best];
    const struct clsa_dram_request r = ch->window[slot];
    ch->n--;
    memmove(ch->order + best, ch->order + best + 1, ch->n - best);
    ch->order[ch->n] = slot;
    ch->bursts -= r.bursts;
    /* One round over the lanes goes by each bank group's last burst; from then on the bus is the
     * limit, or tCCD_L where there are too few bank groups to hide it. */
    const uint32_t burst = d->config.burst_ps, ccd = d->config.tccd_l_ps;
    const uint64_t pitch = later(burst, (ccd + d->lanes - 1) / d->lanes);
    const uint32_t singles = r.bursts < d->lanes ? r.bursts : d->lanes;
    uint64_t last = start;
    for (uint32_t i = 1; i < singles; i++)
        last = later(last + burst, group_free(d, ch, &r, i));
    last += (uint64_t)(r.bursts - singles) * pitch;
    for (uint32_t i = 0; i < singles; i++) {
        /* the lanes in the order of their last bursts, which are `burst` apart */
        const uint32_t lane = ((uint32_t)r.lane + r.bursts - 1 - i) % d->lanes;
        const uint64_t t = last - (uint64_t)i * burst;
        clsa_dram_lane_bank(ch, r.first_bank, lane)->last_burst = t;
        ch->groups[(r.first_bank + lane) % d->config.bank_groups] = t;
    }
    if (!ch->first)
        ch->first = start;
    ch->bus = last + burst;
    ch->now = start;
    for (uint32_t lane = 0; lane < d->lanes; lane++)
        if (r.lanes >> lane & 1) {
            struct clsa_dram_bank *b = clsa_dram_lane_bank(ch, r.first_bank, lane);
            if (--b->holders == 0 && b->waiting)
                pass_on(d, ch, r.first_bank + lane);
        }
}

void clsa_dram_channel_push(struct clsa_dram *d, struct clsa_dram_channel *ch, uint32_t first_bank,
                            int64_t row, uint32_t lane, uint32_t bursts)
{
    while (ch->n && ch->bursts + bursts > d->config.window)
        serve(d, ch);
    const struct clsa_dram_request r = {
        .row = row,
        .first_bank = first_bank,
        .lane = (uint16_t)lane,
        .group = (uint16_t)((first_bank + lane) % d->config.bank_groups),
        .bursts = (uint16_t)bursts,
        .lanes = (uint8_t)clsa_dram_lane_mask(d, lane, bursts),
    };
    enter(d, ch, &r);
    d->counters.requests++;
    d->counters.bursts += bursts;
}

void clsa_dram_channel_finish(struct clsa_dram *d, struct clsa_dram_channel *ch)
{
    if (!ch->first && !ch->n)
        return;
    while (ch->n)
        serve(d, ch);
    ch->service += ch->bus - ch->first;
    clsa_dram_channel_idle(d, ch);
}
