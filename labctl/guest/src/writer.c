#include "writer.h"

#include "beats.h"
#include "commands.h"
#include "content.h"
#include "cpu.h"
#include "curve.h"
#include "memory.h"
#include "pattern.h"
#include "profile.h"

/* Open loop: page n is due when the profile has asked for n pages, whatever came before. Lateness up
 * to the cap is made up for; time beyond it is work lost, so that a pause shows in the work and is
 * not hidden by a burst after it. The cap is where a stall begins (5 ms): what is shorter is the
 * host's scheduler as much as anything, and must not make a busy host miss the rate asked. */
enum { CAP_US = 5000, CAP_PAGES = 2, FRACTION_BITS = 12, READ_BITS = 16 };

#define NEVER (1ull << 60) /* so far ahead is the next page of a vCPU that has none */

struct writer {
    uint64_t work, due;
    uint64_t attend; /* TSC: when a tick of the curve or a step of the profile ends */
    uint64_t period, cap;
    uint32_t period_fraction, fraction;
    struct slice slice;
    struct cursor writes, reads;
    struct curve curve;
    struct place place;   /* the step of the profile that `due` is in, or not before the end of */
    uint64_t full_period; /* where the profile's share is one, FRACTION_BITS behind the point */
    uint64_t need;        /* where it is 0: what is left of a full period */
    uint64_t read, reads_owed;
    bool idle;
} __attribute__((aligned(CACHE_LINE)));

HOT_LAST static struct writer writers[MAX_VCPUS];
HOT static struct {
    uint64_t seed, cap, reads_a_write, tsc_hz;
    enum pattern pattern;
    enum content_kind content;
    bool plain; /* uniform pages, random content, no reads: the load that goes fastest */
} load;
HOT struct page_state *writer_pages;

static void init_one(struct writer *w, uint32_t vcpu, uint64_t below, const struct options *o)
{
    uint32_t part = o->parts[vcpu];
    w->slice.first = o->ws_pages * below / o->all_parts;
    w->slice.count = o->ws_pages * (below + part) / o->all_parts - w->slice.first;
    w->writes.random = mix(o->seed ^ mix(vcpu + 1)) | 1;
    w->reads.random = mix(w->writes.random) | 1;
    w->idle = !o->rate_bytes_s || !part;
    if (!w->idle) {
        w->full_period = muldiv(PAGE_SIZE * load.tsc_hz << FRACTION_BITS, o->all_parts,
                                o->rate_bytes_s * part);
    }
    pattern_init(&w->slice, o);
}

void writer_init(const struct options *o, uint64_t tsc_hz)
{
    load.seed = o->seed;
    load.pattern = o->pattern;
    load.content = o->content;
    load.reads_a_write = ((uint64_t)o->reads_ppm << READ_BITS) / (1000000 - o->reads_ppm);
    load.plain = o->pattern == PATTERN_RANDOM && o->content == CONTENT_RANDOM && !o->reads_ppm;
    load.tsc_hz = tsc_hz;
    load.cap = tsc_hz / 1000000 * CAP_US;
    for (uint32_t i = 0, below = 0; i < o->vcpus; below += o->parts[i++]) {
        init_one(&writers[i], i, below, o);
    }
    curve_init(o->vcpus);
    writer_pages = memory_take(o->ws_pages * sizeof *writer_pages);
}

void writer_start(void)
{
    uint64_t now = rdtsc();
    profile_start(load.tsc_hz, now);
    curve_start(load.tsc_hz, now);
}

/* Goes to a place of the profile; the next page is due so much of a full period after its start. */
static void go_to(struct writer *w, struct place place, uint64_t need)
{
    w->place = place;
    w->need = need;
    w->due = place.end;
    if (place.share_ppm) {
        uint64_t period = muldiv(w->full_period, PROFILE_ONE, place.share_ppm);
        w->period = period >> FRACTION_BITS;
        w->period_fraction = period & ((1 << FRACTION_BITS) - 1);
        w->cap = load.cap < CAP_PAGES * w->period ? CAP_PAGES * w->period : load.cap;
        w->due = place.start + muldiv(need, PROFILE_ONE, place.share_ppm);
    }
}

/* To the step after this one, in which `due` is not. */
static void go_on(struct writer *w)
{
    uint64_t need = w->need;
    if (w->place.share_ppm) {
        need = muldiv(w->due - w->place.end, w->place.share_ppm, PROFILE_ONE);
    }
    go_to(w, profile_after(w->place), need);
}

/* To where the profile is at `now`, a page being due then. */
static void jump(struct writer *w, uint64_t now)
{
    if (w->idle) {
        w->due = now + NEVER;
        return;
    }
    go_to(w, profile_at(now), 0);
    if (w->place.share_ppm) {
        w->due = now;
    }
}

/* A word of each cache line. */
static void read_page(struct writer *w)
{
    uint64_t page = pattern_next(load.pattern, &w->slice, &w->reads);
    const volatile uint64_t *at = page_at(page), *end = at + PAGE_SIZE / sizeof *at;
    for (; at != end; at += CACHE_LINE / sizeof *at) {
        (void)*at;
    }
    w->read++;
}

static inline uint32_t next_epoch(struct writer *w, uint64_t page)
{
    uint64_t *state = (uint64_t *)&writer_pages[page], was = *state; /* at once: it is quicker */
    uint32_t epoch = (uint32_t)was + 1;
    *state = (uint64_t)w->curve.tick << 32 | epoch;
    curve_write(&w->curve, (uint32_t)(was >> 32));
    return epoch;
}

static __attribute__((noinline)) void write_other(struct writer *w, uint32_t vcpu)
{
    uint64_t page = pattern_next(load.pattern, &w->slice, &w->writes);
    uint32_t epoch = next_epoch(w, page);
    if (load.content == CONTENT_RANDOM) {
        content_write(page_at(page), content_of(load.seed, page, epoch));
    } else {
        content_rewrite(page_at(page), load.content, page, epoch);
    }
    if (load.pattern == PATTERN_ONCE && w->work + 1 == w->slice.count) {
        w->idle = true;
        w->due += NEVER;
    }
    w->reads_owed += load.reads_a_write;
    for (; w->reads_owed >> READ_BITS; w->reads_owed -= 1 << READ_BITS) {
        if (vcpu == 0) {
            beats_tick();
        }
        read_page(w);
    }
}

HOT_CODE static inline void write_page(struct writer *w, uint32_t vcpu)
{
    if (load.plain) {
        uint64_t page = pattern_next(PATTERN_RANDOM, &w->slice, &w->writes);
        uint32_t epoch = next_epoch(w, page);
        content_write(page_at(page), content_of(load.seed, page, epoch));
    } else {
        write_other(w, vcpu);
    }
    __atomic_store_n(&w->work, w->work + 1, __ATOMIC_RELEASE);
}

/* A tick of the curve or a step of the profile may be over. */
static __attribute__((noinline)) void attend(struct writer *w, uint32_t vcpu, uint64_t now)
{
    if (now >= w->curve.tick_end) {
        curve_roll(&w->curve, vcpu, now, w->work, w->read);
    }
    w->attend = w->curve.tick_end;
    if (w->idle) {
        return;
    }
    while (now >= w->place.end && w->due >= w->place.end) {
        go_on(w);
    }
    if (w->place.end < w->attend) {
        w->attend = w->place.end;
    }
}

/* The TSC is before the next page's time; further than can be, when it has jumped back. */
static __attribute__((noinline)) void too_early(struct writer *w, uint64_t now)
{
    if (w->idle) {
        return;
    }
    bool jumped_back = w->due < w->place.end ? w->due - now > w->cap
                                             : now + w->cap < w->place.start;
    if (jumped_back) {
        jump(w, now);
    }
}

/* Later than is made up for. */
static __attribute__((noinline)) void too_late(struct writer *w, uint64_t now)
{
    uint64_t from = now - w->cap;
    if (from < w->place.end) {
        w->due = from;
    } else {
        jump(w, from);
    }
}

HOT_CODE void writer_run(uint32_t vcpu, uint32_t order)
{
    struct writer *w = &writers[vcpu];
    jump(w, rdtsc());
    w->attend = 0;
    while (commands_order() == order) {
        uint64_t now = vcpu == 0 ? beats_tick() : rdtsc();
        if (now >= w->attend) {
            attend(w, vcpu, now);
        }
        if ((int64_t)(now - w->due) < 0) {
            too_early(w, now);
            relax();
            continue;
        }
        write_page(w, vcpu);
        w->fraction += w->period_fraction;
        w->due += w->period + (w->fraction >> FRACTION_BITS);
        w->fraction &= (1 << FRACTION_BITS) - 1;
        if ((int64_t)(now - w->due) > (int64_t)w->cap) {
            too_late(w, now);
        }
    }
}

uint64_t writer_work(uint32_t vcpu)
{
    return __atomic_load_n(&writers[vcpu].work, __ATOMIC_RELAXED);
}

bool writer_work_regressed(uint32_t vcpu)
{
    const struct writer *w = &writers[vcpu];
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w->slice.count; i++) {
        if (i % PAGE_SIZE == 0) {
            beats_tick();
        }
        sum += writer_pages[w->slice.first + i].epoch;
    }
    return sum != w->work;
}
